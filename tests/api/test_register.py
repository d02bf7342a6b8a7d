"""`POST /register`: one request, one job, and a model is in the registry and served.

Run: python -m pytest tests/api/test_register.py
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas.endpoints import registration_tasks
from lambdas.endpoints.service import ENDPOINTS
from lambdas.jobs.registrations import REGISTRATIONS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.jobs import created, end, new_job, table
from tests.api.registrations import (
    SERVE,
    go_on,
    has_execution,
    look,
    of,
    reconcile,
    reference,
    registered,
    registering,
    servable,
    under_way,
)
from tests.api.sagemaker import our_sagemaker

Api = Callable[..., ApiClient]
NEW = {"model_id": "rose", "name": "Rose", "files": [{"filename": "model.json", "size": len(registry.CONFIG)}]}


@pytest.fixture(scope="module", autouse=True)
def own_sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE):
        yield


@pytest.fixture
def ada(api: Api) -> ApiClient:
    return api("jobs")


def job_of(user: ApiClient, job: dict[str, Any]) -> dict[str, Any]:
    answer = user.get(f"/jobs/{job['id']}")
    assert answer.status == 200, answer.body
    return answer.body


class TestWorkflow:
    def test_a_version_that_is_there_is_deployed(self, api: Api, ada: ApiClient) -> None:
        version = servable(api, ada)
        job = registered(ada, model=reference(version))
        assert (job["kind"], job["status"], job["uploads"]) == ("register", "pending", None)
        assert job["model"] == {"id": version["id"], "user_id": ada.username, **reference(version)}
        assert has_execution(job["id"])
        assert look(job) == {"over": False, "seconds": 2}
        seen = job_of(ada, job)
        assert (seen["status"], seen["stage"]) == ("running", "deploying")
        assert has_execution(seen["endpoint_id"])
        go_on(ada.username)
        seen = job_of(ada, job)
        assert (seen["status"], seen["stage"], seen["reason"]) == ("completed", None, None)
        endpoint = ENDPOINTS.get(ada.username, seen["endpoint_id"])
        assert (endpoint.status, endpoint.model_version_id, endpoint.name) == ("in_service", version["id"], "Iris")
        assert under_way(ada.username) == []
        assert [item["id"] for item in ada.get("/jobs?kind=register").body["items"]] == [job["id"]]
        assert ada.get("/jobs?kind=register&status=failed").body["items"] == []
        assert ada.get("/jobs").body["items"] == []

    def test_its_endpoint_has_the_stages_lease_and_a_longer_one_is_refused_at_once(
        self, api: Api, ada: ApiClient
    ) -> None:
        model = reference(servable(api, ada))
        refused = registering(ada).post("/register", {"name": "Iris", "model": model, "lease_hours": 25})
        assert (refused.status, refused.body["errors"][0]["field"]) == (400, "lease_hours")
        job = registered(ada, model=model)
        look(job)
        assert ENDPOINTS.get(ada.username, job_of(ada, job)["endpoint_id"]).lease_hours == 24

    def test_new_files_become_a_version_and_its_scan_is_waited_for(self, api: Api, ada: ApiClient) -> None:
        models = api("models", username=ada.username)
        job = registered(ada, new_model=NEW, deploy=False)
        assert (job["stage"], job["model"]["version"], job["endpoint_id"]) == ("uploading", "v1", None)
        (part,) = job["uploads"]["model.json"]["parts"]
        assert registry.put_part(part, registry.CONFIG).ok
        assert look(job)["over"] is False
        version = registry.complete(models, job["model"]).body
        look(job)
        seen = job_of(ada, job)
        assert (seen["status"], seen["stage"]) == ("running", "scanning")
        registry.scan_now(version)
        assert look(job)["over"] is True
        assert job_of(ada, job)["status"] == "completed"
        assert models.get(f"/ai-models/{ada.username}/rose").body["verdict"] == "clean"
        assert under_way(ada.username) == []

    def test_what_was_registered_alone_is_deployed_later(self, api: Api, ada: ApiClient) -> None:
        version = servable(api, ada)
        first = registered(ada, model=reference(version), deploy=False)
        go_on(ada.username)
        assert (job_of(ada, first)["status"], job_of(ada, first)["endpoint_id"]) == ("completed", None)
        second = registered(ada, model=reference(version))
        go_on(ada.username)
        assert job_of(ada, second)["status"] == "completed" and job_of(ada, second)["endpoint_id"]

    def test_the_version_of_a_completed_job_is_deployed(self, api: Api, ada: ApiClient) -> None:
        from lambdas.jobs.schemas import RegisteredModel
        from lambdas.jobs.service import JOBS
        from tests.api.jobs import record

        version, job = servable(api, ada), created(ada, new_job(table(ada)))
        refused = registering(ada).post("/register", {"name": "Iris", "job_id": job["id"]})
        assert (refused.status, "is pending" in refused.body["detail"]) == (409, True)
        JOBS.update(record(job), model=RegisteredModel(id=version["id"], **reference(version)))
        end(job, "completed")
        assert registered(ada, job_id=job["id"])["model"]["id"] == version["id"]

    def test_a_version_that_the_scanner_blocks_ends_the_job_with_its_words(self, api: Api, ada: ApiClient) -> None:
        models = api("models", username=ada.username)
        version = registry.single(models, registry.hostile(), "model.pkl").body
        job = registered(ada, model=reference(version))
        registry.scan_now(version)
        go_on(ada.username)
        seen = job_of(ada, job)
        assert (seen["status"], seen["endpoint_id"]) == ("failed", None)
        assert "blocked" in seen["reason"]

    def test_a_version_that_cannot_be_served_is_refused_at_once(self, api: Api, ada: ApiClient) -> None:
        version = registry.ready(api("models", username=ada.username))
        answer = registering(ada).post("/register", {"name": "Iris", "model": reference(version)})
        assert (answer.status, "cannot be served" in answer.body["detail"]) == (409, True)
        assert of(ada.username) == [] and under_way(ada.username) == []

    def test_an_endpoint_that_fails_fails_the_job(self, api: Api, ada: ApiClient) -> None:
        job = registered(ada, model=reference(servable(api, ada)))
        look(job)
        endpoint = ENDPOINTS.get(ada.username, job_of(ada, job)["endpoint_id"])
        ENDPOINTS.update(endpoint, status="failed", reason="No such image.")
        look(job)
        assert (job_of(ada, job)["status"], job_of(ada, job)["reason"]) == ("failed", "No such image.")

    def test_a_version_that_is_deleted_on_the_way_ends_the_job(self, api: Api, ada: ApiClient) -> None:
        models = api("models", username=ada.username)
        job = registered(ada, new_model=NEW)
        assert models.delete(registry.at(job["model"])).status == 204
        look(job)
        assert "was deleted" in job_of(ada, job)["reason"]


class TestAgain:
    """The same request has the same answer; another one has not."""

    def test_the_same_content_is_the_same_job(self, api: Api, ada: ApiClient) -> None:
        body = {"model": reference(servable(api, ada))}
        job = registered(ada, **body)
        assert registered(ada, **body)["id"] == job["id"]
        go_on(ada.username)
        assert registered(ada, **body)["id"] == job["id"]
        assert registered(ada, **body, name="Another")["id"] != job["id"]
        assert registered(ada, **body, client_token="another")["id"] != job["id"]

    def test_the_same_new_model_is_one_version_with_the_same_uploads(self, ada: ApiClient) -> None:
        first, second = registered(ada, new_model=NEW), registered(ada, new_model=NEW)
        assert (first["id"], first["model"]) == (second["id"], second["model"])
        assert first["uploads"].keys() == second["uploads"].keys() == {"model.json"}

    def test_once_its_endpoint_is_gone_the_same_content_is_another_job(self, api: Api, ada: ApiClient) -> None:
        body = {"model": reference(servable(api, ada))}
        job = registered(ada, **body)
        go_on(ada.username)
        endpoint = ENDPOINTS.get(ada.username, job_of(ada, job)["endpoint_id"])
        ENDPOINTS.update(endpoint, status="deleting")
        again = registered(ada, **body)
        assert again["id"] != job["id"]
        assert registered(ada, **body)["id"] == again["id"]
        assert ada.delete(f"/jobs/{job['id']}").status == 204  # which leaves the later one's trace alone
        assert registered(ada, **body)["id"] == again["id"]

    def test_a_token_means_one_request_for_ever(self, api: Api, ada: ApiClient) -> None:
        body = {"model": reference(servable(api, ada)), "client_token": "deploy-42"}
        job = registered(ada, **body)
        assert ada.post(f"/jobs/{job['id']}/stop").body["status"] == "cancelled"
        assert registered(ada, **body)["id"] == job["id"]
        other = registering(ada).post("/register", {"name": "Other", **body})
        assert (other.status, other.body["errors"][0]["field"]) == (409, "client_token")

    def test_what_was_cancelled_or_deleted_is_tried_again(self, api: Api, ada: ApiClient) -> None:
        body = {"model": reference(servable(api, ada))}
        job = registered(ada, **body)
        ada.post(f"/jobs/{job['id']}/stop")
        again = registered(ada, **body)
        assert again["id"] != job["id"]
        ada.post(f"/jobs/{again['id']}/stop")
        assert ada.delete(f"/jobs/{again['id']}").status == 204
        assert registered(ada, **body)["id"] not in {job["id"], again["id"]}

    def test_a_record_that_is_gone_is_no_answer(self, api: Api, ada: ApiClient) -> None:
        body = {"model": reference(servable(api, ada))}
        job = registered(ada, **body)
        REGISTRATIONS.delete(REGISTRATIONS.get(ada.username, job["id"]))
        assert registered(ada, **body)["id"] != job["id"]

    def test_another_user_s_same_content_is_another_job(self, api: Api) -> None:
        assert len({registered(api("jobs"), new_model=NEW)["id"] for _ in range(2)}) == 2


class TestRefusals:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"model": {"model_id": "iris"}, "new_model": NEW},
            {"model": {"model_id": "iris"}, "deploys": True},
            {"job_id": "mdl-1"},
            {"model": {"model_id": "iris"}, "client_token": "a b"},
        ],
    )
    def test_what_makes_no_sense_is_a_400(self, ada: ApiClient, body: dict[str, Any]) -> None:
        assert registering(ada).post("/register", {"name": "Iris"} | body).status == 400

    def test_others_models_jobs_and_registrations_are_not_there(self, api: Api, ada: ApiClient) -> None:
        version, other = servable(api, ada), api("jobs")
        model = reference(version) | {"user_id": ada.username}
        assert registering(other).post("/register", {"name": "Theirs", "model": model}).status == 404
        new = NEW | {"user_id": ada.username}
        assert registering(other).post("/register", {"name": "Theirs", "new_model": new}).status == 404
        job = registered(ada, model=reference(version))
        assert other.get(f"/jobs/{job['id']}").status == 404
        assert other.post(f"/jobs/{job['id']}/stop").status == 404
        viewer = api("jobs", username=ada.username, group="viewer")
        assert (viewer.get(f"/jobs/{job['id']}").status, viewer.delete(f"/jobs/{job['id']}").status) == (200, 403)
        assert registering(viewer).post("/register", {"name": "Mine", "model": model}).status == 403

    def test_a_name_that_is_taken_leaves_no_job(self, api: Api, ada: ApiClient) -> None:
        registry.ready(api("models", username=ada.username), model_id="rose")
        answer = registering(ada).post("/register", {"name": "Rose", "new_model": NEW | {"version": "v1"}})
        assert answer.status == 409, answer.body
        assert of(ada.username) == [] and under_way(ada.username) == []

    def test_an_instance_type_that_the_stage_has_not_is_refused(self, api: Api, ada: ApiClient) -> None:
        body = {"name": "Iris", "model": reference(servable(api, ada)), "instance_type": "ml.p5.48xlarge"}
        answer = registering(ada).post("/register", body)
        assert (answer.status, answer.body["errors"][0]["field"]) == (400, "instance_type")

    def test_one_that_deploys_is_stopped_no_more_and_one_under_way_not_deleted(self, api: Api, ada: ApiClient) -> None:
        job = registered(ada, model=reference(servable(api, ada)))
        assert ada.delete(f"/jobs/{job['id']}").status == 409
        look(job)
        refused = ada.post(f"/jobs/{job['id']}/stop")
        assert (refused.status, "DELETE /endpoints/ep-" in refused.body["detail"]) == (409, True)
        go_on(ada.username)
        assert ada.post(f"/jobs/{job['id']}/stop").status == 409
        assert ada.delete(f"/jobs/{job['id']}").status == 204
        assert ada.get(f"/jobs/{job['id']}").status == 404


def test_a_request_that_did_not_live_to_make_its_version_is_given_up(ada: ApiClient) -> None:
    job = registered(ada, new_model=NEW)
    (found,) = of(ada.username)
    version = MODELS.get(ada.username, job["model"]["id"])
    MODELS.update(version, status="deleting")
    absent = found.model.model_copy(update={"version": None})
    REGISTRATIONS.settle(found, model=absent)
    registration_tasks.reconcile(ada.username, job["id"])
    assert job_of(ada, job)["status"] == "pending"
    REGISTRATIONS.settle(found, created_at="2026-01-01T00:00:00.000Z")
    reconcile(ada.username)
    assert "was interrupted" in job_of(ada, job)["reason"]
