"""Versions of datasets: each with files of its own, the newest ready one shown, none ever changed.

Run: python -m pytest tests/api/test_datasets_versions.py
"""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests

from lambdas.common.errors import Conflict
from lambdas.common.identity import Caller
from lambdas.datasets import service, tasks
from lambdas.datasets.records import DATASETS, version_id
from lambdas.datasets.requests import VersionCreate
from tests.api.client import ApiClient
from tests.api.datasets import IRIS, first_version, new_dataset, objects, processed, put_parts, run_workflow, upload

pytestmark = pytest.mark.thorough

MORE = IRIS + b"5.0,3.6,setosa\n"


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("datasets")


def next_version(client: ApiClient, id: str, content: bytes = MORE) -> int:
    """Upload and process one more version; return its number."""
    begun = client.post(f"/datasets/{id}/versions", {"files": [{"filename": "iris.csv", "size": len(content)}]})
    assert begun.status == 201, begun.body
    put_parts(begun.body["uploads"]["iris.csv"], content)
    assert client.post(f"/datasets/{id}/complete").status == 202
    run_workflow(client.username, version_id(id, begun.body["version"]))
    return begun.body["version"]


def test_a_new_version_is_shown_once_it_is_ready_and_the_old_one_stays(ada: ApiClient) -> None:
    first = processed(ada)
    path = f"/datasets/{first['id']}"
    assert ada.post(f"{path}/versions", {"files": [{"filename": "iris.csv", "size": len(MORE)}]}).body["version"] == 2
    meanwhile = ada.get(path).body
    assert (meanwhile["status"], meanwhile["version"], meanwhile["newest"]) == ("ready", 1, 2)
    assert next_version(ada, first["id"]) == 3
    shown = ada.get(path).body
    assert (shown["version"], shown["rows"], shown["size"]) == (3, 5, len(MORE))
    assert shown["sha256"] != first["sha256"]
    old = ada.get(f"{path}/profile?version=1").body
    assert (old["rows"], ada.get(f"{path}/profile").body["rows"]) == (4, 5)
    (file,) = ada.get(f"{path}/download?version=1").body["files"]
    assert requests.get(file["url"], timeout=20).content == IRIS
    listed = ada.get(f"{path}/versions").body["items"]
    assert [(item["version"], item["status"]) for item in listed] == [(3, "ready"), (2, "uploading"), (1, "ready")]
    assert ada.get(f"{path}/profile?version=4").status == 404
    assert ada.get(f"{path}/profile?version=2").status == 409


def test_a_version_that_fails_leaves_the_ready_one_shown(ada: ApiClient) -> None:
    first = processed(ada)
    next_version(ada, first["id"], b"a,b\n1,2,3\n")
    assert ada.get(f"/datasets/{first['id']}").body == first | {
        "newest": 2,
        "updated_at": ada.get(f"/datasets/{first['id']}").body["updated_at"],
    }
    (failed, _) = ada.get(f"/datasets/{first['id']}/versions").body["items"]
    assert (failed["status"], "Row 2" in failed["reason"]) == ("failed", True)


def test_a_failed_dataset_is_mended_by_its_next_version(ada: ApiClient) -> None:
    failed = processed(ada, b"a,b\n1,2,3\n")
    assert failed["status"] == "failed"
    next_version(ada, failed["id"])
    mended = ada.get(f"/datasets/{failed['id']}").body
    assert (mended["status"], mended["reason"], mended["version"]) == ("ready", None, 2)


def test_a_late_older_version_does_not_replace_a_newer_one(ada: ApiClient) -> None:
    id = upload(ada)["id"]
    ada.post(f"/datasets/{id}/complete")
    next_version(ada, id)
    run_workflow(ada.username, first_version(id))
    shown = ada.get(f"/datasets/{id}").body
    assert (shown["version"], shown["rows"]) == (2, 5)
    assert {item["status"] for item in ada.get(f"/datasets/{id}/versions").body["items"]} == {"ready"}


