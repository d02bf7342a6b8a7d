"""A job's capsule: all that its training run is made of, as JSON in the jobs bucket and beside the model."""

from typing import Any

from lambdas.common import aws, objects
from lambdas.common.environment import variable
from lambdas.jobs.answers import Capsule, CapsuleDataset, CapsuleImage, CapsuleInstance, CapsuleModel
from lambdas.jobs.schemas import Job

NAME = "capsule.json"


def capsule(job: Job, manifest: dict[str, Any] | None = None) -> Capsule:
    """Return a job's capsule; what only its container knows is in its manifest, which a script may have written."""
    said = {name: value for name, value in (manifest or {}).items() if isinstance(value, dict)}
    parameters, versions = said.get("parameters"), said.get("versions")
    seed = (parameters or job.parameters).get("seed")
    base = job.base_reference
    return Capsule(
        job_id=job.id,
        rerun_of=job.rerun_of,
        created_at=job.created_at,
        training_type=job.training_type,
        image=CapsuleImage(
            family=job.image_family,
            uri=job.image_uri,
            code_hash=job.image_uri.rpartition(":")[2] if job.image_uri else None,
        ),
        dataset=CapsuleDataset(
            user_id=job.dataset_owner,
            id=job.dataset_id,
            version=job.dataset_version,
            sha256=job.dataset_sha256,
            column_mapping=job.column_mapping,
        ),
        base_model=CapsuleModel(reference=base, id=job.base_model_id or "") if base else None,
        script=job.script,
        given_parameters=job.parameters,
        parameters=parameters,
        seed=seed if isinstance(seed, int) else None,
        versions={str(name): str(version) for name, version in versions.items()}
        if isinstance(versions, dict)
        else None,
        instance=CapsuleInstance(
            type=job.instance_type,
            count=job.instance_count,
            managed_spot=job.managed_spot,
            max_runtime_seconds=job.max_runtime_seconds,
        ),
    )


def store(job: Job, found: Capsule) -> None:
    """Keep a capsule in the jobs bucket."""
    body = found.model_dump_json(indent=1).encode()
    target = {"Bucket": variable("JOBS_BUCKET"), "Key": f"{job.owner}/{job.id}/{NAME}"}
    aws.client("s3").put_object(**target, Body=body, ContentType="application/json")


def of(job: Job) -> Capsule:
    """Return a job's capsule as it was stored; before the model is registered, what is known of it."""
    answer = objects.find(variable("JOBS_BUCKET"), f"{job.owner}/{job.id}/{NAME}")
    return Capsule.model_validate_json(answer["Body"].read()) if answer else capsule(job)
