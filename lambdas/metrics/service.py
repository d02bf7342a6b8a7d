"""What GET /metrics shows: all that was ever counted, and what is under way."""

from dataclasses import dataclass

from lambdas.common.tallies import Tally
from lambdas.jobs import service as jobs
from lambdas.metrics import counting
from lambdas.metrics.counting import Series
from lambdas.metrics.gauges import Gauges, gauges
from lambdas.metrics.gpu import gpu_utilization as gpu_utilization  # the dashboard shows it, too


@dataclass(frozen=True)
class Figures:
    """Counters and histograms by series, and gauges."""

    counters: dict[Series, Tally]
    gauges: Gauges


def figures() -> Figures:
    """Return everything; counters come whole or the request fails, since less than before would look like a restart."""
    ended, durations = jobs.totals()
    counters = counting.counters()
    counters |= {("job_count", (outcome,)): tally for outcome, tally in ended.items()}
    counters |= {("job_duration_seconds", (outcome,)): tally for outcome, tally in durations.items()}
    return Figures(counters, gauges())
