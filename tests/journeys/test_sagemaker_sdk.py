"""Another client of the training contract: AWS's own SDK trains with our image on the local SageMaker.

It lives in an environment of its own, made once: it brings 130 packages that contradict ours.
Run: python -m pytest tests/journeys/test_sagemaker_sdk.py
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.demo import to_csv
from local.home import CACHE, REGION
from local.images import run_uv
from tests.local.services import until
from tests.platform import Platform

VERSION = "3.27.0"
SERVICES = ("s3", "logs", "ecr", "ec2", "cloudwatch", "sagemaker")
PARAMETERS = {"target": "diagnosis", "algorithm": "xgboost", "epochs": 8}

# What a user of the SDK writes. `default_bucket` is given: the SDK would ask STS at an address of its own for a name.
TRAIN = """
import json, sys
import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import OutputDataConfig
from sagemaker.core.training.configs import Compute, InputData, SourceCode, StoppingCondition
from sagemaker.train import ModelTrainer

asked = json.loads(sys.argv[1])
trainer = ModelTrainer(
    sagemaker_session=Session(boto_session=boto3.Session(), default_bucket=asked["bucket"]),
    role=asked["role"],
    base_job_name="sdk",
    training_image=asked["image"],
    source_code=SourceCode(command=asked["command"]) if asked["command"] else None,
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    output_data_config=OutputDataConfig(s3_output_path=asked["output"]),
    hyperparameters=asked["hyperparameters"],
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source=asked["data"])], wait=False)
print(json.dumps({"job": trainer._latest_training_job.training_job_name}))
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the SDK and nothing else."""
    environment = CACHE / "environments" / f"sagemaker-{VERSION}"
    done = environment / "installed"
    if not done.exists():
        run_uv("venv", "--quiet", "--clear", "--python", sys.executable, str(environment))
        python = str(environment / "bin" / "python")
        run_uv("pip", "install", "--quiet", "--python", python, f"sagemaker=={VERSION}")
        done.touch()
    return environment / "bin" / "python"


@pytest.fixture(scope="module")
def role(platform: Platform) -> Iterator[str]:
    """A role as the SDK wants it before it sends anything: ours has less, as its containers are in no network."""
    iam = platform.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName="sdk", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    given = {"Effect": "Allow", "Action": [f"{name}:*" for name in SERVICES], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [given]}
    iam.put_role_policy(RoleName="sdk", PolicyName="all", PolicyDocument=json.dumps(policy))
    yield made["Role"]["Arn"]
    iam.delete_role_policy(RoleName="sdk", PolicyName="all")
    iam.delete_role(RoleName="sdk")


def image_uri(platform: Platform) -> str:
    """The URI of our tabular image, as the platform deployed it."""
    images = (platform.files.read("deployed.json") or {})["images"]
    [uri] = [uri for uri, image in images.items() if image["dockerfile"].startswith("tabular/")]
    return uri


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", None], ids=["as a command of source code", "as the image's own program"])
def test_model_trainer_trains_with_our_image(
    command: str | None, platform: Platform, role: str, sdk: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    bucket, s3 = platform.outputs["JobsBucket"], platform.client("s3")
    s3.put_object(Bucket=bucket, Key="sdk/data/rows.csv", Body=to_csv(rows))
    asked = {
        "bucket": bucket,
        "role": role,
        "image": image_uri(platform),
        "command": command,
        "data": f"s3://{bucket}/sdk/data/",
        "output": f"s3://{bucket}/sdk/run/output",
        "hyperparameters": PARAMETERS,
    }
    name = submitted(platform, sdk, asked, tmp_path)
    sagemaker = platform.client("sagemaker")
    described = until(
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        seconds=300,
    )
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    assert described["HyperParameters"]["epochs"] == "8"  # as the SDK sends it: text
    assert ("ContainerEntrypoint" in described["AlgorithmSpecification"]) == (command is not None)

    _, _, key = described["ModelArtifacts"]["S3ModelArtifacts"].partition(f"{bucket}/")
    with tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()), mode="r:gz") as archive:
        found = archive.extractfile("manifest.json")
        assert found is not None
        manifest = json.load(found)
    assert manifest["parameters"] | PARAMETERS == manifest["parameters"]
    assert manifest["metrics"]["test_accuracy"] > 0.9


def submitted(platform: Platform, sdk: Path, asked: dict[str, Any], folder: Path) -> str:
    """Have the SDK create a training job; return its name."""
    key = platform.files.root_key()
    (folder / "train.py").write_text(TRAIN)
    (folder / "config.yaml").write_text(
        "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
    )
    done = subprocess.run(
        [sdk, folder / "train.py", json.dumps(asked)],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": platform.emulator_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "config.yaml"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])["job"]
