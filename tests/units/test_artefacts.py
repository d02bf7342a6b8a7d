"""What a training container may leave behind, and what we say of it.  `pytest tests/units/test_artefacts.py`"""

from typing import Any

import pytest

from lambdas.jobs.artefacts import ArtefactError, parsed, results_of


def test_figures_are_read_and_the_rest_is_left_alone() -> None:
    metric = {"name": "test_accuracy", "value": 0.9, "direction": "max"}
    found = results_of({"primary_metric": metric, "metrics": {"test_accuracy": 0.9}, "confusion_matrix": [[1]]})
    assert found.primary_metric is not None and found.primary_metric.value == 0.9
    assert found.metrics == {"test_accuracy": 0.9}


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ({"metrics": {"loss": "low"}}, "metrics.loss"),
        ({"metrics": [1]}, "metrics"),
        ({"primary_metric": {"name": "x", "value": 1, "direction": "up"}}, "primary_metric.direction"),
        ([], "the file"),
    ],
)
def test_wrong_figures_are_named(metrics: Any, named: str) -> None:
    with pytest.raises(ArtefactError, match=f"metrics.json is not as documented: {named}"):
        results_of(metrics)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"3"])
def test_a_report_that_is_no_json_object_is_named(content: bytes) -> None:
    with pytest.raises(ArtefactError, match=r"^metrics\.json is not"):
        parsed("metrics.json", content)


def test_half_a_character_in_a_report_is_named() -> None:
    with pytest.raises(ArtefactError, match=r"^summary\.json holds half a character"):
        parsed("summary.json", b'{"classes": ["\\ud83d"]}')
