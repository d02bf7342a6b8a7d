"""Evaluations as tests make them: of a version that a tabular job would have made, with figures of a test's own."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from typing import Any

import boto3

from lambdas.common.items import serializer
from lambdas.jobs import evaluations
from lambdas.jobs.schemas import Job
from lambdas.jobs.service import JOBS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.registrations import make_servable, reference

Api = Callable[..., ApiClient]


def trained_model(api: Api, user: ApiClient, target: str = "kind", **fields: Any) -> dict[str, Any]:
    """Return a version as a tabular job makes it, which predicts a column."""
    version = registry.ready(api("models", username=user.username), **fields)
    make_servable(version)
    MODELS.update(MODELS.get(version["user_id"], version["id"]), parameters={"target": target})
    return version


def asked(user: ApiClient, version: dict[str, Any], dataset: str, **changes: Any) -> Any:
    body = {"name": "Check", "model": reference(version), "dataset_id": dataset}
    return user.post("/jobs/evaluations", body | changes)


def evaluation(user: ApiClient, version: dict[str, Any], dataset: str) -> dict[str, Any]:
    answer = asked(user, version, dataset)
    assert answer.status == 201, answer.body
    return answer.body


def complete(job: Job, value: float = 0.9, name: str = "test_accuracy", direction: str = "max") -> None:
    """End an evaluation as its workflow does, once its container has found this figure."""
    report_of(job, {"name": name, "value": value, "direction": direction})
    evaluations.record(JOBS.get(job.owner, job.id))


def report_of(job: Job, metric: dict[str, Any]) -> None:
    """Leave in S3 what the container leaves."""
    content = io.BytesIO()
    figures = {"primary_metric": metric, "metrics": {metric["name"]: metric["value"]}}
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, found in (("manifest.json", {}), ("metrics.json", figures)):
            body = json.dumps(found).encode()
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    key = f"{job.owner}/{job.id}/output/x/output"
    bucket = os.environ["JOBS_BUCKET"]
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{key}/output.tar.gz", Body=content.getvalue())
    JOBS.settle(job, artefact=f"s3://{bucket}/{key}/model.tar.gz")


def serving(owner: str, endpoint: str, version: dict[str, Any]) -> None:
    """Let an endpoint of a user's serve a version, as far as an evaluation looks at it."""
    model = {"user_id": version["user_id"]} | reference(version)
    values = {"owner": owner, "id": endpoint, "model": model}
    item = {name: serializer().serialize(value) for name, value in values.items()}
    boto3.client("dynamodb").put_item(TableName=os.environ["ENDPOINTS_TABLE"], Item=item)
