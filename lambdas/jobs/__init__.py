"""Training jobs: asked for over HTTP, queued in AWS Batch, run by SageMaker."""
