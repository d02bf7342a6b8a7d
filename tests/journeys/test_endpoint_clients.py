"""Other clients of endpoints: boto3 and AWS's own SDK make, call, change and delete one at the local SageMaker.

Run: python -m pytest tests/journeys/test_endpoint_clients.py
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import stub_models
from tests.journeys.test_sagemaker_sdk import role, sdk
from tests.local.services import until
from tests.platform import Platform

__all__ = ["role", "sdk"]  # fixtures: a role as the SDK wants it, and an environment that holds the SDK
pytestmark = pytest.mark.slow
INSTANCE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}

# What a user of the SDK writes: its resources are classes, and wait for themselves.
SERVE = """
import json, sys
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

asked = json.loads(sys.argv[1])
container = ContainerDefinition(image=asked["image"], model_data_url=asked["data"])
model = Model.create(model_name="sdk", primary_container=container, execution_role_arn=asked["role"])
variant = ProductionVariant(
    variant_name="main", model_name="sdk", instance_type="ml.m5.large", initial_instance_count=1
)
config = EndpointConfig.create(endpoint_config_name="sdk", production_variants=[variant])
endpoint = Endpoint.create(endpoint_name="sdk", endpoint_config_name="sdk")
endpoint.wait_for_status("InService", poll=1, timeout=120)
answer = endpoint.invoke(body=json.dumps([1, 2]).encode(), content_type="application/json")
said = json.loads(answer.body.read())
endpoint.delete()
endpoint.wait_for_delete(poll=1, timeout=60)
config.delete()
model.delete()
with open("said.json", "w") as file:  # the SDK prints on
    json.dump(said, file)
"""


@pytest.fixture(scope="module")
def data(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a model that answers with its version."""
    stub_models.install(platform, tmp_path_factory.mktemp("image"))
    bucket = platform.outputs["ModelsBucket"]
    platform.client("s3").put_object(Bucket=bucket, Key="clients/model.tar.gz", Body=stub_models.archived("v1 good"))
    return f"s3://{bucket}/clients/model.tar.gz"


def test_boto3_makes_calls_updates_and_deletes_an_endpoint(platform: Platform, data: str) -> None:
    sagemaker, runtime = platform.client("sagemaker"), platform.client("sagemaker-runtime")
    container = {"Image": stub_models.URI, "ModelDataUrl": data}
    role = platform.outputs["ExecutionRoleArn"]
    sagemaker.create_model(ModelName="plain", PrimaryContainer=container, ExecutionRoleArn=role)
    for name in ("plain", "plain-2"):
        variant: dict[str, Any] = {"VariantName": "main", "ModelName": "plain"} | INSTANCE
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="plain", WaiterConfig={"Delay": 1})
    answer = runtime.invoke_endpoint(EndpointName="plain", Body=b"[]", ContentType="application/json")
    assert json.loads(answer["Body"].read())["version"] == "v1"
    sagemaker.update_endpoint(EndpointName="plain", EndpointConfigName="plain-2")
    found = until(
        lambda: sagemaker.describe_endpoint(EndpointName="plain"), lambda found: found["EndpointStatus"] != "Updating"
    )
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "plain-2")
    sagemaker.delete_endpoint(EndpointName="plain")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="plain", WaiterConfig={"Delay": 1})
    for name in ("plain", "plain-2"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName="plain")


def test_the_sdk_makes_calls_and_deletes_an_endpoint(
    platform: Platform, data: str, role: str, sdk: Path, tmp_path: Path
) -> None:
    key = platform.files.root_key()
    (tmp_path / "serve.py").write_text(SERVE)
    (tmp_path / "config.yaml").write_text(
        "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
    )
    asked = {"image": stub_models.URI, "data": data, "role": role}
    done = subprocess.run(
        [sdk, tmp_path / "serve.py", json.dumps(asked)],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": platform.emulator_url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(tmp_path / "config.yaml"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert json.loads((tmp_path / "said.json").read_text())["version"] == "v1"
    left = platform.client("sagemaker").list_endpoints(NameContains="sdk")["Endpoints"]
    assert left == []
