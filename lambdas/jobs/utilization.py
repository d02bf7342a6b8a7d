"""What a job's instance uses, from the figures that SageMaker puts into CloudWatch once a minute.

Read when somebody looks at a running job ($0.01 per thousand figures asked for), and once more when it ends.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common import aws
from lambdas.common.metric_data import metric_query
from lambdas.jobs.schemas import Job
from lambdas.jobs.watched import ResourceUse, Utilization

NAMESPACE = "/aws/sagemaker/TrainingJobs"
METRICS = {
    "cpu": "CPUUtilization",
    "memory": "MemoryUtilization",
    "gpu": "GPUUtilization",
    "gpu_memory": "GPUMemoryUtilization",
    "disk": "DiskUtilization",
}
FIGURES = 60  # per metric at the most, however long the job has run: CloudWatch averages them
MINUTE = 60


def read(job: Job, until: datetime | None = None) -> Utilization | None:
    """Return what the job has used from its start to `until`, now if not given; None when nothing is known."""
    if not job.attempts or job.started_at is None:
        return None
    start, end = datetime.fromisoformat(job.started_at), until or datetime.now(UTC)
    period = period_of(end - start)
    answer = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            query(id, name, f"{job.attempts[-1].training_job_name}/algo-1", period) for id, name in METRICS.items()
        ],
        StartTime=start - timedelta(seconds=period),
        EndTime=end + timedelta(seconds=MINUTE),
    )
    return utilization_of(answer["MetricDataResults"], period)


def query(id: str, metric: str, host: str, period: int) -> dict[str, Any]:
    """Return the query of one metric's averages over periods of that many seconds."""
    return metric_query(id, NAMESPACE, metric, [{"Name": "Host", "Value": host}], period, "Average")


def period_of(duration: timedelta) -> int:
    """Return the seconds of one figure: whole minutes, so many that FIGURES of them span the duration."""
    return MINUTE * max(1, math.ceil(duration.total_seconds() / MINUTE / FIGURES))


def utilization_of(results: list[dict[str, Any]], period: int) -> Utilization | None:
    """Return GetMetricData's results, in whichever order their figures are; None when there are no figures."""
    figures = {
        result["Id"]: [value for _, value in sorted(zip(result["Timestamps"], result["Values"], strict=True))]
        for result in results
        if result["Values"]
    }
    if not figures:
        return None
    used = {
        id: ResourceUse(
            newest=round(values[-1], 1), mean=round(sum(values) / len(values), 1), peak=round(max(values), 1)
        )
        for id, values in figures.items()
    }
    return Utilization(**used, minutes=max(map(len, figures.values())) * period // MINUTE)
