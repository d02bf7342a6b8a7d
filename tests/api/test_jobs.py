"""Jobs before and after they run: created, held, scheduled, started, stopped, renamed, repeated, deleted.

Run: python -m pytest tests/api/test_jobs.py
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.common.store import iso
from lambdas.jobs import training_request
from lambdas.jobs.service import JOBS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.jobs import (
    created,
    datasets_handler,
    end,
    has_execution,
    holders,
    new_job,
    new_llm,
    of,
    record,
    recover,
    table,
    texts,
    under_way,
)


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


@pytest.fixture
def dataset(ada: ApiClient) -> str:
    return table(ada)


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


class TestCreate:
    def test_a_job_is_queued_and_keeps_its_dataset(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset))
        assert (job["status"], job["stage"]) == ("pending", "queued")
        assert has_execution(job["id"])
        assert holders(ada.username, dataset) == {job["id"]}
        assert ada.get(f"/jobs/{job['id']}").body["reason"] == "It is being submitted to its queue."

    def test_the_container_is_told_the_columns_by_their_roles(self, ada: ApiClient, dataset: str) -> None:
        assert record(created(ada, new_job(dataset))).column_mapping == {"target": "kind"}
        assert record(created(ada, new_llm(texts(ada)))).column_mapping == {"text": "text"}

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"hold": True, "not_before": "2100-01-01T00:00:00Z"}, "not_before"),
            ({"not_before": "2020-01-01T00:00:00Z"}, "not_before"),
            ({"not_before": "2100-01-01T00:00:00"}, "not_before"),
            ({"instance_count": 9}, "instance_count"),
            ({"instance_count": 2}, "instance_count"),  # tabular is trained by one
            ({"instance_type": "ml.p5.48xlarge"}, "instance_type"),
            ({"deploy": {"instance_type": "ml.p5.48xlarge"}}, "deploy.instance_type"),
            ({"base_model": {"model_id": "iris"}}, "base_model"),  # tabular starts from nothing
            ({"training_type": "llm", "parameters": {}}, "dataset_id"),  # a table without texts
            ({"training_type": "llm", "parameters": {"lora_r": 0}}, "parameters.lora_r"),
        ],
    )
    def test_what_cannot_run_is_refused_by_its_field(
        self, ada: ApiClient, dataset: str, change: dict[str, Any], field: str
    ) -> None:
        answer = ada.post("/jobs", new_job(dataset, **change))
        assert answer.status == 400, answer.body
        assert field in {error["field"] for error in answer.body["errors"]}
        assert holders(ada.username, dataset) == set()

    def test_a_job_needs_no_more_instances_than_there_are(self, ada: ApiClient) -> None:
        wanted = new_llm(texts(ada), instance_type="ml.g5.xlarge", instance_count=4)
        assert created(ada, wanted)["instance_count"] == 4
        refused = ada.post("/jobs", wanted | {"instance_count": 5})
        assert (refused.status, refused.body["errors"][0]["field"]) == (400, "instance_count")

    def test_many_at_once_each_have_their_own_answer(self, ada: ApiClient, dataset: str) -> None:
        wanted = [new_job(dataset), new_job(dataset, parameters={"target": "taste"}), new_job(dataset, hold=True)]
        answer = ada.post("/jobs/batch", {"jobs": wanted})
        first, second, third = answer.body["items"]
        assert (first["job"]["stage"], third["job"]["stage"]) == ("queued", "held")
        assert second["job"] is None and second["error"]["code"] == "bad_request"
        assert "taste" in second["error"]["detail"]

    def test_members_may_be_limited_to_some_instance_types(
        self, api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMBER_INSTANCE_TYPES", '["ml.g5.xlarge"]')
        member, admin = api("jobs"), api("jobs", group="admin")
        assert created(member, new_job(table(member)))["instance_type"] == "ml.g5.xlarge"
        refused = member.post("/jobs", new_job(table(member), instance_type="ml.m5.large"))
        assert (refused.status, refused.body["errors"][0]["field"]) == (400, "instance_type")
        assert created(admin, new_job(table(admin)))["instance_type"] == "ml.m5.large"

    def test_other_people_and_viewers_change_nothing(
        self, api: Callable[..., ApiClient], ada: ApiClient, dataset: str
    ) -> None:
        job = created(ada, new_job(dataset, hold=True))
        for client, status in ((api("jobs"), 404), (api("jobs", username=ada.username, group="viewer"), 403)):
            for route in ("start", "stop", "rerun"):
                assert client.post(f"/jobs/{job['id']}/{route}").status == status, route
            assert client.patch(f"/jobs/{job['id']}", {"name": "Mine"}).status == status
            assert client.delete(f"/jobs/{job['id']}").status == status
        assert api("jobs").get(f"/jobs/{job['id']}/capsule").status == 404


class TestHeld:
    def test_a_held_job_starts_when_it_is_told_to(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset, hold=True))
        assert job["stage"] == "held" and not has_execution(job["id"])
        assert under_way(ada.username) == []
        assert "/start" in ada.get(f"/jobs/{job['id']}").body["reason"]
        started = ada.post(f"/jobs/{job['id']}/start")
        assert (started.status, started.body["stage"]) == (202, "queued")
        assert has_execution(job["id"]) and under_way(ada.username) == [job["id"]]
        again = ada.post(f"/jobs/{job['id']}/start")
        assert again.status == 409 and "queued already" in again.body["detail"]

    def test_a_held_job_that_is_stopped_ends_at_once(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset, hold=True))
        assert holders(ada.username, dataset) == {job["id"]}
        stopped = ada.post(f"/jobs/{job['id']}/stop")
        assert (stopped.status, stopped.body["status"]) == (202, "cancelled")
        assert holders(ada.username, dataset) == set()
        assert ada.post(f"/jobs/{job['id']}/start").status == 409
        assert ada.post(f"/jobs/{job['id']}/stop").status == 409
        assert ada.delete(f"/jobs/{job['id']}").status == 204

    def test_a_job_is_deleted_only_when_it_has_ended(self, ada: ApiClient, dataset: str) -> None:
        for change in ({"hold": True}, {"not_before": in_an_hour()}, {}):
            job = created(ada, new_job(dataset, **change))
            assert ada.delete(f"/jobs/{job['id']}").status == 409


class TestScheduled:
    def test_a_job_starts_when_its_time_has_come(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset, not_before=in_an_hour()))
        assert job["stage"] == "held" and "or up to five minutes later" in ada.get(f"/jobs/{job['id']}").body["reason"]
        recover(ada.username)
        assert record(job).stage == "held" and not has_execution(job["id"])
        JOBS.update(record(job), not_before=iso(datetime.now(UTC)))
        recover(ada.username)
        assert record(job).stage == "queued" and has_execution(job["id"])
        assert ada.get("/jobs/usage").body["jobs"] == 1

    def test_it_may_be_started_sooner_or_stopped(self, ada: ApiClient, dataset: str) -> None:
        first, second = (created(ada, new_job(dataset, not_before=in_an_hour())) for _ in range(2))
        assert ada.post(f"/jobs/{first['id']}/start").body["stage"] == "queued"
        assert ada.post(f"/jobs/{second['id']}/stop").body["status"] == "cancelled"
        assert under_way(ada.username) == [first["id"]]
        assert ada.get("/jobs/usage").body["jobs"] == 1


class TestChange:
    def test_a_job_can_be_renamed_whatever_it_does(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset))
        changed = ada.patch(f"/jobs/{job['id']}", {"name": "Better", "description": "Why"})
        assert (changed.body["name"], changed.body["description"]) == ("Better", "Why")
        end(job)
        assert ada.patch(f"/jobs/{job['id']}", {"description": None}).body["description"] is None

    def test_the_priority_counts_while_it_waits(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset, hold=True))
        assert ada.patch(f"/jobs/{job['id']}", {"priority": "high"}).body["priority"] == "high"
        JOBS.update(record(job), status="running", stage="training")
        refused = ada.patch(f"/jobs/{job['id']}", {"priority": "low", "name": "Other"})
        assert (refused.status, record(job).name) == (409, "Kinds")

    @pytest.mark.parametrize("change", [{"name": None}, {"priority": None}, {"priority": "urgent"}, {"stage": "held"}])
    def test_nothing_else_changes(self, ada: ApiClient, dataset: str, change: dict[str, Any]) -> None:
        job = created(ada, new_job(dataset, hold=True))
        assert ada.patch(f"/jobs/{job['id']}", change).status == 400


class TestRerun:
    def test_a_job_is_repeated_from_what_it_was_made_of(self, ada: ApiClient, dataset: str) -> None:
        wanted = new_job(dataset, parameters={"target": "kind", "seed": 7}, priority="low", max_runtime_seconds=600)
        job = created(ada, wanted)
        JOBS.update(record(job), image_uri="registry/tabular:abc")
        end(job, "completed")
        answer = ada.post(f"/jobs/{job['id']}/rerun")
        assert answer.status == 201, answer.body
        first, second = record(job), record(answer.body)
        same = ("dataset_id", "dataset_version", "dataset_sha256", "dataset_uri", "parameters", "image_uri", "priority")
        same += ("instance_type", "instance_count", "max_runtime_seconds", "column_mapping", "training_type", "model")
        assert {name: getattr(second, name) for name in same} == {name: getattr(first, name) for name in same}
        assert (second.rerun_of, second.stage) == (first.id, "queued") and second.id != first.id
        configs = [training_request.config(one, deployment()) | {"job_id": ""} for one in (first, second)]
        assert configs[0] == configs[1]

    def test_another_column_mapping_of_the_dataset_changes_nothing(self, ada: ApiClient) -> None:
        dataset = texts(ada)
        job = created(ada, new_llm(dataset))
        other = {"column_mapping": {"messages": "text"}}
        assert ApiClient(datasets_handler(), ada.username).patch(f"/datasets/{dataset}", other).status == 200
        again = created_again(ada, job)
        assert (again["dataset_version"], again["rerun_of"]) == (1, job["id"])
        assert record(again).column_mapping == record(job).column_mapping == {"text": "text"}

    def test_a_base_model_of_the_same_name_is_not_the_same(self, api: Callable[..., ApiClient], ada: ApiClient) -> None:
        models = api("models", username=ada.username)
        version = registry.ready(models)
        job = created(ada, new_llm(texts(ada), base_model={"model_id": "iris"}))
        assert record(created_again(ada, job)).base_model_id == version["id"]
        for made in of(ada.username):
            end({"user_id": made.owner, "id": made.id})
        assert models.delete(registry.at(version)).status == 204
        registry.ready(models)
        refused = ada.post(f"/jobs/{job['id']}/rerun")
        assert refused.status == 409 and "another has its name" in refused.body["detail"]

    def test_it_says_when_the_data_is_gone(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset))
        end(job)
        assert ApiClient(datasets_handler(), ada.username).delete(f"/datasets/{dataset}").status == 204
        refused = ada.post(f"/jobs/{job['id']}/rerun")
        assert refused.status == 409
        assert job["id"] in refused.body["detail"] and dataset in refused.body["detail"]


def created_again(jobs: ApiClient, job: dict[str, Any]) -> dict[str, Any]:
    answer = jobs.post(f"/jobs/{job['id']}/rerun")
    assert answer.status == 201, answer.body
    return answer.body


def deployment() -> training_request.Deployment:
    return training_request.Deployment(stage="test", role_arn="", jobs_bucket="", images={}, queues={})


class TestBaseModel:
    @pytest.fixture
    def models(self, api: Callable[..., ApiClient], ada: ApiClient) -> ApiClient:
        return api("models", username=ada.username)

    def test_it_is_kept_while_the_job_lives_and_reaches_the_container(self, ada: ApiClient, models: ApiClient) -> None:
        version = registry.ready(models)
        job = created(ada, new_llm(texts(ada), base_model={"model_id": "iris"}))
        assert job["base_model"] == {"model_id": "iris", "version": "v1", "user_id": ada.username}
        request = training_request.create_training_job(record(job), deployment_with_image())
        uris = {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in request["InputDataConfig"]
        }
        assert uris["model"].endswith(f"/{ada.username}/iris/v1/")
        refused = models.delete(registry.at(version))
        assert refused.status == 409 and job["id"] in refused.body["detail"]
        capsule = ada.get(f"/jobs/{job['id']}/capsule").body
        assert capsule["base_model"] == {"reference": f"{ada.username}/iris@v1", "id": version["id"]}
        end(job)
        assert models.delete(registry.at(version)).status == 204

    def test_only_what_is_ready_and_clean_is_gone_on_from(self, ada: ApiClient, models: ApiClient) -> None:
        version = registry.ready(models, {"model.pkl": registry.hostile()}, model_id="bad")
        assert version["status"] == "blocked"
        dataset = texts(ada)
        refused = ada.post("/jobs", new_llm(dataset, base_model={"model_id": "bad"}))
        assert refused.status == 409 and "ready and clean" in refused.body["detail"]
        odd = registry.ready(models, model_id="odd")
        MODELS.update(MODELS.get(ada.username, odd["id"]), verdict="suspicious")
        refused = ada.post("/jobs", new_llm(dataset, base_model={"model_id": "odd"}))
        assert refused.status == 409 and "suspicious" in refused.body["detail"]
        assert ada.post("/jobs", new_llm(dataset, base_model={"model_id": "none"})).status == 404
        assert holders(ada.username, dataset) == set()

    def test_another_users_model_must_be_shared(self, api: Callable[..., ApiClient], ada: ApiClient) -> None:
        bob = api("models")
        registry.ready(bob)
        wanted = new_llm(texts(ada), base_model={"model_id": "iris", "user_id": bob.username})
        assert ada.post("/jobs", wanted).status == 404


def deployment_with_image() -> training_request.Deployment:
    return training_request.Deployment("test", "role", "bucket", {"huggingface": "image"}, {"ml.m5.large": "queue"})


class TestCapsule:
    def test_before_the_model_is_there_it_says_what_is_known(self, ada: ApiClient, dataset: str) -> None:
        job = created(ada, new_job(dataset, hold=True, managed_spot=True))
        capsule = ada.get(f"/jobs/{job['id']}/capsule").body
        assert capsule["dataset"]["sha256"] == record(job).dataset_sha256
        assert capsule["given_parameters"] == {"target": "kind"}
        assert capsule["instance"] == {
            "type": "ml.m5.large",
            "count": 1,
            "managed_spot": True,
            "max_runtime_seconds": 3600,
        }
        assert (capsule["parameters"], capsule["versions"], capsule["image"]["uri"]) == (None, None, None)
