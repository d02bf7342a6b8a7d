"""Metrics over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from lambdas.common.dependencies import MetricsReader
from lambdas.metrics import exposition, service

router = APIRouter(tags=["metrics"])
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' text format, or OpenMetrics where `Accept` asks for it.",
        "content": {
            "text/plain; version=0.0.4": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/metrics", response_class=Response, responses=ANSWERS)
def get_metrics(
    reader: MetricsReader, accept: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Response:
    """Return what has happened and what is under way, for Prometheus: requests, errors, latencies, texts, jobs,
    endpoints, queues, GPUs. For admins, and for programs with the scope `slipway/metrics.read`."""
    body, content_type = exposition.page(service.figures(), accept)
    return Response(body, headers={"Content-Type": content_type})
