"""Datasets through their API: upload straight to S3, processing, ready.

Run: python -m pytest tests/api/test_datasets.py
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests

from lambdas.common import uploads, workflows
from lambdas.common.errors import Conflict, NotFound
from lambdas.common.identity import Caller
from lambdas.common.ids import ID_PATTERN
from lambdas.common.transactions import transact
from lambdas.datasets import files, service, tasks, versions
from lambdas.datasets.records import DATASETS, VERSIONS
from lambdas.datasets.report import NO_REPORT
from tests.api.client import ApiClient
from tests.api.datasets import (
    IRIS,
    first_version,
    new_dataset,
    objects,
    processed,
    put,
    run_workflow,
    upload,
    waits_for,
)


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("datasets")


def test_an_uploaded_csv_becomes_ready_with_its_shape_and_hash(ada: ApiClient) -> None:
    dataset = processed(ada, IRIS)
    assert (dataset["status"], dataset["rows"], dataset["columns"], dataset["reason"]) == ("ready", 4, 3, None)
    assert len(dataset["sha256"]) == 64
    assert dataset["sha256"] == hashlib.sha256(IRIS).hexdigest()
    assert "uploads" not in dataset


def test_a_new_dataset_says_where_to_put_its_file(ada: ApiClient) -> None:
    created = ada.post("/datasets", new_dataset(IRIS, description="Fisher's", tags=["a", "b", "a"]))
    assert created.status == 201
    dataset = created.body
    assert re.fullmatch(ID_PATTERN, dataset["id"])
    assert (dataset["user_id"], dataset["status"], dataset["version"]) == (ada.username, "uploading", 1)
    assert (dataset["tags"], dataset["visibility"]) == (["a", "b"], "private")
    assert [(part["number"], part["offset"], part["size"]) for part in dataset["uploads"]["iris.csv"]["parts"]] == [
        (1, 0, len(IRIS))
    ]


def test_preview_profile_and_download_show_what_was_uploaded(ada: ApiClient) -> None:
    dataset = processed(ada, IRIS)
    preview = ada.get(f"/datasets/{dataset['id']}/preview").body
    assert preview["columns"] == ["sepal_length", "sepal_width", "species"]
    assert preview["rows"][1] == ["4.9", "", "setosa"]
    profile = ada.get(f"/datasets/{dataset['id']}/profile").body
    length, width, species = profile["columns"]
    assert (profile["rows"], profile["encoding"], profile["delimiter"]) == (4, "utf-8", ",")
    assert (length["type"], length["min"], length["max"]) == ("number", 4.9, 7.0)
    assert (width["missing"], width["distinct"]) == (1, 3)
    assert species["top"][0] == {"value": "setosa", "count": 2}
    (download,) = ada.get(f"/datasets/{dataset['id']}/download").body["files"]
    assert (download["filename"], download["size"], download["sha256"]) == ("iris.csv", len(IRIS), dataset["sha256"])
    file = requests.get(download["url"], timeout=20)
    assert file.content == IRIS
    assert "iris.csv" in file.headers["Content-Disposition"]


def test_the_manifest_beside_the_file_holds_what_the_registry_needs(ada: ApiClient) -> None:
    dataset = processed(ada, IRIS)
    key = f"{ada.username}/{dataset['id']}/v0001/manifest.json"
    stored = boto3.client("s3").get_object(Bucket=os.environ["DATASETS_BUCKET"], Key=key)["Body"].read()
    manifest = json.loads(stored)
    assert manifest["owner"] == ada.username
    assert manifest["dataset_id"] == dataset["id"]
    for name in ("name", "type", "format", "tags", "version", "sha256"):
        assert manifest[name] == dataset[name], name
    (file,) = manifest["files"]
    assert (file["filename"], file["size"], file["sha256"]) == ("iris.csv", len(IRIS), dataset["sha256"])
    assert manifest["profile"]["columns"][2]["type"] == "category"


def test_a_file_that_cannot_be_used_fails_with_the_row_and_the_remedy(ada: ApiClient) -> None:
    dataset = processed(ada, b"a,b\n1,2\n1,2,3\n")
    assert dataset["status"] == "failed"
    assert "Row 3 has 3 fields" in dataset["reason"]
    profile = ada.get(f"/datasets/{dataset['id']}/profile")
    assert profile.status == 409
    assert "Row 3" in profile.body["detail"]
    assert ada.post(f"/datasets/{dataset['id']}/complete").status == 409
    assert not waits_for(dataset["id"])


def test_an_upload_goes_on_where_it_was_interrupted(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * uploads.MIB)  # the least that S3 takes
    content = b"a,b\n" + b"1,2\n" * (5 * 1024 * 1024 // 4)  # 5 MiB and a header: two parts
    dataset = ada.post("/datasets", new_dataset(content)).body
    first, second = dataset["uploads"]["iris.csv"]["parts"]
    put(second, content)
    early = ada.post(f"/datasets/{dataset['id']}/complete")
    assert (early.status, early.body["code"]) == (400, "bad_request")
    assert "the first is 1" in early.body["detail"]
    resumed = ada.get(f"/datasets/{dataset['id']}/upload").body["uploads"]["iris.csv"]
    assert [part["number"] for part in resumed["parts"]] == [first["number"]]
    put(resumed["parts"][0], content)
    assert ada.get(f"/datasets/{dataset['id']}/upload").body["uploads"]["iris.csv"]["missing"] == 0
    assert ada.post(f"/datasets/{dataset['id']}/complete").status == 202
    assert ada.get(f"/datasets/{dataset['id']}/upload").status == 409


def test_a_part_url_takes_neither_more_bytes_nor_another_key(ada: ApiClient) -> None:
    part = ada.post("/datasets", new_dataset(IRIS)).body["uploads"]["iris.csv"]["parts"][0]
    assert requests.put(part["url"], data=IRIS + b"more", timeout=20).status_code == 403
    assert requests.put(part["url"].replace("iris.csv", "other.csv"), data=IRIS, timeout=20).status_code == 403


def test_completing_twice_starts_one_execution(ada: ApiClient) -> None:
    dataset = upload(ada, IRIS)
    first, second = (ada.post(f"/datasets/{dataset['id']}/complete") for _ in range(2))
    assert first.status == second.status == 202
    assert first.body == second.body
    version = first_version(dataset["id"])
    execution = workflows.execution("PROCESS_WORKFLOW_ARN", version)
    assert json.loads(execution["input"]) == {"owner": ada.username, "id": version}


def test_a_complete_that_died_half_way_is_finished_by_the_next(ada: ApiClient) -> None:
    dataset = upload(ada, IRIS)
    version = VERSIONS.get(ada.username, first_version(dataset["id"]))
    files.complete_uploads(files.listed(version))  # and then the function was killed
    assert ada.post(f"/datasets/{dataset['id']}/complete").body["status"] == "processing"


def test_completing_what_was_never_uploaded_names_the_missing_part(ada: ApiClient) -> None:
    dataset = ada.post("/datasets", new_dataset(IRIS)).body
    assert ada.post(f"/datasets/{dataset['id']}/complete").status == 400
    assert ada.get(f"/datasets/{dataset['id']}").body["status"] == "uploading"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": "conll"}, "format"),
        ({"format": "doc"}, "format"),
        ({"type": "image"}, "format"),
        ({"filename": "iris.xlsx"}, "files"),
        ({"filename": "../iris.csv"}, "files"),
        ({"filename": 'a".csv'}, "files"),
        ({"filename": "/a.csv"}, "files"),
        ({"filename": ".csv"}, "files"),
        ({"files": []}, "files"),
        ({"files": [{"filename": "a.csv", "size": 1}, {"filename": "A.csv", "size": 1}]}, "files"),
        ({"files": [{"filename": "a.csv", "size": 0}]}, "files"),
        ({"column_mapping": {"colour": "x"}}, "column_mapping"),
        ({"name": "   "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"type": "spreadsheet"}, "type"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"status": "ready"}, "status"),
        ({"owner": "eve"}, "owner"),
    ],
)
def test_a_wrong_field_is_refused_by_name(ada: ApiClient, changes: dict[str, Any], field: str) -> None:
    answer = ada.post("/datasets", new_dataset(IRIS, **changes))
    assert answer.status == 400
    assert answer.body["errors"][0]["field"].split(".")[0] == field
    assert ada.get("/datasets").body["items"] == []


def test_a_file_past_the_limit_is_too_large(ada: ApiClient) -> None:
    answer = ada.post("/datasets", new_dataset(files=[{"filename": "a.csv", "size": 5 * 1024**3 + 1}]))
    assert (answer.status, answer.body["code"]) == (413, "too_large")


def test_unreadable_json_and_repeated_query_keys_are_bad_requests(ada: ApiClient) -> None:
    assert ada.post("/datasets", "{not json").status == 400
    assert ada.get("/datasets?limit=1&limit=2").status == 400
    assert ada.get("/datasets?cursor=***").status == 400
    assert ada.get("/datasets?limit=0").status == 400


def test_lists_page_newest_first_and_filter(ada: ApiClient) -> None:
    ids = []
    for number in range(5):
        fields = {
            "name": f"d{number}",
            "type": "text" if number % 2 else "tabular",
            "tags": [f"t{number}"],
            "description": f"Set {number}",
        }
        ids.append(ada.post("/datasets", new_dataset(IRIS, **fields)).body["id"])
        wait_for_next_millisecond()
    assert listed(ada, "/datasets?limit=2") == ids[::-1]
    assert listed(ada, "/datasets?limit=1&type=tabular") == [ids[4], ids[2], ids[0]]
    assert listed(ada, "/datasets?tag=t3") == [ids[3]]
    assert listed(ada, "/datasets?status=ready") == []
    assert listed(ada, "/datasets?query=D2") == [ids[2]]
    assert listed(ada, "/datasets?query=set+T4") == [ids[4]]
    assert listed(ada, "/datasets?query=d2+t4") == []
    one = ada.get("/datasets?limit=5").body
    assert one["next_cursor"] is None


def listed(client: ApiClient, url: str) -> list[str]:
    """The ids of all pages."""
    ids, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{url}{cursor and f'&cursor={cursor}'}").body
        ids += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    return ids


def wait_for_next_millisecond() -> None:
    """Ids made in the same millisecond sort by chance."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


