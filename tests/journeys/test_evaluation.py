"""A trained model is evaluated on another data set, in the same queues: `pytest tests/journeys/test_evaluation.py`."""

from typing import Any

import pytest

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED, upload


def test_a_model_is_evaluated_and_its_figures_are_kept_with_it(
    member: ApiClient, trained: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    model = {"model_id": trained["model"]["model_id"], "version": trained["model"]["version"]}
    upside_down = {"benign": "malignant", "malignant": "benign"}
    turned = upload(member, [row | {"diagnosis": upside_down[row["diagnosis"]]} for row in rows])

    def evaluate(dataset: str) -> dict[str, Any]:
        job = member.call("POST", "/jobs/evaluations", {"name": "Check", "model": model, "dataset_id": dataset})
        job = member.wait(f"/jobs/{job['id']}", *ENDED)
        assert job["status"] == "completed", job
        return job

    right, wrong = evaluate(trained["dataset_id"]), evaluate(turned["id"])
    assert right["primary_metric"]["value"] > 0.95
    assert wrong["primary_metric"]["value"] == pytest.approx(1 - right["primary_metric"]["value"], abs=1e-6)
    assert right["model"] == {"id": trained["model"]["id"], **model}

    points = member.call("GET", f"/jobs/{right['id']}/metrics")["items"]
    assert any(point["metrics"].get("test_accuracy") == right["primary_metric"]["value"] for point in points)
    kept = member.call("GET", f"/ai-models/{member.username}/{model['model_id']}?version={model['version']}")
    assert [found["job_id"] for found in kept["evaluations"]] == [right["id"], wrong["id"]]
    reference = f"{member.username}/{model['model_id']}@{model['version']}"
    table = member.call("GET", f"/ai-models/compare?models={reference},{reference}")["metrics"]
    row = table[f"test_accuracy on {turned['id']}@1"]
    assert [value["last"] for value in row["values"]] == [wrong["primary_metric"]["value"]] * 2
    listed = [job["id"] for job in member.call("GET", "/jobs?kind=evaluation")["items"]]
    assert listed[:2] == [wrong["id"], right["id"]]
