"""What goes wrong, and what people are told: on the running platform.  `pytest tests/journeys/test_failures.py`"""

import gzip
import io
import json
import os
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED, PARAMETERS, invoke, train, upload
from tests.journeys.roles import listed
from tests.platform import Platform

LONG = {"target": "diagnosis", "algorithm": "lightgbm", "epochs": 10_000, "checkpoint_every": 50}


def start_long_job(api: ApiClient, dataset: dict[str, Any]) -> dict[str, Any]:
    """Start a job that runs for minutes, and return it once it trains."""
    job = api.call("POST", "/jobs", {"name": "Long", "dataset_id": dataset["id"], "parameters": LONG})
    for look in api.follow(f"/jobs/{job['id']}", lambda found: found["progress"]["percent"] > 0):
        job = look
        assert job["status"] not in ENDED, job
    return job


class TestRequests:
    """A request of the wrong shape is 400 and names the field; nothing is stored."""

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": None}, "name"),
            ({"surprise": 1}, "surprise"),
            ({"dataset_id": "../../other"}, "dataset_id"),
            ({"training_type": "alchemy"}, "training_type"),
            ({"parameters": {"target": "diagnosis", "epochs": "many"}}, "parameters.epochs"),
            ({"parameters": {"target": "diagnosis", "sleep": 3}}, "parameters.sleep"),
            ({"parameters": {}}, "parameters.target"),
            ({"parameters": {"target": "nonsense"}}, "parameters.target"),
            ({"instance_type": "ml.p5.48xlarge"}, "instance_type"),
            ({"priority": "highest"}, "priority"),
            ({"max_runtime_seconds": 10**9}, "max_runtime_seconds"),
            ({"model_id": "No Spaces"}, "model_id"),
        ],
    )
    def test_wrong_job(self, member: ApiClient, dataset: dict[str, Any], change: dict[str, Any], field: str) -> None:
        request = {"name": "Wrong", "dataset_id": dataset["id"], "parameters": PARAMETERS} | change
        response = member.request("POST", "/jobs", json=request)
        assert response.status_code == 400, response.text
        assert field in {error["field"] for error in response.json()["errors"]}

    def test_endpoints_run_on_instances_of_the_stage_only(self, member: ApiClient, trained: dict[str, Any]) -> None:
        model = {"model_id": trained["model"]["model_id"]}
        request = {"name": "Dear", "model": model, "instance_type": "ml.p5.48xlarge"}
        response = member.request("POST", "/endpoints", json=request)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "instance_type")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": 1e999}', b"\xff\xfe", b"{" * 10_000])
    def test_body_that_is_no_request(self, member: ApiClient, body: bytes) -> None:
        for path in ("/jobs", "/datasets", "/endpoints"):
            response = member.request("POST", path, data=body, headers={"Content-Type": "application/json"})
            assert response.status_code == 400, (path, body[:20], response.text)
            assert set(response.json()) >= {"detail", "code", "request_id"}

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=101", "limit=x", "cursor=%00", "limit=1&limit=2", "status=odd"]
    )
    def test_wrong_query(self, member: ApiClient, query: str) -> None:
        assert member.request("GET", f"/jobs?{query}").status_code == 400

    def test_unknown_route_and_method(self, member: ApiClient) -> None:
        assert member.request("GET", "/nothing").status_code == 404
        assert member.request("PUT", "/jobs").status_code == 405
        for path in ("/nothing", "/jobs/job-00000000000000000000"):
            assert set(member.request("GET", path).json()) >= {"detail", "code"}


class TestContainers:
    def test_reason_of_the_container_comes_first(self, member: ApiClient, rows: list[dict[str, Any]]) -> None:
        many_classes = upload(member, [row | {"diagnosis": f"kind {number % 40}"} for number, row in enumerate(rows)])
        job = train(member, many_classes, test_fraction=0.05)
        assert job["status"] == "failed"
        assert job["reason"].startswith("569 rows are too few for 40 classes"), job["reason"]
        assert job["failure"]["class"] == "data"

    def test_a_container_that_is_killed(self, platform: Platform, member: ApiClient, dataset: dict[str, Any]) -> None:
        job = start_long_job(member, dataset)
        os.kill(training_process(job["id"]), signal.SIGKILL)
        job = member.wait(f"/jobs/{job['id']}", *ENDED)
        assert job["status"] == "failed"
        assert job["reason"], "it says something even when the container could not"
        assert job["failure"]["class"] == "memory", "what a kernel kills, it kills for its memory"
        assert member.call("GET", f"/jobs/{job['id']}/logs")["items"], "and its last words are in the log"

    def test_a_stopped_job_keeps_its_checkpoint(
        self, platform: Platform, member: ApiClient, dataset: dict[str, Any]
    ) -> None:
        job = start_long_job(member, dataset)
        for look in member.follow(
            f"/jobs/{job['id']}", lambda found: bool(found["utilization"] and found["progress"]["step"])
        ):
            job = look
        assert (job["status"], job["secondary_status"]) == ("running", "Training")
        assert job["heartbeat_age_seconds"] < 60 and job["time_left_seconds"] > 0
        assert job["utilization"]["cpu"]["peak"] > 0 and job["utilization"]["gpu"] is None
        member.call("POST", f"/jobs/{job['id']}/stop")
        job = member.wait(f"/jobs/{job['id']}", *ENDED)
        assert (job["status"], job["model"]["version"]) == ("cancelled", None)
        assert (job["heartbeat_age_seconds"], job["failure"]) == (None, None)
        for look in member.follow(f"/jobs/{job['id']}", lambda found: bool(found["utilization"])):
            job = look  # it keeps what it used, written right after its end
        prefix = f"{member.username}/{job['id']}/checkpoints/"
        kept = platform.client("s3").list_objects_v2(Bucket=platform.outputs["JobsBucket"], Prefix=prefix)
        assert kept["KeyCount"] > 0
        again = member.request("POST", f"/jobs/{job['id']}/stop")
        assert again.status_code == 409

    def test_a_model_that_does_not_load(self, platform: Platform, member: ApiClient, dataset: dict[str, Any]) -> None:
        job = train(member, dataset)
        model = job["model"]
        replace_model(platform, f"{member.username}/{model['model_id']}/{model['version']}/model.tar.gz")
        body = {"name": "Broken", "model": {"model_id": model["model_id"], "version": model["version"]}}
        endpoint = member.call("POST", "/endpoints", body)
        endpoint = member.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
        assert endpoint["status"] == "failed"
        assert endpoint["reason"]
        sagemaker = platform.client("sagemaker")
        name = f"slipway-local-{endpoint['id']}"
        assert name not in {found["EndpointName"] for found in sagemaker.list_endpoints()["Endpoints"]}
        assert name not in {found["ModelName"] for found in sagemaker.list_models()["Models"]}
        assert not processes(endpoint["id"]), "nothing left running"
        refused = member.request("POST", f"/endpoints/{endpoint['id']}/invoke", json={"instances": []})
        assert refused.status_code == 409


