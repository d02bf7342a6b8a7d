"""Our local AWS Batch: queues of SageMaker training jobs, shared fairly."""

from local.batch.service import Batch

__all__ = ["Batch"]
