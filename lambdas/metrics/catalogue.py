"""Every metric that GET /metrics may show: its name, type, labels, buckets, and what it says."""

from dataclasses import dataclass
from typing import Literal

from lambdas.common.tallies import JOB_SECONDS


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus knows it; a histogram's `buckets` are its upper bounds, without the infinite one."""

    kind: Literal["counter", "histogram", "gauge"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


# API Gateway waits 29 s for an answer; a read that needs no AWS call takes milliseconds.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COMPREHEND_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CHARACTERS = (10, 50, 100, 250, 500, 1000, 2500, 5000)  # Comprehend takes 5,000 bytes
CONFIDENCE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)  # the best of four scores that add up to 1
ENTITIES = (0, 1, 2, 5, 10, 20, 50, 100)

ROUTE = ("method", "route")
METRICS: dict[str, Metric] = {
    "request_count": Metric("counter", (*ROUTE, "status"), "Requests answered, by class of their status."),
    "error_count": Metric("counter", ("type",), "Requests answered with an error, by its code."),
    "request_latency_seconds": Metric(
        "histogram", ROUTE, "From a function's first look at a request to its answer.", REQUEST_SECONDS
    ),
    "sentiment_count": Metric("counter", ("sentiment",), "Texts analysed, by their sentiment."),
    "text_length": Metric("histogram", (), "Characters of the texts analysed.", CHARACTERS),
    "comprehend_latency_seconds": Metric(
        "histogram", ("operation",), "Calls of Amazon Comprehend.", COMPREHEND_SECONDS
    ),
    "sentiment_confidence": Metric("histogram", ("sentiment",), "The score of the sentiment found.", CONFIDENCE),
    "entities_per_text": Metric("histogram", (), "Entities found in a text.", ENTITIES),
    "job_count": Metric("counter", ("status",), "Training jobs and evaluations that have ended."),
    "job_duration_seconds": Metric(
        "histogram", ("status",), "From the start of a job's training to its end, of jobs that started.", JOB_SECONDS
    ),
    "active_requests": Metric("gauge", (), "Requests that functions are answering, within the last minutes."),
    "jobs_active": Metric("gauge", ("status",), "Jobs that wait or run."),
    "queue_depth": Metric("gauge", ("instance_type",), "Jobs that wait for instances."),
    "queue_oldest_seconds": Metric("gauge", ("instance_type",), "How long the longest-waiting of them has waited."),
    "endpoint_count": Metric("gauge", ("status",), "Endpoints that SageMaker has, or is about to."),
    "gpu_utilization_ratio": Metric("gauge", (), "Mean over the GPUs of jobs and endpoints; absent without any."),
    "slipway_source_up": Metric("gauge", ("source",), "Whether what these gauges are read from answered."),
}
