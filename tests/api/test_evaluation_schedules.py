"""Schedules of evaluations: what is due makes one job, what it comes to raises and ends an alarm, by a moved clock.

Run: python -m pytest tests/api/test_evaluation_schedules.py
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from lambdas.common import transactions
from lambdas.common.errors import Stale
from lambdas.common.ids import new_id
from lambdas.jobs import alarms, schedules, tasks
from lambdas.jobs.schemas import Job
from lambdas.jobs.service import JOBS
from lambdas.models.schemas import PrimaryMetric
from tests.api import registry
from tests.api.client import Answer, ApiClient
from tests.api.crashes import deaths
from tests.api.datasets import put_parts, run_workflow, version_id
from tests.api.evaluations import complete, serving, trained_model
from tests.api.jobs import TABLE, datasets_handler, end, has_execution, of, recover, table
from tests.api.registrations import reference
from tests.aws_requests import faults
from tests.units.test_jobs import job as a_job

Api = Callable[..., ApiClient]
URL = "/jobs/evaluations/schedules"


@pytest.fixture
def ada(api: Api) -> ApiClient:
    return api("jobs")


@pytest.fixture
def told(ada: ApiClient) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the default bus sends to a rule for the user's alarms."""
    events, sqs = boto3.client("events"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName=ada.username)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["slipway.test"], "detail-type": [alarms.DETAIL_TYPE], "detail": {"user_id": [ada.username]}}
    events.put_rule(Name=ada.username, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=ada.username, Targets=[{"Id": "queue", "Arn": arn}])

    def received() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["detail"] for message in messages]

    yield received
    events.remove_targets(Rule=ada.username, Ids=["queue"])
    events.delete_rule(Name=ada.username)


def asked(user: ApiClient, version: dict[str, Any], dataset: str, **changes: Any) -> Answer:
    body = {"name": "Nightly", "model": reference(version), "dataset_id": dataset, "schedule": "rate(1 day)"}
    return user.post(URL, body | changes)


def scheduled(api: Api, user: ApiClient, **changes: Any) -> dict[str, Any]:
    """Return a schedule on a new model and a new dataset of the user's."""
    answer = asked(user, trained_model(api, user, version="auto"), table(user), **changes)
    assert answer.status == 201, answer.body
    return answer.body


def later(**passed: float) -> datetime:
    return datetime.now(UTC) + timedelta(**passed)


def wake(user: ApiClient, now: datetime) -> None:
    """Do at that time what the schedules' function is called for, as far as it is the user's."""
    for owner, id in schedules.due(now):
        if owner == user.username:
            tasks.schedule({"owner": owner, "id": id, "time": now.isoformat()}, None)


def seen(user: ApiClient, schedule: dict[str, Any]) -> dict[str, Any]:
    answer = user.get(f"{URL}/{schedule['id']}")
    assert answer.status == 200, answer.body
    return answer.body


def newest(user: ApiClient, schedule: dict[str, Any]) -> Job:
    return JOBS.get(user.username, seen(user, schedule)["last_job_id"])


def pointers(user: ApiClient) -> list[str]:
    """Return the ids of the user's schedules that are due some time."""
    return [id for owner, id in schedules.due(later(days=4000)) if owner == user.username]


def test_a_rate_begins_at_once_and_makes_one_job_for_each_time(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada, threshold=0.8)
    assert (schedule["status"], schedule["alarm"], schedule["dataset_version"]) == ("active", False, None)
    assert schedule["model"]["user_id"] == ada.username
    for day, jobs in ((0, 1), (0, 1), (0.99, 1), (1.01, 2), (1.02, 2)):
        for _ in range(2):
            wake(ada, later(days=day))
        assert len(of(ada.username)) == jobs
        for job in of(ada.username):
            if not job.ended:
                assert has_execution(job.id)
                complete(job)
    shown = seen(ada, schedule)
    assert datetime.fromisoformat(shown["next_run_at"]) - datetime.fromisoformat(schedule["next_run_at"]) == timedelta(
        2
    )
    assert (shown["last_status"], shown["last_metric"]["value"], shown["reason"]) == ("completed", 0.9, None)
    jobs = ada.get(f"/jobs?kind=evaluation&schedule_id={schedule['id']}").body["items"]
    assert [(job["schedule_id"], job["threshold"]) for job in jobs] == [(schedule["id"], 0.8)] * 2
    assert jobs[0]["id"] == shown["last_job_id"] > jobs[1]["id"]
    assert pointers(ada) == [schedule["id"]]


