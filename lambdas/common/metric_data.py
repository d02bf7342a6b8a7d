"""What CloudWatch's GetMetricData is asked."""

from typing import Any


def metric_query(
    id: str, namespace: str, metric: str, dimensions: list[dict[str, str]], period: int, statistic: str
) -> dict[str, Any]:
    """Return the query of one statistic of a metric, over periods of so many seconds; answers bear its id."""
    named = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
    return {"Id": id, "MetricStat": {"Metric": named, "Period": period, "Stat": statistic}}
