"""What a metric looks like when it is sent: CloudWatch's embedded format, of one name and one dimension.

Run: python -m pytest tests/units/test_observability.py
"""

import json
import time

import pytest

from lambdas.common.observability import METRICS, emit


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a function; Powertools would make a dimension of the second."""
    monkeypatch.setenv("STAGE", "dev")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "jobs_watch")


@pytest.mark.parametrize(("name", "unit"), METRICS.items())
def test_a_metric_has_its_unit_and_the_stage_as_its_only_dimension(
    name: str, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emit(name, 3)
    line = json.loads(capsys.readouterr().out)
    described = line.pop("_aws")
    assert described["CloudWatchMetrics"] == [
        {"Namespace": "Slipway", "Dimensions": [["stage"]], "Metrics": [{"Name": name, "Unit": unit}]}
    ]
    assert abs(described["Timestamp"] / 1000 - time.time()) < 60
    assert line == {"stage": "dev", name: [3.0]}


def test_nothing_of_a_metric_is_in_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    emit("JobFailures", 1)
    emit("QueueAgeSeconds", 0)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "JobFailures" in first and "JobFailures" not in second
    assert second["QueueAgeSeconds"] == [0.0]


def test_a_name_that_is_not_listed_is_refused() -> None:
    with pytest.raises(KeyError):
        emit("JobFailuresOfAda", 1)