def test_changes_touch_only_what_was_sent(ada: ApiClient) -> None:
    id = ada.post("/datasets", new_dataset(IRIS, description="old")).body["id"]
    changed = ada.patch(f"/datasets/{id}", {"name": "New", "tags": ["x", "x"]}).body
    assert (changed["name"], changed["tags"], changed["description"]) == ("New", ["x"], "old")
    assert ada.patch(f"/datasets/{id}", {"description": None}).body["description"] is None
    assert ada.get(f"/datasets/{id}").body["name"] == "New"
    for body in ({"name": None}, {"status": "ready"}, {"sha256": "0"}, {"owner": "eve"}, {"version": 2}):
        assert ada.patch(f"/datasets/{id}", body).status == 400, body


def test_renaming_at_the_moment_processing_ends_is_kept(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = upload(ada, IRIS)
    ada.post(f"/datasets/{dataset['id']}/complete")
    names, change = ["Second", "First"], DATASETS.change

    def change_after_a_rename(record: Any, **changes: Any) -> Any:
        if names and "name" not in changes:
            DATASETS.update(DATASETS.get(record.owner, record.id), name=names.pop())
        return change(record, **changes)

    monkeypatch.setattr(DATASETS, "change", change_after_a_rename)
    run_workflow(ada.username, first_version(dataset["id"]))
    after = ada.get(f"/datasets/{dataset['id']}").body
    assert (after["status"], after["name"]) == ("ready", "Second")


OPERATIONS = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/upload"),
    ("POST", "/complete"),
    ("GET", "/download"),
    ("GET", "/preview"),
    ("GET", "/profile"),
    ("GET", "/readiness"),
    ("GET", "/versions"),
    ("POST", "/versions"),
]
READS = [("GET", path) for path in ("", "/download", "/preview", "/profile", "/readiness", "/versions")]
BODIES = {("PATCH", ""): {"name": "x"}, ("POST", "/versions"): {"files": [{"filename": "a.csv", "size": 1}]}}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_another_users_dataset_is_absent(ada: ApiClient, api: Callable[..., ApiClient], method: str, path: str) -> None:
    id = ada.post("/datasets", new_dataset(IRIS)).body["id"]
    eve = api("datasets")
    body = BODIES.get((method, path))
    answer = eve.call(method, f"/datasets/{id}{path}", body)
    absent = eve.call(method, f"/datasets/ds-0000000000000000000{path}", body)
    assert answer.status == absent.status == 404
    assert answer.body["detail"].replace(id, "") == absent.body["detail"].replace("ds-0000000000000000000", "")


