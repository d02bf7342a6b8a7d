"""The pinned CDK command line deploys this app, and takes it away again.  `pytest tests/journeys/test_real_cdk_cli.py`

The platform of this module starts empty: `make deploy` runs the real `cdk bootstrap`, `synth` and `deploy` against
its emulator. The journey then runs on what CloudFormation made of it.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.api_client import ApiClient
from local.assembly import assembly, stacks
from local.home import REPOSITORY
from operations.toolkit import BOOTSTRAP_PARAMETER, BOOTSTRAP_VERSION
from tests.journeys.conftest import PARAMETERS, PASSWORD, train, upload
from tests.platform import Platform


def operate(platform: Platform, *command: str) -> str:
    """Run a command of an operator, agreeing to what it asks, and return what it printed."""
    environment = {**os.environ, "SLIPWAY_HOME": str(platform.home), "YES": "1"}
    arguments = [sys.executable, "-m", *command]
    done = subprocess.run(arguments, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def place() -> Path:
    """The cloud assembly that `make up` deploys."""
    return assembly()


@pytest.fixture(scope="module")
def by_cdk(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Platform]:
    """A platform that the real CDK deployed into."""
    platform = Platform(tmp_path_factory.mktemp("by-cdk"), deploy_app=False)
    try:
        platform.up()
        operate(platform, "operations.deploy", "local")
        yield platform
    finally:
        platform.down()


@pytest.fixture(scope="module")
def member(by_cdk: Platform) -> ApiClient:
    """A user of the deployed platform."""
    api = ApiClient(by_cdk.api_url)
    api.register("ada", "ada@example.com", PASSWORD)
    api.login("ada", PASSWORD)
    return api


def digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()


def test_the_cdk_deploys_the_very_templates_that_make_up_deploys(by_cdk: Platform, place: Path):
    cloudformation = by_cdk.client("cloudformation")
    assert [stack["stackName"] for stack in stacks(place)] == ["slipway-local-data", "slipway-local-platform"]
    for stack in stacks(place):
        deployed = cloudformation.get_template(StackName=stack["stackName"])["TemplateBody"]
        ours = json.loads((place / stack["templateFile"]).read_text())
        print(f"{stack['stackName']}: {digest(ours)}")
        assert digest(deployed) == digest(ours)


def test_the_bootstrap_stack_is_new_enough_for_the_templates(by_cdk: Platform, place: Path):
    version = by_cdk.client("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER)["Parameter"]["Value"]
    required = [stack["requiresBootstrapStackVersion"] for stack in stacks(place)]
    assert int(version) >= BOOTSTRAP_VERSION
    assert max(required) == BOOTSTRAP_VERSION


def test_both_ways_to_deploy_write_the_same_outputs(by_cdk: Platform, platform: Platform):
    assert set(by_cdk.outputs) == set(platform.outputs)


def test_the_journey_runs_on_what_the_cdk_deployed(by_cdk: Platform, member: ApiClient, rows: list[dict[str, Any]]):
    job = train(member, upload(member, rows))
    assert job["status"] == "completed", job["reason"]
    assert job["primary_metric"]["value"] > 0.9
    endpoint = member.call("POST", "/endpoints", {"name": "Cancer", "model": {"model_id": job["model"]["model_id"]}})
    assert member.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")["status"] == "in_service"
    features = {name: value for name, value in rows[0].items() if name != PARAMETERS["target"]}
    answer = member.call("POST", f"/endpoints/{endpoint['id']}/invoke", {"instances": [features]})
    assert answer["predictions"][0]["label"] == rows[0][PARAMETERS["target"]]


def test_destroy_leaves_nothing_of_the_stage_although_a_job_runs_and_an_endpoint_serves(
    by_cdk: Platform, member: ApiClient, rows: list[dict[str, Any]]
):
    request = {
        "name": "Long",
        "dataset_id": upload(member, rows)["id"],
        "parameters": {**PARAMETERS, "algorithm": "random_forest", "epochs": 10_000},
    }
    job = member.call("POST", "/jobs", request)
    member.wait(f"/jobs/{job['id']}", "running")
    printed = operate(by_cdk, "operations.destroy", "local")
    assert "1 jobs" in printed
    assert "1 endpoints" in printed
    sagemaker = by_cdk.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    assert sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"] == []
    assert by_cdk.client("dynamodb").list_tables()["TableNames"] == []
    assert by_cdk.client("cognito-idp").list_user_pools(MaxResults=10)["UserPools"] == []
    buckets = [bucket["Name"] for bucket in by_cdk.client("s3").list_buckets()["Buckets"]]
    assert [name for name in buckets if not name.startswith("cdk-")] == []
    assert by_cdk.outputs == {}
    assert "There is nothing to delete." in operate(by_cdk, "operations.destroy", "local")
