"""The document of the metrics says what the catalogue says.  `pytest tests/units/test_metrics_document.py`"""

from pathlib import Path

from lambdas.metrics.catalogue import METRICS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_table_names_every_metric_with_its_type_labels_and_buckets() -> None:
    rows = [line.strip("| ").split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    told = {
        name.strip(" `"): (kind.strip(), labels.replace("`", "").strip(), bounds[0].strip() if bounds else "")
        for name, kind, labels, _, *bounds in rows
    }
    true = {
        name: (metric.kind, ", ".join(metric.labels), ", ".join(f"{bound:g}" for bound in metric.buckets))
        for name, metric in METRICS.items()
    }
    assert told == true