def test_a_shared_dataset_is_read_by_others_and_changed_by_none(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    id = processed(ada, IRIS, visibility="shared")["id"]
    for client in (api("datasets"), api("datasets", group="viewer")):
        for method, path in OPERATIONS:
            status = client.call(method, f"/datasets/{id}{path}", BODIES.get((method, path))).status
            assert status == (200 if (method, path) in READS else 403 if client.group == "viewer" else 404), path
        assert listed(client, f"/datasets?user_id={ada.username}") == [id]
        assert listed(client, "/datasets") == []


def test_private_datasets_are_not_listed_for_others_but_for_admins(
    ada: ApiClient, api: Callable[..., ApiClient]
) -> None:
    id = ada.post("/datasets", new_dataset(IRIS)).body["id"]
    assert listed(api("datasets"), f"/datasets?user_id={ada.username}") == []
    admin = api("datasets", group="admin")
    assert listed(admin, f"/datasets?user_id={ada.username}") == [id]
    assert admin.get(f"/datasets/{id}").status == 200
    assert admin.patch(f"/datasets/{id}", {"tags": ["seen"]}).body["user_id"] == ada.username


def test_viewers_write_nothing_and_strangers_read_nothing(api: Callable[..., ApiClient]) -> None:
    viewer = api("datasets", group="viewer")
    assert viewer.post("/datasets", new_dataset(IRIS)).status == 403
    assert viewer.get("/datasets").status == 200
    assert viewer.call("GET", "/datasets", claims={}).status == 401


def test_a_deleted_dataset_leaves_nothing_behind(ada: ApiClient) -> None:
    for dataset in (processed(ada, IRIS), upload(ada, IRIS), processed(ada, b"a\n")):
        assert ada.delete(f"/datasets/{dataset['id']}").status == 204
        assert ada.get(f"/datasets/{dataset['id']}").status == 404
        assert objects(ada.username, dataset["id"]) == []
        assert not waits_for(dataset["id"])


def test_a_dataset_in_use_is_not_deleted_and_names_its_users(ada: ApiClient) -> None:
    id = processed(ada, IRIS)["id"]
    caller = Caller(ada.username, "member")
    transact(service.hold(service.for_training(caller, id, None).dataset, "job-1"))
    refused = ada.delete(f"/datasets/{id}")
    assert refused.status == 409
    assert "job-1" in refused.body["detail"]
    assert ada.get(f"/datasets/{id}").body["used_by"] == ["job-1"]
    transact(service.release(ada.username, id, "job-1"))
    assert ada.delete(f"/datasets/{id}").status == 204


def test_only_a_ready_dataset_can_be_held_or_used(ada: ApiClient) -> None:
    caller = Caller(ada.username, "member")
    uploading = upload(ada, IRIS)["id"]
    with pytest.raises(Conflict, match="still uploading"):
        service.for_training(caller, uploading, None)
    with pytest.raises(Conflict):
        transact(service.hold(DATASETS.get(ada.username, uploading), "job-1"))
    failed = processed(ada, b"a\n")["id"]
    with pytest.raises(Conflict, match="no rows"):
        service.for_training(caller, failed, None)
    with pytest.raises(NotFound):
        service.for_training(Caller("eve", "member"), failed, None)


def test_a_dataset_being_processed_is_not_deleted(ada: ApiClient) -> None:
    id = upload(ada, IRIS)["id"]
    ada.post(f"/datasets/{id}/complete")
    assert ada.delete(f"/datasets/{id}").status == 409


# What reconcile finishes. The schedule's event names no dataset; the workflow's names one.


SCHEDULE = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}}


