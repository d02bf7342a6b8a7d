"""Scripts through their API: uploaded, judged, listed, held by jobs, deleted.  `pytest tests/api/test_scripts.py`"""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.common import waits
from lambdas.common.errors import BadRequest, Conflict, NotFound
from lambdas.common.identity import Caller
from lambdas.common.transactions import transact
from lambdas.jobs import scripts, trainings
from lambdas.jobs.schemas import JobCreate, JobScript
from tests.api.client import ApiClient
from tests.api.datasets import put_parts
from tests.script_zips import HOSTILE, example, packed


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


def uploaded(client: ApiClient, archive: bytes) -> str:
    """Upload a script's parts; return its id."""
    created = client.post("/jobs/scripts", {"name": "Mine", "size": len(archive)})
    assert created.status == 201, created.body
    put_parts(created.body["upload"], archive)
    return created.body["id"]


def caller(client: ApiClient) -> Caller:
    return Caller(username=client.username, role="member")


def ready(client: ApiClient, archive: bytes | None = None) -> dict[str, Any]:
    """Upload and complete a script; return it."""
    answer = client.post(f"/jobs/scripts/{uploaded(client, archive or example())}/complete")
    assert answer.status == 200, answer.body
    return answer.body


def test_an_uploaded_script_is_ready_with_its_hash_and_listed(ada: ApiClient) -> None:
    script = ready(ada)
    assert (script["status"], script["user_id"], script["used_by"]) == ("ready", ada.username, [])
    assert script["sha256"] == hashlib.sha256(example()).hexdigest()
    assert ada.get("/jobs/scripts").body["items"] == [script]
    assert ada.post(f"/jobs/scripts/{script['id']}/complete").body == script
    assert ada.get("/jobs").body["items"] == []
    assert ada.get(f"/jobs/{script['id']}").status == 404


def test_a_script_that_is_not_all_there_says_so_and_stays_open(ada: ApiClient) -> None:
    created = ada.post("/jobs/scripts", {"name": "Mine", "size": len(example())}).body
    refused = ada.post(f"/jobs/scripts/{created['id']}/complete")
    assert (refused.status, refused.body["detail"][:16]) == (400, "1 of 1 parts are")
    again = ada.get(f"/jobs/scripts/{created['id']}/upload")
    assert (again.status, again.body["missing"]) == (200, 1)
    put_parts(again.body, example())
    assert ada.get(f"/jobs/scripts/{created['id']}/upload").body["parts"] == []
    assert ada.post(f"/jobs/scripts/{created['id']}/complete").status == 200
    assert ada.get(f"/jobs/scripts/{created['id']}/upload").status == 409


@pytest.mark.parametrize("kind", ["above", "link", "no zip"])
def test_a_dishonest_zip_is_refused_for_good(ada: ApiClient, kind: str) -> None:
    archive, problem = HOSTILE[kind]
    id = uploaded(ada, archive)
    refused = ada.post(f"/jobs/scripts/{id}/complete")
    assert refused.status == 400 and refused.body["detail"].startswith("The ZIP ")
    assert problem in refused.body["detail"]
    assert ada.post(f"/jobs/scripts/{id}/complete").body["detail"] == refused.body["detail"]
    [script] = ada.get("/jobs/scripts").body["items"]
    assert (script["status"], script["reason"]) == ("failed", refused.body["detail"])
    with pytest.raises(BadRequest, match="is failed"):
        scripts.for_job(caller(ada), JobScript(id=id))


def test_a_job_names_a_file_that_the_zip_has(ada: ApiClient) -> None:
    script = ready(ada, packed({"main.py": "", "lib/train.py": ""}))
    used = scripts.for_job(caller(ada), JobScript(id=script["id"], entry_point="lib/train.py"))
    assert (used.entry_point, used.sha256) == ("lib/train.py", script["sha256"])
    with pytest.raises(BadRequest, match=r"has no run\.py") as raised:
        scripts.for_job(caller(ada), JobScript(id=script["id"], entry_point="run.py"))
    assert raised.value.errors and raised.value.errors[0]["field"] == "script.entry_point"


def test_only_custom_jobs_run_a_script_and_they_need_one(ada: ApiClient) -> None:
    dataset, script = "ds-" + "0" * 19, JobScript(id="scr-" + "0" * 19)
    for type, given in (("custom", None), ("tabular", script)):
        request = JobCreate.model_validate(
            {"name": "J", "dataset_id": dataset, "training_type": type, "script": given and given.model_dump()}
        )
        with pytest.raises(BadRequest, match=r"give script\.id with that type"):
            trainings.script_of(caller(ada), request)


def test_a_script_in_use_stays_and_a_deleted_one_is_swept(ada: ApiClient) -> None:
    id = ready(ada)["id"]
    used = scripts.for_job(caller(ada), JobScript(id=id))
    transact(*scripts.hold(ada.username, used, "job-1"))
    with pytest.raises(Conflict, match="is used by job-1"):
        scripts.delete(scripts.owned(caller(ada), id))
    transact(*scripts.release(ada.username, used, "job-1"))
    scripts.delete(scripts.owned(caller(ada), id))
    assert (ada.username, id) in waits.under_way(scripts.PREFIX)
    with pytest.raises(NotFound):
        scripts.owned(caller(ada), id)
    with pytest.raises(Conflict):
        transact(*scripts.hold(ada.username, used, "job-2"))


def test_anothers_script_is_absent_and_a_viewer_brings_none(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    id = ready(ada)["id"]
    assert api("jobs").post(f"/jobs/scripts/{id}/complete").status == 404
    assert api("jobs").delete(f"/jobs/scripts/{id}").status == 404
    assert api("jobs", group="viewer").post("/jobs/scripts", {"name": "M", "size": 1}).status == 403
    with pytest.raises(NotFound):
        scripts.for_job(caller(api("jobs")), JobScript(id=id))
