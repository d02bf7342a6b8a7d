"""What processing is asked, as AWS's own models take it, and what it reports, as the control plane reads it back."""

import dataclasses
import json
from typing import Any, get_args

import pytest

from lambdas.datasets import column_mapping, profile, readiness, report, tasks
from lambdas.datasets.formats import FORMATS, KINDS
from lambdas.datasets.processing_request import Deployment, create_processing_job, request
from lambdas.datasets.schemas import Format, StoredFile, Version
from lambdas.processing import process
from lambdas.processing import report as processing
from tests.aws_requests import faults

VERSION = Version(
    owner="ada",
    id="dsv-01m7x9pxfk4b3pwqvzg-0001",
    dataset_id="ds-01m7x9pxfk4b3pwqvzg",
    version=1,
    type="tabular",
    format="csv",
    size=3 * 1024**3,
    stored_bytes=3 * 1024**3,
    file_count=1,
)
DEPLOYMENT = Deployment(
    stage="dev",
    bucket="d" * 63,
    role_arn="arn:aws:iam::123456789012:role/slipway-dev-processing",
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-assets:abc",
    instance_type="ml.m5.xlarge",
    vpc={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
)


def job(**changes: Any) -> dict[str, Any]:
    uri = f"s3://{DEPLOYMENT.bucket}/{VERSION.prefix}files/"
    return create_processing_job(VERSION.model_copy(update=changes), uri, DEPLOYMENT)


def test_the_job_satisfies_the_model_of_aws() -> None:
    assert faults("sagemaker", "CreateProcessingJob", job()) == []
    assert faults("sagemaker", "CreateProcessingJob", job() | {"ProcessingJobName": "under_score"}) != []


def test_the_job_is_isolated_and_has_room_for_the_files() -> None:
    assert job()["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert job()["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 16
    assert job()["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].endswith("/v0001/processed")


def test_the_request_names_what_to_read_and_where_to_write() -> None:
    file = StoredFile(filename="a.csv", size=3, bucket="b", key="ada/ds-1/v0001/files/a.csv", upload_id="secret")
    asked = request(VERSION, [file]).model_dump()
    assert asked["output"] == f"{VERSION.prefix}processed/"
    assert asked["files"] == [{"name": "a.csv", "size": 3, "bucket": "b", "key": "ada/ds-1/v0001/files/a.csv"}]


@pytest.mark.parametrize("name", ["ValueCount", "Range", "Column", "Defect", "Images", "Media"])
def test_both_sides_name_the_same_fields(name: str) -> None:
    written, read = getattr(processing, name), getattr(profile, name)
    assert {field.name for field in dataclasses.fields(written)} == set(read.model_fields)


def test_both_sides_know_the_same_words_and_the_same_report() -> None:
    assert get_args(processing.ColumnType) == get_args(profile.ColumnType)
    assert get_args(processing.Layout) == get_args(profile.Layout)
    assert {field.name for field in dataclasses.fields(processing.Report)} == set(report.Report.model_fields)
    assert {field.name for field in dataclasses.fields(processing.File)} == set(report.ReportedFile.model_fields)


def test_a_report_that_says_more_or_less_is_not_believed() -> None:
    sound = json.loads(processing.Report(rows=1).to_json())
    assert report.Report.model_validate(sound).rows == 1
    for wrong in ({"rows": -1}, {"owner": "eve"}, {"files": [{"filename": "../a", "size": 1, "sha256": "0"}]}):
        with pytest.raises(ValueError):
            report.Report.model_validate(sound | wrong)


def test_every_format_of_every_type_has_a_reader() -> None:
    assert set(KINDS) == set(get_args(Format)) == {format for formats in FORMATS.values() for format in formats}
    for type, formats in FORMATS.items():
        for format in formats:
            assert callable(process.reader(type, format))


def test_every_training_type_has_needs_and_roles() -> None:
    types = set(get_args(column_mapping.TrainingType))
    assert types == set(readiness.NEEDS)
    assert types - {"custom"} <= set(column_mapping.ROLES)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"Error": "SourceChanged", "Cause": '{"errorMessage": "s3://b/k has changed since."}'}, "has changed since"),
        ({"Error": "States.Timeout", "Cause": ""}, "took too long"),
        ({"Error": "Sandbox.Timedout", "Cause": "Task timed out after 900 seconds"}, "took too long"),
        ({"Error": "Runtime.OutOfMemory", "Cause": "signal: killed"}, "out of memory"),
        ({"Error": "ProcessingJobFailed", "Cause": "AlgorithmError: out of disk"}, "out of disk"),
        ({"Error": "Lambda.Unknown", "Cause": None}, "interrupted"),
    ],
)
def test_a_workflows_error_is_told_as_what_to_do(error: dict[str, Any], said: str) -> None:
    assert said in tasks.reason_of(error)
