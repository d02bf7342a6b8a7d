"""What a training job leaves in S3, and how it becomes a version in the registry."""

import io
import json
import tarfile
from typing import Any

from pydantic import ValidationError

from lambdas.common import objects, surrogates
from lambdas.jobs import capsule
from lambdas.jobs.schemas import Job
from lambdas.jobs.training_types import TRAINING_TYPES
from lambdas.models import service as models
from lambdas.models.schemas import ModelVersion, TrainingResults

REPORT = ("manifest.json", "metrics.json")
MAX_REPORT_BYTES = 16 * 1024 * 1024


class ArtefactError(Exception):
    """The container ended well but left something other than the documented files."""


def register(job: Job) -> ModelVersion:
    """Register a completed job's model under the id that the job has for it; safe to repeat.

    Raises ArtefactError when the container left something other than the documented files.
    """
    if job.artefact is None:
        raise ArtefactError("The training job wrote nothing to /opt/ml/model.")
    bucket, _, key = job.artefact.removeprefix("s3://").partition("/")
    report = read_report(bucket, key.replace("/model.tar.gz", "/output.tar.gz"))
    assert job.model.id is not None  # given by the step that calls this
    manifest = report["manifest.json"]
    training = TRAINING_TYPES[job.training_type]
    made_of = capsule.capsule(job, manifest)
    capsule.store(job, made_of)
    return models.register_trained(
        job.owner,
        job.model.id,
        (bucket, key),
        report | {capsule.NAME: made_of.model_dump(mode="json")},
        results_of(report["metrics.json"]),
        model_id=job.model.model_id,
        name=job.name,
        description=job.description,
        framework=manifest.get("framework", training.framework),
        model_type=training.model_type_of(manifest),
        algorithm=manifest.get("algorithm"),
        parameters=job.parameters,
        image=None if job.training_type == "custom" else job.image_family,  # its files say who can serve it
        training_type=job.training_type,
        job_id=job.id,
        training_dataset=job.dataset_id,
        dataset_version=job.dataset_version,
        base_model=job.base_reference,
    )


def results_of(metrics: Any) -> TrainingResults:
    """Return the figures in metrics.json; raises ArtefactError naming what is not as documented."""
    try:
        return TrainingResults.model_validate(metrics)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) or "the file" for one in error.errors()[:5])
        raise ArtefactError(f"metrics.json is not as documented: {wrong}.") from error


def read_report(bucket: str, key: str) -> dict[str, Any]:
    """Return manifest.json and metrics.json from output.tar.gz, read entry by entry in memory.

    The model itself is never opened here. Raises ArtefactError when the report is absent or too large.
    """
    answer = objects.find(bucket, key)
    if answer is None:
        raise ArtefactError("The container wrote no manifest.json and metrics.json to /opt/ml/output/data.")
    if answer["ContentLength"] > MAX_REPORT_BYTES:
        raise ArtefactError("The container's report in /opt/ml/output/data is larger than 16 MiB.")
    report: dict[str, Any] = {}
    with tarfile.open(fileobj=io.BytesIO(answer["Body"].read()), mode="r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in REPORT and member.isfile() and member.size <= MAX_REPORT_BYTES:
                content = archive.extractfile(member)
                assert content is not None  # isfile() says so
                report[name] = parsed(name, content.read())
    missing = [name for name in REPORT if name not in report]
    if missing:
        raise ArtefactError(f"The container wrote no {' and no '.join(missing)} to /opt/ml/output/data.")
    return report


def parsed(name: str, content: bytes) -> dict[str, Any]:
    """Return the JSON object in a file; raises ArtefactError for anything else."""
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ArtefactError(f"{name} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ArtefactError(f"{name} is not a JSON object.")
    if not surrogates.is_whole(found):
        raise ArtefactError(f"{name} {surrogates.MESSAGE}.")
    return found
