"""A trained model is evaluated on another data set, in the same queues: `pytest tests/journeys/test_evaluation.py`."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED, invoke, upload
from tests.local.small import eventually
from tests.platform import Platform


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

    logged = f"/jobs/{right['id']}/metrics"  # the last lines of the log may come after the end
    wanted = right["primary_metric"]["value"]
    eventually(lambda: any(p["metrics"].get("test_accuracy") == wanted for p in member.call("GET", logged)["items"]))
    kept = member.call("GET", f"/ai-models/{member.username}/{model['model_id']}?version={model['version']}")
    assert [found["job_id"] for found in kept["evaluations"]] == [right["id"], wrong["id"]]
    reference = f"{member.username}/{model['model_id']}@{model['version']}"
    table = member.call("GET", f"/ai-models/compare?models={reference},{reference}")["metrics"]
    row = table[f"test_accuracy on {turned['id']}@1"]
    assert [value["last"] for value in row["values"]] == [wrong["primary_metric"]["value"]] * 2
    listed = [job["id"] for job in member.call("GET", "/jobs?kind=evaluation")["items"]]
    assert listed[:2] == [wrong["id"], right["id"]]


def test_a_schedule_raises_an_alarm_and_ends_it_by_a_moved_clock(
    platform: Platform, member: ApiClient, trained: dict[str, Any]
) -> None:
    events, sqs = platform.client("events"), platform.client("sqs")
    queue = sqs.create_queue(QueueName="model-alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["slipway.local"], "detail": {"user_id": [member.username]}}
    events.put_rule(Name="model-alarms", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="model-alarms", Targets=[{"Id": "queue", "Arn": arn}])
    model = {"model_id": trained["model"]["model_id"], "version": trained["model"]["version"]}
    asked = {"name": "Daily", "model": model, "dataset_id": trained["dataset_id"], "schedule": "rate(1 day)"}
    url = "/jobs/evaluations/schedules"
    schedule = member.call("POST", url, asked | {"threshold": 2})
    url = f"{url}/{schedule['id']}"

    def run(passed: timedelta) -> dict[str, Any]:
        clock = (datetime.now(UTC) + passed).isoformat(timespec="seconds")
        before = member.call("GET", url)["last_job_id"]
        invoke(platform, "jobs_watch", {"detail-type": "Scheduled Event", "time": clock})
        *_, seen = member.follow(url, lambda found: found["last_job_id"] != before)
        assert member.wait(f"/jobs/{seen['last_job_id']}", *ENDED)["status"] == "completed"
        return member.call("GET", url)

    raised = run(timedelta(minutes=1))
    assert (raised["alarm"], raised["last_status"]) == (True, "completed")
    assert "below the threshold of 2" in raised["alarm_reason"]
    member.call("PATCH", url, {"threshold": 0.9})
    assert run(timedelta(days=1, minutes=1))["alarm"] is False
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(message["Body"])["detail"]["state"] for message in found] == ["ALARM", "OK"]
    listed = member.call("GET", f"/jobs?kind=evaluation&schedule_id={schedule['id']}")["items"]
    assert len(listed) == 2
    member.call("DELETE", url)
    events.remove_targets(Rule="model-alarms", Ids=["queue"])
    events.delete_rule(Name="model-alarms")
