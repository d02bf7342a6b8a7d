"""Figures in the formats that Prometheus reads: its own text, version 0.0.4, and OpenMetrics for those who ask.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from lambdas.common.tallies import COUNT, SUM, Tally, cumulative
from lambdas.metrics.catalogue import METRICS, Metric
from lambdas.metrics.counting import Series
from lambdas.metrics.service import Figures

Value = TypeVar("Value")
NONE: Tally = {COUNT: Decimal(0), SUM: Decimal(0)}


def page(figures: Figures, accept: str | None) -> tuple[bytes, str]:
    """Return the page and its content type, in the format that the `Accept` header asks for."""
    encode, content_type = choose_encoder(accept or "")
    return encode(Collector(figures)), content_type  # pyright: ignore[reportArgumentType]  a registry is what collects


class Collector:
    """Figures as prometheus_client asks for them: a family of samples per metric, in the catalogue's order."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Family]:
        for name, metric in METRICS.items():
            yield FAMILIES[metric.kind](name, metric, self._figures)


def counter(name: str, metric: Metric, figures: Figures) -> Family:
    """Return a counter's family."""
    family = CounterMetricFamily(name, metric.help, labels=metric.labels)
    for labels, tally in of(name, metric, figures.counters):
        family.add_metric(labels, float(tally[COUNT]))
    return family


def histogram(name: str, metric: Metric, figures: Figures) -> Family:
    """Return a histogram's family."""
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for labels, tally in of(name, metric, figures.counters):
        buckets = [(floatToGoString(bound), count) for bound, count in cumulative(tally, metric.buckets)]
        family.add_metric(labels, buckets, float(tally[SUM]))
    return family


def gauge(name: str, metric: Metric, figures: Figures) -> Family:
    """Return a gauge's family; what did not answer has no sample."""
    family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
    for labels, value in labelled(name, figures.gauges):
        family.add_metric(labels, value)
    return family


FAMILIES: dict[str, Callable[[str, Metric, Figures], Family]] = {
    "counter": counter,
    "histogram": histogram,
    "gauge": gauge,
}


def of(name: str, metric: Metric, counters: Mapping[Series, Tally]) -> list[tuple[tuple[str, ...], Tally]]:
    """Return a metric's series in order; one without labels is at zero before it is first counted."""
    return labelled(name, counters) or ([((), NONE)] if not metric.labels else [])


def labelled(name: str, values: Mapping[Series, Value]) -> list[tuple[tuple[str, ...], Value]]:
    """Return a metric's values by their labels, in order."""
    return sorted(
        ((labels, value) for (metric, labels), value in values.items() if metric == name), key=lambda found: found[0]
    )
