"""How busy the GPUs are that jobs and endpoints hold at this moment, as SageMaker tells CloudWatch."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common import aws
from lambdas.common.instances import has_gpu
from lambdas.common.metric_data import metric_query
from lambdas.endpoints.schemas import Endpoint
from lambdas.jobs.schemas import Job

MOST_METRICS = 500  # that one GetMetricData answers
RECENT = timedelta(minutes=10)


def gpu_utilization(running: Sequence[Job], awake: Sequence[Endpoint]) -> float | None:
    """Return the mean utilization of the GPUs over the last minutes, None when nobody has any or none reports."""
    instances: list[tuple[str, dict[str, str]]] = [
        ("/aws/sagemaker/TrainingJobs", {"Host": f"{job.attempts[-1].training_job_name}/algo-1"})
        for job in running
        if has_gpu(job.instance_type) and job.attempts
    ]
    instances += [
        ("/aws/sagemaker/Endpoints", {"EndpointName": endpoint.sagemaker_endpoint, "VariantName": "main"})
        for endpoint in awake
        if has_gpu(endpoint.instance_type or "")
    ]
    if not instances:
        return None
    asked = [gpu_query(f"gpu{number}", *instance) for number, instance in enumerate(instances[:MOST_METRICS])]
    now = datetime.now(UTC)
    answer = aws.client("cloudwatch").get_metric_data(MetricDataQueries=asked, StartTime=now - RECENT, EndTime=now)
    values = [value for result in answer["MetricDataResults"] for value in result["Values"]]
    return round(sum(values) / len(values), 1) if values else None


def gpu_query(id: str, namespace: str, dimensions: dict[str, str]) -> dict[str, Any]:
    """Return the query of one instance's GPU utilization."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return metric_query(id, namespace, "GPUUtilization", named, int(RECENT.total_seconds()), "Average")
