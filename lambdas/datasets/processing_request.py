"""A version as processing is asked for it: what it reads, and the SageMaker job for what a function cannot read."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lambdas.datasets.files import PROCESSED
from lambdas.datasets.schemas import StoredFile, Version

REQUEST = "request.json"
INPUT, OUTPUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
MAX_RUNTIME_SECONDS = 2 * 24 * 3600
GIB = 1024**3


class RequestedFile(BaseModel):
    """A file to read."""

    name: str
    bucket: str
    key: str
    size: int


class Request(BaseModel):
    """request.json beside the files: all that processing is told, as a function and as a job."""

    type: str
    format: str
    output: str
    """The prefix in the datasets bucket that it may write to."""
    files: list[RequestedFile]


@dataclass(frozen=True)
class Deployment:
    """What the stage gives every processing job: names that no request may choose."""

    stage: str
    bucket: str
    role_arn: str
    image: str
    instance_type: str
    vpc: dict[str, Any] | None = None
    kms_key_arn: str | None = None


def request(version: Version, files: list[StoredFile]) -> Request:
    """Return what processing is asked."""
    return Request(
        type=version.type,
        format=version.format,
        output=version.prefix + PROCESSED,
        files=[RequestedFile(name=file.filename, bucket=file.bucket, key=file.key, size=file.size) for file in files],
    )


def create_processing_job(version: Version, files_uri: str, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateProcessingJob; the version's id makes the job's name unique."""
    place = f"s3://{to.bucket}/{version.prefix}"
    encrypted = {"KmsKeyId": to.kms_key_arn} if to.kms_key_arn else {}
    volume = {"VolumeKmsKeyId": to.kms_key_arn} if to.kms_key_arn else {}
    # Room for the files, and for a workbook or an array of JSON as it is converted.
    cluster = {"InstanceCount": 1, "InstanceType": to.instance_type, "VolumeSizeInGB": 10 + 2 * -(-version.size // GIB)}
    output = {"S3Uri": f"{place}{PROCESSED}".rstrip("/"), "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"}
    tags = {"slipway:stage": to.stage, "slipway:owner": version.owner, "slipway:dataset": version.dataset_id}
    return {
        "ProcessingJobName": version.id,
        "AppSpecification": {"ImageUri": to.image},
        "RoleArn": to.role_arn,
        "ProcessingInputs": [
            processing_input("request", f"{place}{REQUEST}"),
            processing_input("files", files_uri),
        ],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "processed", "S3Output": output}]} | encrypted,
        "ProcessingResources": {"ClusterConfig": cluster | volume},
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME_SECONDS},
        "NetworkConfig": {"EnableNetworkIsolation": True} | ({"VpcConfig": to.vpc} if to.vpc else {}),
        "Environment": {"SLIPWAY_STAGE": to.stage},
        "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
    }


def processing_input(name: str, uri: str) -> dict[str, Any]:
    """Return one input that SageMaker copies before the container starts."""
    source = {"S3Uri": uri, "LocalPath": f"{INPUT}/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source | {"S3DataDistributionType": "FullyReplicated"}}