def test_what_was_missed_is_made_up_for_once(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada, schedule="cron(0 6 * * ? *)")
    assert schedule["next_run_at"].endswith("T06:00:00.000Z")
    wake(ada, datetime.fromisoformat(schedule["next_run_at"]) - timedelta(seconds=1))
    assert of(ada.username) == []
    clock = datetime.fromisoformat(schedule["next_run_at"]) + timedelta(days=3, hours=2)
    for _ in range(2):
        wake(ada, clock)
    assert len(of(ada.username)) == 1
    following = datetime.fromisoformat(seen(ada, schedule)["next_run_at"])
    assert following == datetime.fromisoformat(schedule["next_run_at"]) + timedelta(days=4)


def test_a_calendar_that_ends_pauses_with_its_last_run(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada, schedule=f"cron(0 6 1 1 ? {datetime.now(UTC).year + 1})")
    wake(ada, datetime.fromisoformat(schedule["next_run_at"]))
    shown = seen(ada, schedule)
    assert (len(of(ada.username)), shown["status"], shown["next_run_at"]) == (1, "paused", None)
    assert "no further time" in shown["reason"] and pointers(ada) == []
    assert ada.post(f"{URL}/{schedule['id']}/resume").status == 200  # the clock was moved: it is due again


def test_a_run_that_comes_second_makes_no_second_job(api: Api, ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = alarms.SCHEDULES.get(ada.username, scheduled(api, ada)["id"])
    wake(ada, later())
    monkeypatch.setattr(transactions, "TURNS", 1)
    with pytest.raises(Stale):
        schedules.evaluate(schedule, datetime.fromisoformat(schedule.created_at), later(days=1))
    assert [job.id for job in of(ada.username)] == [seen(ada, {"id": schedule.id})["last_job_id"]]


def test_a_run_takes_the_newest_version_of_the_data(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada)
    wake(ada, later())
    client, id = ApiClient(datasets_handler(), ada.username), schedule["dataset_id"]
    more = TABLE + b"99,1,a\n"
    begun = client.post(f"/datasets/{id}/versions", {"files": [{"filename": "iris.csv", "size": len(more)}]}).body
    put_parts(begun["uploads"]["iris.csv"], more)
    assert client.post(f"/datasets/{id}/complete").status == 202
    run_workflow(ada.username, version_id(id, 2))
    complete(newest(ada, schedule))
    wake(ada, later(days=1.1))
    assert sorted(job.dataset_version for job in of(ada.username)) == [1, 2]


def test_a_run_asks_about_what_an_endpoint_serves_by_then(api: Api, ada: ApiClient) -> None:
    endpoint, dataset = new_id("ep"), table(ada)
    versions = [trained_model(api, ada, version="auto") for _ in range(2)]
    about = {"name": "Live", "endpoint_id": endpoint, "dataset_id": dataset, "schedule": "rate(1 day)"}
    assert ada.post(URL, about).status == 404
    serving(ada.username, endpoint, versions[0])
    schedule = ada.post(URL, about).body
    for day, version in enumerate(versions):
        serving(ada.username, endpoint, version)
        wake(ada, later(days=day + 0.1))
        complete(newest(ada, schedule))
        assert newest(ada, schedule).base_model_id == version["id"]
    assert (schedule["model"], schedule["endpoint_id"]) == (None, endpoint)


def test_a_time_is_left_out_while_the_job_before_has_not_ended(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada)
    wake(ada, later())
    job = newest(ada, schedule)
    wake(ada, later(days=1.1))
    shown = seen(ada, schedule)
    assert len(of(ada.username)) == 1 and job.id in shown["reason"] and "had not ended" in shown["reason"]
    end({"user_id": job.owner, "id": job.id})
    shown = seen(ada, schedule)
    assert (shown["last_status"], shown["last_reason"]) == ("failed", "The test is over.")
    wake(ada, later(days=2.1))
    assert (len(of(ada.username)), seen(ada, schedule)["reason"]) == (2, None)


def test_an_alarm_begins_stays_and_ends_with_the_figures(api: Api, ada: ApiClient, told: Any) -> None:
    schedule = scheduled(api, ada, threshold=0.8)
    states = []
    for day, value in enumerate((0.9, 0.7, 0.6, 0.8)):
        wake(ada, later(days=day + 0.1))
        complete(newest(ada, schedule), value)
        shown = seen(ada, schedule)
        states.append((shown["alarm"], shown["alarm_reason"], shown["alarm_since"] is not None))
        assert newest(ada, schedule).alarm == shown["alarm"]
    words = "test_accuracy is {}, below the threshold of 0.8."
    raised = [(True, words.format(value), True) for value in (0.7, 0.6)]
    assert states == [(False, None, False), *raised, (False, None, False)]
    events = told()
    assert [(event["state"], event["metric"]["value"]) for event in events] == [("ALARM", 0.7), ("OK", 0.8)]
    assert {(event["schedule_id"], event["dataset_id"]) for event in events} == {
        (schedule["id"], schedule["dataset_id"])
    }


def test_less_is_better_where_the_metric_says_so_and_a_failure_ends_no_alarm(api: Api, ada: ApiClient) -> None:
    schedule = scheduled(api, ada, threshold=2)
    wake(ada, later())
    complete(newest(ada, schedule), 2.5, "test_rmse", "min")
    raised = seen(ada, schedule)
    assert (raised["alarm"], raised["alarm_reason"]) == (True, "test_rmse is 2.5, above the threshold of 2.")
    wake(ada, later(days=1.1))
    end({"user_id": ada.username, "id": newest(ada, schedule).id})
    assert seen(ada, schedule)["alarm_since"] == raised["alarm_since"]
    ada.patch(f"{URL}/{schedule['id']}", {"threshold": None})
    wake(ada, later(days=2.1))
    complete(newest(ada, schedule), 9, "test_rmse", "min")
    assert seen(ada, schedule)["alarm"] is False


@pytest.mark.parametrize(("value", "alarm"), [(0.5, False), (0.4999, True), (float("nan"), True)])
def test_a_figure_that_is_none_is_past_every_threshold(value: float, alarm: bool) -> None:
    for direction in ("max", "min"):
        metric = PrimaryMetric(name="m", value=value if direction == "max" else 1 - value, direction=direction)
        assert (alarms.past(metric, 0.5) is not None) == alarm
    assert alarms.past(metric, None) is None


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_the_event_is_one_that_eventbridge_takes(value: float) -> None:
    metric = PrimaryMetric(name="test_accuracy", value=value, direction="max")
    entry = alarms.entry(a_job(threshold=0.9), metric, "ALARM", "It is too low.")
    assert faults("events", "PutEvents", {"Entries": [entry]}) == []
    assert "NaN" not in entry["Detail"] and json.loads(entry["Detail"])["metric"]["name"] == "test_accuracy"


class TestChanges:
    def test_a_paused_schedule_makes_no_job_until_it_goes_on(self, api: Api, ada: ApiClient) -> None:
        schedule = scheduled(api, ada)
        url = f"{URL}/{schedule['id']}"
        for _ in range(2):
            paused = ada.post(f"{url}/pause").body
            assert (paused["status"], paused["next_run_at"]) == ("paused", None)
        assert seen(ada, schedule)["reason"] == "Paused on request." and pointers(ada) == []
        wake(ada, later(days=9))
        assert of(ada.username) == []
        for _ in range(2):
            resumed = ada.post(f"{url}/resume").body
            assert (resumed["status"], resumed["reason"]) == ("active", None)
        wake(ada, later())
        assert len(of(ada.username)) == 1

    def test_another_expression_counts_from_now_on(self, api: Api, ada: ApiClient) -> None:
        schedule = scheduled(api, ada)
        changed = ada.patch(f"{URL}/{schedule['id']}", {"schedule": "cron(0 6 1 1 ? *)", "name": "Yearly"}).body
        assert changed["name"] == "Yearly" and "-01-01T06:00" in changed["next_run_at"]
        assert pointers(ada) == [schedule["id"]]
        for wrong, field in (({"schedule": "daily"}, "schedule"), ({"model": {}}, "model")):
            answer = ada.patch(f"{URL}/{schedule['id']}", wrong)
            assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)
        assert ada.patch(f"{URL}/{schedule['id']}", {"schedule": None}).status == 400

    def test_it_is_deleted_once_no_job_of_its_is_under_way(self, api: Api, ada: ApiClient) -> None:
        schedule = scheduled(api, ada)
        wake(ada, later())
        job = newest(ada, schedule)
        refused = ada.delete(f"{URL}/{schedule['id']}")
        assert (refused.status, job.id in refused.body["detail"]) == (409, True)
        complete(job)
        assert ada.delete(f"{URL}/{schedule['id']}").status == 204
        assert (ada.get(f"{URL}/{schedule['id']}").status, pointers(ada)) == (404, [])
        assert ada.get(f"/jobs/{job.id}").body["schedule_id"] == schedule["id"]


