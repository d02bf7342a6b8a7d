"""An endpoint from a shell: the make targets, as a user of the platform types them, and the operators' role.

Run: python -m pytest tests/journeys/test_inference_targets.py
"""

import json
import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.api_client import ApiClient
from local.home import REPOSITORY
from tests.journeys.conftest import PASSWORD
from tests.platform import Platform

Make = Callable[..., str]


@pytest.fixture
def make(platform: Platform, member: ApiClient) -> Make:
    """Return what runs a make target as the member, with variables; fails unless it ends as expected."""

    def run(target: str, *, fails: bool = False, **variables: str) -> str:
        user = {"SLIPWAY_USERNAME": str(member.username), "SLIPWAY_PASSWORD": PASSWORD}
        environment = {**os.environ, "SLIPWAY_HOME": str(platform.home), **user, **variables}
        # What this test runs in is set up already, whatever make thinks of its age.
        command = ["make", "--silent", "--old-file=.venv/.installed", target]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == fails, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stderr if fails else done.stdout

    return run


def test_an_endpoint_is_deployed_asked_and_deleted(
    make: Make, member: ApiClient, trained: dict[str, Any], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    name = f"inference-{secrets.token_hex(3)}"
    settings = {
        "MODEL_ID": f"{trained['model']['model_id']}@{trained['model']['version']}",
        "SAGEMAKER_ENDPOINT_INFERENCE": name,
        "GPU_INSTANCE_TYPE": trained["instance_type"],
    }
    printed = make("deploy-inference-endpoint", **settings).splitlines()
    assert printed[0].startswith("reg-") and printed[-2:][0].strip() == "completed"
    (endpoint,) = [found for found in member.call("GET", "/endpoints")["items"] if found["name"] == name]
    assert printed[-1].split() == [endpoint["id"], name, trained["instance_type"], endpoint["url"]]
    assert endpoint["status"] == "in_service"
    again = make("deploy-inference-endpoint", **settings).splitlines()  # which is the same endpoint
    assert (again[0], again[-1]) == (printed[0], printed[-1])

    features = {column: value for column, value in rows[0].items() if column != "diagnosis"}
    body = tmp_path / "rows.json"
    body.write_text(json.dumps({"instances": [features]}))
    answer = json.loads(make("test-inference", **settings, BODY=str(body)))
    assert len(answer["predictions"]) == 1

    deleted = make("delete-inference-endpoint", ENDPOINT_NAME=name)
    assert deleted.split() == [endpoint["id"], name, "deleted"]
    assert member.request("GET", f"/endpoints/{endpoint['id']}").status_code == 404


@pytest.mark.parametrize(
    ("target", "variables", "words"),
    [
        ("delete-inference-endpoint", {}, "ENDPOINT_NAME="),
        ("delete-inference-endpoint", {"ENDPOINT_NAME": "none-of-mine"}, "You have no endpoint none-of-mine"),
        ("deploy-inference-endpoint", {"MODEL_ID": "none-of-mine"}, "has no model none-of-mine"),
        (
            "deploy-inference-endpoint",
            {"MODEL_ID": "cancer", "ARN_ROLE": "arn:aws:iam::1:role/other"},
            "leave ARN_ROLE",
        ),
        ("deploy-inference-endpoint", {"MODEL_ID": "cancer", "SLIPWAY_PASSWORD": "wrong"}, "The platform answers 401"),
    ],
)
def test_what_cannot_be_done_is_one_line(make: Make, target: str, variables: dict[str, str], words: str) -> None:
    assert words in make(target, fails=True, **variables)


def test_the_roles_are_written_as_files_and_the_operators_makes_nothing(make: Make, platform: Platform) -> None:
    outputs = platform.outputs
    assert outputs["OperatorRoleArn"] in make("create-sagemaker-role")
    assert outputs["ExecutionRoleArn"] in make("create-sagemaker-execution-role")
    files = {name: platform.files.read(f"{name}.json") or {} for name in ("sagemaker_role", "sagemaker_execution_role")}
    assert {name: file["RoleArn"] for name, file in files.items()} == {
        "sagemaker_role": outputs["OperatorRoleArn"],
        "sagemaker_execution_role": outputs["ExecutionRoleArn"],
    }
    assert not any("key" in name.lower() for file in files.values() for name in file)

    sts = platform.client("sts")
    taken = sts.assume_role(RoleArn=outputs["OperatorRoleArn"], RoleSessionName="operator")["Credentials"]
    key = {
        "access_key_id": taken["AccessKeyId"],
        "secret_access_key": taken["SecretAccessKey"],
        "session_token": taken["SessionToken"],
    }
    cloudformation = platform.client("cloudformation", key)
    (stack,) = cloudformation.describe_stacks(StackName="slipway-local-platform")["Stacks"]
    assert stack["StackStatus"].endswith("_COMPLETE")
    sagemaker = platform.client("sagemaker", key)
    for refused in (
        lambda: sagemaker.delete_endpoint(EndpointName="slipway-local-none"),
        lambda: sagemaker.create_model(ModelName="slipway-local-none", ExecutionRoleArn=outputs["ExecutionRoleArn"]),
        lambda: platform.client("s3", key).list_objects_v2(Bucket=outputs["ModelsBucket"]),
    ):
        with pytest.raises(ClientError) as caught:
            refused()
        assert "AccessDenied" in caught.value.response["Error"]["Code"]