def execution_event(id: str, status: str) -> dict[str, Any]:
    """The event of Step Functions' developer guide, "Automating Step Functions event delivery"."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"name": id, "status": status, "stateMachineArn": os.environ["PROCESS_WORKFLOW_ARN"]},
    }


def test_an_execution_that_ended_without_a_result_fails_its_dataset(ada: ApiClient) -> None:
    id = upload(ada, IRIS)["id"]
    ada.post(f"/datasets/{id}/complete")
    version = first_version(id)
    tasks.recover(execution_event(version, "FAILED"), None)  # but the execution still runs: an event is only a hint
    assert ada.get(f"/datasets/{id}").body["status"] == "processing"
    execution = workflows.execution("PROCESS_WORKFLOW_ARN", version)
    boto3.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])
    tasks.recover(execution_event(version, "ABORTED"), None)
    dataset = ada.get(f"/datasets/{id}").body
    assert (dataset["status"], dataset["reason"]) == ("failed", NO_REPORT)
    assert not waits_for(id)
    assert ada.get(f"/datasets/{id}/download").status == 200  # the file is there still


def test_processing_that_never_began_is_started(ada: ApiClient) -> None:
    id = first_version(upload(ada, IRIS)["id"])
    version = VERSIONS.get(ada.username, id)
    files.complete_uploads(files.listed(version))
    versions.settle(version, since="uploading", status="processing")  # and then the function was killed
    assert workflows.execution("PROCESS_WORKFLOW_ARN", id)["status"] == "ABSENT"
    tasks.recover(SCHEDULE, None)
    assert workflows.execution("PROCESS_WORKFLOW_ARN", id)["status"] != "ABSENT"


def test_an_upload_left_for_a_week_fails_and_a_younger_one_goes_on(ada: ApiClient) -> None:
    old, young = upload(ada, IRIS)["id"], upload(ada, IRIS)["id"]
    week_ago = (datetime.now(UTC) - timedelta(days=7, minutes=1)).isoformat()
    VERSIONS.update(VERSIONS.get(ada.username, first_version(old)), created_at=week_ago)
    assert ada.get("/datasets/storage").body["used_bytes"] == 2 * len(IRIS)
    tasks.recover(SCHEDULE, None)
    assert ada.get(f"/datasets/{old}").body["reason"] == tasks.NOT_UPLOADED
    assert ada.get(f"/datasets/{old}/upload").status == 409
    assert ada.get(f"/datasets/{old}/download").status == 409
    assert ada.get(f"/datasets/{young}").body["status"] == "uploading"
    assert ada.get("/datasets/storage").body["used_bytes"] == len(IRIS)
    assert ada.delete(f"/datasets/{old}").status == 204
    assert ada.get("/datasets/storage").body["used_bytes"] == len(IRIS)


def test_a_deletion_that_died_half_way_is_finished(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    id = processed(ada, IRIS)["id"]

    def killed(prefix: str) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("lambdas.common.objects.delete_prefix", killed)
        assert ada.delete(f"/datasets/{id}").status == 500
    assert ada.get(f"/datasets/{id}").status == 404
    assert objects(ada.username, id) != []
    tasks.recover(SCHEDULE, None)
    assert objects(ada.username, id) == []
    assert not waits_for(id)


def test_one_dataset_that_cannot_be_reconciled_does_not_stop_the_others(
    ada: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(first_version(upload(ada, IRIS)["id"]) for _ in range(2))
    reconciled = []

    def reconcile(owner: str, id: str) -> None:
        reconciled.append(id)
        raise RuntimeError(id)

    monkeypatch.setattr(tasks, "reconcile", reconcile)
    with pytest.raises(RuntimeError):
        tasks.recover(SCHEDULE, None)
    assert set(ids) <= set(reconciled)


def test_processing_again_changes_nothing(ada: ApiClient) -> None:
    dataset = processed(ada, IRIS)
    run_workflow(ada.username, first_version(dataset["id"]))
    assert ada.get(f"/datasets/{dataset['id']}").body == dataset
    gone = {"owner": ada.username, "id": "dsv-0000000000000000000-0001"}
    assert tasks.process(gone | {"step": "prepare"}, None) == gone | {"way": "none"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_files_in_other_encodings_are_read(ada: ApiClient, encoding: str) -> None:
    dataset = processed(ada, "città;€\nMünchen;1,5\nKøbenhavn;2\n".encode(encoding))
    assert (dataset["status"], dataset["reason"]) == ("ready", None)
    preview = ada.get(f"/datasets/{dataset['id']}/preview").body
    assert (preview["columns"], preview["rows"]) == (["città", "€"], [["München", "1,5"], ["København", "2"]])


def test_a_file_whose_late_bytes_are_not_utf_8_is_read_again(ada: ApiClient) -> None:
    content = b"a,b\n" + (b"1," + b"x" * 1000 + b"\n") * 2000 + "1,Müller\n".encode("cp1252")
    dataset = processed(ada, content)
    assert (dataset["status"], dataset["rows"]) == ("ready", 2001)
    assert dataset["sha256"] == hashlib.sha256(content).hexdigest()
    assert ada.get(f"/datasets/{dataset['id']}/profile").body["encoding"] == "cp1252"