def test_training_takes_the_version_that_is_asked_for(ada: ApiClient) -> None:
    id = processed(ada)["id"]
    next_version(ada, id)
    caller = Caller(ada.username, "member")
    assert service.for_training(caller, id, None).version == 2
    old = service.for_training(caller, id, 1)
    assert (old.version, old.profile.rows) == (1, 4)
    assert old.uri.endswith(f"/{ada.username}/{id}/v0001/files/")


def test_deleting_a_dataset_takes_all_versions_and_gives_their_bytes_back(ada: ApiClient) -> None:
    id = processed(ada)["id"]
    next_version(ada, id)
    ada.post(f"/datasets/{id}/versions", {"files": [{"filename": "a.csv", "size": 100}]})
    assert ada.get("/datasets/storage").body["used_bytes"] == len(IRIS) + len(MORE) + 100
    assert ada.delete(f"/datasets/{id}").status == 204
    assert ada.get("/datasets/storage").body["used_bytes"] == 0
    assert objects(ada.username, id) == []
    assert ada.get(f"/datasets/{id}/versions").status == 404


def test_two_versions_begun_at_once_get_two_numbers(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    id = processed(ada)["id"]
    change, meanwhile = DATASETS.change, [True]

    def change_after_another(record: Any, **changes: Any) -> Any:
        if "newest" in changes and meanwhile:
            meanwhile.clear()
            assert service.create_version(DATASETS.get(ada.username, id), one_file("b.csv")).version == 2
        return change(record, **changes)

    monkeypatch.setattr(DATASETS, "change", change_after_another)
    ours = ada.post(f"/datasets/{id}/versions", {"files": [{"filename": "a.csv", "size": 1}]})
    assert (ours.status, ours.body["version"]) == (201, 3)


def one_file(name: str) -> VersionCreate:
    return VersionCreate.model_validate({"files": [{"filename": name, "size": 1}]})


def test_several_files_are_one_dataset(ada: ApiClient) -> None:
    halves = {"a.csv": IRIS, "b.csv": MORE}
    said = [{"filename": name, "size": len(content)} for name, content in halves.items()]
    created = ada.post("/datasets", new_dataset(files=said)).body
    for name, content in halves.items():
        put_parts(created["uploads"][name], content)
    ada.post(f"/datasets/{created['id']}/complete")
    run_workflow(ada.username, first_version(created["id"]))
    dataset = ada.get(f"/datasets/{created['id']}").body
    assert (dataset["status"], dataset["rows"], dataset["file_count"]) == ("ready", 9, 2)
    every = ada.get(f"/datasets/{created['id']}/download").body["files"]
    assert [requests.get(file["url"], timeout=20).content for file in every] == [*halves.values()]
    (one,) = ada.get(f"/datasets/{created['id']}/download?filename=b.csv").body["files"]
    assert (one["filename"], one["size"]) == ("b.csv", len(MORE))
    assert ada.get(f"/datasets/{created['id']}/download?filename=c.csv").status == 404


def test_the_quota_counts_every_version_and_refuses_what_does_not_fit(
    ada: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_QUOTA_BYTES", "1000")
    a, b = (ada.post("/datasets", new_dataset(files=[{"filename": "a.csv", "size": 400}])).body for _ in range(2))
    refused = ada.post("/datasets", new_dataset(files=[{"filename": "a.csv", "size": 201}]))
    assert (refused.status, "1,000 together" in refused.body["detail"]) == (413, True)
    assert ada.post(f"/datasets/{a['id']}/versions", {"files": [{"filename": "a.csv", "size": 201}]}).status == 413
    assert ada.post("/datasets", new_dataset(files=[{"filename": "a.csv", "size": 1001}])).status == 413
    assert ada.get("/datasets/storage").body["used_bytes"] == 800
    assert len(ada.get("/datasets").body["items"]) == 2
    assert ada.delete(f"/datasets/{b['id']}").status == 204
    assert ada.post(f"/datasets/{a['id']}/versions", {"files": [{"filename": "a.csv", "size": 600}]}).status == 201


def test_many_datasets_are_created_in_one_call_and_each_says_how_it_went(
    ada: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_QUOTA_BYTES", "1000")
    wanted = [new_dataset(name=f"d{size}", files=[{"filename": "a.csv", "size": size}]) for size in (400, 700, 500)]
    wrong = new_dataset(type="image")
    items = ada.post("/datasets/bulk", {"datasets": [*wanted, wrong]}).body["items"]
    assert [item["dataset"] and item["dataset"]["name"] for item in items] == ["d400", None, "d500", None]
    assert [item["error"] and item["error"]["code"] for item in items] == [None, "too_large", None, "bad_request"]
    assert items[0]["dataset"]["uploads"]["a.csv"]["parts"][0]["url"].startswith("http")
    assert ada.post("/datasets/bulk", {"datasets": []}).status == 400
    assert ada.post("/datasets/bulk", {"datasets": [new_dataset()] * 51}).status == 400
    files = [{"filename": f"{n}.csv", "size": 1} for n in range(101)]
    many = ada.post("/datasets/bulk", {"datasets": [new_dataset(files=files)] * 2})
    assert (many.status, "at most 200 files" in str(many.body)) == (400, True)
    misspelt = ada.post("/datasets/bulk", {"datasets": [new_dataset(), new_dataset(colour="red")]})
    assert (misspelt.status, misspelt.body["errors"][0]["field"]) == (400, "datasets.1.colour")


def test_readiness_answers_for_one_training_or_all(ada: ApiClient) -> None:
    id = processed(ada)["id"]
    every = ada.get(f"/datasets/{id}/readiness").body["items"]
    assert {item["training_type"] for item in every} >= {"tabular", "llm", "object_detection"}
    (tabular,) = ada.get(f"/datasets/{id}/readiness?training_type=tabular&target=species").body["items"]
    assert tabular["problems"][0]["code"] == "too_few_rows"
    assert "4 examples" in tabular["problems"][0]["message"]
    assert ada.get(f"/datasets/{id}/readiness?training_type=dreams").status == 400


def test_a_column_mapping_says_which_column_plays_which_role(ada: ApiClient) -> None:
    rows = "".join(f"{'good' if n % 2 else 'bad'} film number {n},{n % 2}\n" for n in range(40))
    id = processed(ada, f"opinion,stars\n{rows}".encode(), type="text")["id"]
    url = f"/datasets/{id}/readiness?training_type=text_classification"
    changed = ada.patch(f"/datasets/{id}", {"column_mapping": {"text": "opinion", "label": "stars"}})
    assert changed.body["column_mapping"] == {"text": "opinion", "label": "stars"}
    (found,) = ada.get(url).body["items"]
    assert (found["ready"], found["column_mapping"]) == (True, {"text": "opinion", "label": "stars"})
    ada.patch(f"/datasets/{id}", {"column_mapping": {"text": "opinions"}})
    (found,) = ada.get(url).body["items"]
    assert (found["ready"], found["problems"][0]["code"]) == (False, "unknown_column")
    assert ada.patch(f"/datasets/{id}", {"column_mapping": {"colour": "x"}}).status == 400


@pytest.fixture
def company_data() -> str:
    """A bucket that the stage allows to import from."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="company-data")
    return "company-data"


@pytest.mark.parametrize("mode", ["copy", "reference"])
def test_data_that_is_in_s3_becomes_a_dataset(ada: ApiClient, company_data: str, mode: str) -> None:
    s3, place = boto3.client("s3"), f"{ada.username}/flowers"
    for name in ("a.csv", "b.csv", "_SUCCESS", "deeper/c.csv"):
        s3.put_object(Bucket=company_data, Key=f"{place}/{name}", Body=IRIS)
    source = {"s3_uri": f"s3://{company_data}/{place}/", "mode": mode}
    created = ada.post("/datasets", new_dataset(files=None, source=source))
    assert (created.status, created.body["status"], created.body["uploads"]) == (201, "processing", {})
    id = created.body["id"]
    run_workflow(ada.username, first_version(id))
    dataset = ada.get(f"/datasets/{id}").body
    assert (dataset["status"], dataset["rows"], dataset["file_count"]) == ("ready", 8, 2)
    files = ada.get(f"/datasets/{id}/download").body["files"]
    assert [requests.get(file["url"], timeout=20).content for file in files] == [IRIS, IRIS]
    copied = mode == "copy"
    assert ada.get("/datasets/storage").body["used_bytes"] == (2 * len(IRIS) if copied else 0)
    uri = service.for_training(Caller(ada.username, "member"), id, None).uri
    assert uri.endswith(f"/{id}/v0001/files/") if copied else uri == source["s3_uri"]
    s3.put_object(Bucket=company_data, Key=f"{place}/a.csv", Body=MORE)
    if copied:
        assert service.for_training(Caller(ada.username, "member"), id, None)
    else:
        with pytest.raises(Conflict, match=r"a\.csv has changed since"):
            service.for_training(Caller(ada.username, "member"), id, None)
    assert ada.delete(f"/datasets/{id}").status == 204
    assert s3.get_object(Bucket=company_data, Key=f"{place}/b.csv")["Body"].read() == IRIS  # never written


def test_one_object_in_s3_becomes_a_dataset(ada: ApiClient, company_data: str) -> None:
    boto3.client("s3").put_object(Bucket=company_data, Key=f"{ada.username}/iris.csv", Body=IRIS)
    source = {"s3_uri": f"s3://{company_data}/{ada.username}/iris.csv", "mode": "copy"}
    id = ada.post("/datasets", new_dataset(files=None, source=source)).body["id"]
    run_workflow(ada.username, first_version(id))
    assert ada.get(f"/datasets/{id}").body["rows"] == 4


def test_data_that_changes_before_it_is_copied_fails_the_dataset(ada: ApiClient, company_data: str) -> None:
    s3, key = boto3.client("s3"), f"{ada.username}/iris.csv"
    s3.put_object(Bucket=company_data, Key=key, Body=IRIS)
    source = {"s3_uri": f"s3://{company_data}/{key}", "mode": "copy"}
    id = ada.post("/datasets", new_dataset(files=None, source=source)).body["id"]
    s3.put_object(Bucket=company_data, Key=key, Body=MORE)
    event = {"owner": ada.username, "id": first_version(id)}
    assert tasks.process(event | {"step": "prepare"}, None)["way"] == "copy"
    with pytest.raises(Exception, match="has changed since") as raised:
        tasks.copy(event, None)
    error = {"Error": type(raised.value).__name__, "Cause": f'{{"errorMessage": "{raised.value}"}}'}
    tasks.process(event | {"step": "finish", "error": error}, None)
    dataset = ada.get(f"/datasets/{id}").body
    assert (dataset["status"], "has changed since" in dataset["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://company-data/nothing/", "there is no object"),
        ("s3://company-data/nothing.csv", "there is no object"),
        ("s3://other-bucket/iris.csv", "reads from company-data"),
        ("s3://company-data/wrong/", "must end in .csv"),
        ("s3://company-data/empty/", "is empty"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(ada: ApiClient, company_data: str, uri: str, said: str) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=company_data, Key="wrong/iris.txt", Body=IRIS)
    s3.put_object(Bucket=company_data, Key="empty/iris.csv", Body=b"")
    answer = ada.post("/datasets", new_dataset(files=None, source={"s3_uri": uri, "mode": "copy"}))
    assert (answer.status, said in answer.body["detail"]) == (400, True), answer.body
    assert ada.get("/datasets").body["items"] == []


def test_files_and_source_are_two_ways_of_which_one_is_taken(ada: ApiClient) -> None:
    source = {"s3_uri": "s3://company-data/iris.csv", "mode": "copy"}
    assert ada.post("/datasets", new_dataset(source=source)).status == 400
    assert ada.post("/datasets", new_dataset(files=None)).status == 400
