"""A job as the requests that AWS takes: pure functions from our record, checked against AWS's own models in tests."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lambdas.common.instances import image_for
from lambdas.jobs.schemas import Job, Priority

# Higher runs first among one user's own jobs; Batch allows 0 to 9999.
SCHEDULING_PRIORITY: dict[Priority, int] = {"high": 100, "normal": 50, "low": 10}
VOLUME_GB = 50
# Batch's clock also covers the start of the instance and the upload of the result.
BATCH_MARGIN_SECONDS = 2 * 3600
SPOT_WAIT_SECONDS = 24 * 3600  # for spare instances, over and above the job's own time


@dataclass(frozen=True)
class Deployment:
    """What the stage gives every training job: names and addresses that no request may choose."""

    stage: str
    role_arn: str
    jobs_bucket: str
    images: dict[str, str]
    queues: dict[str, str]
    vpc: dict[str, Any] | None = None
    kms_key_arn: str | None = None


def submit_service_job(job: Job, to: Deployment) -> dict[str, Any]:
    """Return the arguments of batch:SubmitServiceJob. The payload stays under Batch's 10 KiB by design:
    parameters travel in the config channel."""
    return {
        "jobName": job.id,
        "jobQueue": to.queues[job.instance_type],
        "serviceJobType": "SAGEMAKER_TRAINING",
        "serviceRequestPayload": json.dumps(create_training_job(job, to)),
        "shareIdentifier": share_identifier(job.owner),
        "schedulingPriority": SCHEDULING_PRIORITY[job.batch_priority or job.priority],
        "retryStrategy": {"attempts": 1},
        "timeoutConfig": {"attemptDurationSeconds": longest(job) + BATCH_MARGIN_SECONDS},
        "clientToken": client_token(job),
        "tags": tags(job, to),
    }


def create_training_job(job: Job, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateTrainingJob, which Batch calls for us."""
    encrypted = {"KmsKeyId": to.kms_key_arn} if to.kms_key_arn else {}
    volume = {"VolumeKmsKeyId": to.kms_key_arn} if to.kms_key_arn else {}
    home = f"s3://{to.jobs_bucket}/{job.owner}/{job.id}"
    request: dict[str, Any] = {
        "TrainingJobName": job.id,
        "AlgorithmSpecification": {"TrainingImage": image(job, to), "TrainingInputMode": "File"},
        "RoleArn": to.role_arn,
        "InputDataConfig": [channel(name, uri) for name, uri in channels(job, home, to.jobs_bucket).items() if uri],
        "HyperParameters": {"config": "config.json"},
        "OutputDataConfig": {"S3OutputPath": f"{home}/output"} | encrypted,
        "CheckpointConfig": {"S3Uri": f"{home}/checkpoints"},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": VOLUME_GB,
        }
        | volume,
        "EnableManagedSpotTraining": job.managed_spot,
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime_seconds}
        | ({"MaxWaitTimeInSeconds": longest(job)} if job.managed_spot else {}),
        "EnableNetworkIsolation": True,
        "Environment": {"SLIPWAY_STAGE": to.stage, "SLIPWAY_JOB_ID": job.id},
        "Tags": [{"Key": name, "Value": value} for name, value in tags(job, to).items()],
    }
    return request | ({"VpcConfig": to.vpc} if to.vpc else {})


def config(job: Job, to: Deployment) -> dict[str, Any]:
    """Return config.json, which the container reads from its `config` channel."""
    return {
        "job_id": job.id,
        "stage": to.stage,
        "kind": job.kind,
        "training_type": job.training_type,
        "parameters": job.parameters,
        "column_mapping": job.column_mapping,
        "base_model": job.base_reference,
    } | ({"script": job.script.model_dump(include={"entry_point", "sha256"})} if job.script else {})


def channels(job: Job, home: str, jobs_bucket: str) -> dict[str, str | None]:
    """Return the folders that the container finds, by name, and where S3 has them; None for one that it lacks."""
    return {
        "train": job.dataset_uri,
        "examples": job.examples_uri,
        "model": job.base_model_uri,
        "config": f"{home}/config/",
        "code": job.script and f"s3://{jobs_bucket}/{job.owner}/{job.script.id}/",
    }


def image(job: Job, to: Deployment) -> str:
    """Return the image that trains a job: the one it was first submitted with, or that of the job it repeats."""
    return job.image_uri or image_for(to.images, job.image_family, job.instance_type)


def longest(job: Job) -> int:
    """Return the seconds that SageMaker may take for a job, waiting for spare instances included."""
    return job.max_runtime_seconds + (SPOT_WAIT_SECONDS if job.managed_spot else 0)


def channel(name: str, uri: str) -> dict[str, Any]:
    """Return one input channel that SageMaker copies before the container starts."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def share_identifier(owner: str) -> str:
    """Return the fair-share identifier of an owner: Batch takes letters and digits only, names have hyphens."""
    return base64.b32encode(hashlib.sha256(owner.encode()).digest()).decode()[:26]


def client_token(job: Job) -> str:
    """Return the idempotency token of the job's submission."""
    return f"{job.id}-1"


def tags(job: Job, to: Deployment) -> dict[str, str]:
    """Return the tags by which costs are told apart; Batch does not document that it passes its own on."""
    return {"slipway:stage": to.stage, "slipway:owner": job.owner, "slipway:job": job.id}