class TestClasses:
    """What AWS refuses has a class and a fix; tests/local/test_failure_classes.py has the other failures."""

    def test_a_quota(self, platform: Platform, member: ApiClient, dataset: dict[str, Any]) -> None:
        platform.faults(quota={"ml.m5.large": 0})
        try:
            job = train(member, dataset)
        finally:
            platform.faults()
        assert (job["status"], job["failure"]["class"]) == ("failed", "quota"), job
        assert "account-level service limit" in job["reason"] and job["failure"]["fix"]

    def test_a_permission(
        self, platform: Platform, member: ApiClient, dataset: dict[str, Any], trained: dict[str, Any]
    ) -> None:
        iam, role = platform.client("iam"), execution_role(platform)
        policy = iam.get_role_policy(RoleName=role, PolicyName="grants")["PolicyDocument"]
        kept = [statement for statement in policy["Statement"] if "s3:GetObject" not in listed(statement["Action"])]
        assert len(kept) == len(policy["Statement"]) - 1
        reduced = json.dumps(policy | {"Statement": kept})
        iam.put_role_policy(RoleName=role, PolicyName="grants", PolicyDocument=reduced)
        try:
            job = train(member, dataset)
        finally:
            iam.put_role_policy(RoleName=role, PolicyName="grants", PolicyDocument=json.dumps(policy))
        assert (job["status"], job["failure"]["class"]) == ("failed", "permission"), job

    def test_the_log_of_an_ended_job_is_a_file(self, member: ApiClient, trained: dict[str, Any]) -> None:
        path = f"/jobs/{trained['id']}/logs/download"
        assert member.request("GET", path).status_code == 202
        made = member.wait(path, "ready")
        lines = gzip.decompress(requests.get(made["url"], timeout=10).content).decode().splitlines()
        assert sum('"slipway"' in line for line in lines) >= 3


def execution_role(platform: Platform) -> str:
    """Return the name of the role that training jobs run as."""
    sagemaker = platform.client("sagemaker")
    name = sagemaker.list_training_jobs(MaxResults=1)["TrainingJobSummaries"][0]["TrainingJobName"]
    return sagemaker.describe_training_job(TrainingJobName=name)["RoleArn"].rsplit("/", 1)[-1]


class TestEvents:
    """An event is a hint: however events arrive, a job ends in the same state."""

    @pytest.mark.parametrize("fault", ["duplicate", "reorder", "drop"])
    def test_same_end_state(
        self, platform: Platform, member: ApiClient, dataset: dict[str, Any], trained: dict[str, Any], fault: str
    ) -> None:
        platform.faults(events=fault)
        try:
            job = member.call("POST", "/jobs", {"name": fault, "dataset_id": dataset["id"], "parameters": PARAMETERS})
            job = (
                wait_with_reconcile(platform, member, job["id"])
                if fault == "drop"
                else member.wait(f"/jobs/{job['id']}", *ENDED)
            )
        finally:
            platform.faults()
        same = ("status", "stage", "reason", "primary_metric", "parameters")
        assert {name: job[name] for name in same} == {name: trained[name] for name in same}
        assert job["model"]["version"] == "v1"
        assert job["progress"]["metrics"] == trained["progress"]["metrics"]


def wait_with_reconcile(platform: Platform, api: ApiClient, id: str) -> dict[str, Any]:
    """Wait for the end of a job of which no event tells, doing what the five-minute schedule does."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        invoke(platform, "jobs_watch", {"detail-type": "Scheduled Event"})
        job = api.call("GET", f"/jobs/{id}")
        if job["status"] in ENDED:
            return job
    raise TimeoutError(id)


def replace_model(platform: Platform, key: str) -> None:
    """Put another archive in a model's place, behind the registry's back."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        content = json.dumps({"schema": 1}).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    platform.client("s3").put_object(Bucket=platform.outputs["ModelsBucket"], Key=key, Body=archive.getvalue())


def training_process(job_id: str) -> int:
    """Return the process id of a job's container."""
    (found, *_) = processes(job_id)
    return found


def processes(name: str) -> list[int]:
    """Return the ids of the processes whose environment names something."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if name.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue
    return found