class TestRefusals:
    def test_what_cannot_be_evaluated_is_refused_at_once(self, api: Api, ada: ApiClient) -> None:
        version, dataset = trained_model(api, ada), table(ada)
        wrong = {"schedule": "every day", "threshold": "good", "dataset_version": 0, "not_before": "now"}
        for field, value in wrong.items():
            answer = asked(ada, version, dataset, **{field: value})
            assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)
        assert asked(ada, version, dataset, model={"model_id": "none"}).status == 404
        assert (ada.get(URL).body["items"], pointers(ada)) == ([], [])

    def test_it_is_its_owners_and_acts_as_nobody_else(self, api: Api, ada: ApiClient) -> None:
        schedule, other, admin = scheduled(api, ada), api("jobs"), api("jobs", group="admin")
        url = f"{URL}/{schedule['id']}"
        assert (other.get(url).status, other.post(f"{url}/pause").status, other.get(URL).body["items"]) == (
            404,
            404,
            [],
        )
        assert api("jobs", username=ada.username, group="viewer").delete(url).status == 403
        assert [item["id"] for item in ada.get(URL).body["items"]] == [schedule["id"]]
        assert admin.post(f"{url}/pause").status == 200
        model = schedule["model"]
        assert asked(admin, {"model_id": "", "version": ""}, table(admin), model=model).status == 404
        assert ada.get(f"{URL}/{of_a_job(ada)}").status == 404

    @pytest.mark.parametrize("gone", ["model", "dataset"])
    def test_it_pauses_with_the_reason_when_what_it_needs_is_gone(self, gone: str, api: Api, ada: ApiClient) -> None:
        schedule = scheduled(api, ada)
        if gone == "model":
            client, version = api("models", username=ada.username), schedule["model"]
            url = registry.at(version | {"user_id": ada.username})
        else:
            client, url = ApiClient(datasets_handler(), ada.username), f"/datasets/{schedule['dataset_id']}"
        assert client.delete(url).status in (200, 204)
        wake(ada, later())
        shown = seen(ada, schedule)
        assert (shown["status"], shown["next_run_at"]) == ("paused", None)
        assert shown["reason"].startswith("It cannot be evaluated: ") and of(ada.username) == []
        wake(ada, later(days=9))

    def test_it_waits_while_its_owner_is_past_a_limit(
        self, api: Api, ada: ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schedule, other = scheduled(api, ada), of_a_job(ada)
        with monkeypatch.context() as limits:
            limits.setenv("MAX_JOBS_PER_USER", "1")
            wake(ada, later())
        shown = seen(ada, schedule)
        assert (shown["status"], shown["next_run_at"]) == ("active", schedule["next_run_at"])
        assert shown["reason"].startswith("It waits: ")
        wake(ada, later())
        assert newest(ada, schedule).id != other and seen(ada, schedule)["reason"] is None


def of_a_job(user: ApiClient) -> str:
    """Return the id of a job of the user's, which is no schedule."""
    answer = user.post("/jobs", {"name": "Kinds", "dataset_id": table(user), "parameters": {"target": "kind"}})
    return answer.body["id"]


@pytest.mark.thorough
def test_a_run_that_dies_at_any_call_is_made_good_by_the_next(api: Api, ada: ApiClient) -> None:
    schedule, made = scheduled(api, ada), 0

    def ran() -> bool:
        tasks.schedule({"owner": ada.username, "id": schedule["id"], "time": clock.isoformat()}, None)
        return True

    clock = later()
    for _ in deaths(ran):
        wake(ada, clock)
        recover(ada.username)
        made += 1
        assert len(of(ada.username)) == made and has_execution(newest(ada, schedule).id)
        complete(newest(ada, schedule))
        clock += timedelta(days=1)
    assert made > 5


@pytest.mark.thorough
def test_an_end_that_dies_at_any_call_is_told_of_and_kept(api: Api, ada: ApiClient, told: Any) -> None:
    schedule, clock = scheduled(api, ada, threshold=0.8), later()
    values = (0.7, 0.9)
    wake(ada, clock)
    job, count = newest(ada, schedule), 0

    def ended() -> bool:
        complete(job, values[count % 2])
        return True

    for _ in deaths(ended):
        ended()
        assert newest(ada, schedule).ended
        assert seen(ada, schedule)["alarm"] == (count % 2 == 0)
        assert {event["state"] for event in told()} == {("ALARM", "OK")[count % 2]}
        count += 1
        clock += timedelta(days=1)
        wake(ada, clock)
        job = newest(ada, schedule)
