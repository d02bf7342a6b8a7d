"""Destroying a stage: what is found, stopped, deleted, kept.  `pytest tests/units/operations`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.home import Home
from local.outputs import DEPLOYED, OUTPUTS
from operations import destroy, drain, waiting
from operations.account import Account
from operations.buckets import empty
from operations.deployed import Resource, delete_stack, find_stack, physical_ids, resources_of, retained_of
from operations.terminal import OperationError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUMMARY = ("ProcessingJobName", "ProcessingJobArn", "ProcessingJobStatus", "CreationTime")
QUEUE = "arn:aws:batch:eu-west-1:123456789012:job-queue/large"
BUCKET = Resource("AWS::S3::Bucket", "Datasets", "datasets-bucket")
TABLE = Resource("AWS::DynamoDB::GlobalTable", "Jobs", "jobs-table")
ROLE = Resource("AWS::IAM::Role", "Role", "role-name")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)


def endpoint(name: str, status: str) -> dict[str, object]:
    arn = f"arn:aws:sagemaker:eu-west-1:123456789012:endpoint/{name}"
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    return {"EndpointName": name, "EndpointArn": arn, "EndpointStatus": status, **times}


def listed(*endpoints: dict[str, object]) -> tuple[str, dict[str, object], dict[str, object]]:
    return "list_endpoints", {"NameContains": "slipway-dev-"}, {"Endpoints": list(endpoints)}


def test_an_endpoint_that_is_still_being_made_is_deleted_once_it_is_made_and_waited_for(scripted):
    mine, foreign = "slipway-dev-ep-1", "their-slipway-dev-copy"
    scripted.script(
        "sagemaker",
        listed(endpoint(mine, "Creating"), endpoint(foreign, "InService")),
        listed(endpoint(mine, "InService"), endpoint(foreign, "InService")),
        ("delete_endpoint", {"EndpointName": mine}, {}),
        listed(endpoint(mine, "Deleting"), endpoint(foreign, "InService")),
        listed(endpoint(foreign, "InService")),
    )
    drain.delete_settled(scripted, "dev", "endpoint")


def test_components_are_deleted_once_they_are_at_rest_and_waited_for(scripted):
    def listed(*statuses: str) -> tuple[str, dict[str, object], dict[str, object]]:
        arn = "arn:aws:sagemaker:eu-west-1:123456789012"
        rows = [
            {
                "InferenceComponentName": "slipway-dev-ep-1",
                "InferenceComponentArn": f"{arn}:inference-component/slipway-dev-ep-1",
                "InferenceComponentStatus": status,
                "EndpointName": "slipway-dev-ep-1",
                "EndpointArn": f"{arn}:endpoint/slipway-dev-ep-1",
                "VariantName": "main",
                "CreationTime": NOW,
                "LastModifiedTime": NOW,
            }
            for status in statuses
        ]
        return "list_inference_components", {"NameContains": "slipway-dev-"}, {"InferenceComponents": rows}

    deletion: tuple[str, dict[str, object], dict[str, object]]
    deletion = "delete_inference_component", {"InferenceComponentName": "slipway-dev-ep-1"}, {}
    scripted.script("sagemaker", listed("Updating"), listed("InService"), deletion, listed("Deleting"), listed())
    drain.delete_settled(scripted, "dev", "inference_component")


def test_each_job_of_a_queue_is_terminated_once_and_all_are_waited_for(scripted):
    def jobs(status: str, *ids: str) -> tuple[str, dict[str, object], dict[str, object]]:
        rows = [{"jobId": id, "jobName": id, "serviceJobType": "SAGEMAKER_TRAINING"} for id in ids]
        return "list_service_jobs", {"jobQueue": QUEUE, "jobStatus": status}, {"jobSummaryList": rows}

    def seen(**ids: str) -> list[tuple[str, dict[str, object], dict[str, object]]]:
        return [jobs(status, *([ids[status]] if status in ids else [])) for status in drain.UNFINISHED]

    scripted.script(
        "batch",
        *seen(RUNNING="one"),
        ("terminate_service_job", {"jobId": "one", "reason": drain.REASON}, {}),
        *seen(RUNNING="one", SUBMITTED="late"),
        ("terminate_service_job", {"jobId": "late", "reason": drain.REASON}, {}),
        *seen(),
    )
    drain.terminate_jobs(scripted, [QUEUE])


def test_processing_jobs_of_this_stage_are_stopped_and_waited_for(scripted):
    mine, foreign = "dsv-01m7x9pxfk4b3pwqvzg-0001", "dsv-01m7x9pxfk4b3pwqvzh-0001"

    def listed(*names: str) -> list[tuple[str, dict[str, object], dict[str, object]]]:
        asked: dict[str, object] = {"NameContains": "dsv-", "StatusEquals": "InProgress"}
        described: list[tuple[str, dict[str, object], dict[str, object]]] = [
            ("describe_processing_job", {"ProcessingJobName": name}, shown(name)) for name in names
        ]
        summaries = [{key: shown(name)[key] for key in SUMMARY} for name in names]
        return [("list_processing_jobs", asked, {"ProcessingJobSummaries": summaries}), *described]

    def shown(name: str) -> dict[str, object]:
        arn = f"arn:aws:sagemaker:eu-west-1:123456789012:processing-job/{name}"
        cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10}
        return {
            "ProcessingJobName": name,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "CreationTime": NOW,
            "ProcessingResources": {"ClusterConfig": cluster},
            "AppSpecification": {"ImageUri": "image"},
            "Environment": {"SLIPWAY_STAGE": "dev" if name == mine else "devtwo"},
        }

    scripted.script(
        "sagemaker",
        *listed(mine, foreign),
        ("stop_processing_job", {"ProcessingJobName": mine}, {}),
        *listed(mine, foreign),
        *listed(foreign),
    )
    drain.stop_processing_jobs(scripted, "dev")


def test_scaling_of_this_stages_endpoints_stops(scripted):
    mine, foreign = "endpoint/slipway-dev-ep-1/variant/main", "endpoint/their-slipway-dev-copy/variant/main"
    dimension, namespace = "sagemaker:variant:DesiredInstanceCount", "sagemaker"
    component, of_copies = "inference-component/slipway-dev-ep-2", "sagemaker:inference-component:DesiredCopyCount"

    def target(name: str, dimension: str = dimension) -> dict[str, Any]:
        bounds = {"MinCapacity": 1, "MaxCapacity": 2, "RoleARN": "arn:aws:iam::123456789012:role/scaling"}
        named = {"ServiceNamespace": namespace, "ResourceId": name, "ScalableDimension": dimension}
        return named | bounds | {"CreationTime": NOW}

    asked = {"ServiceNamespace": namespace, "ResourceId": mine, "ScalableDimension": dimension}
    scripted.script(
        "application-autoscaling",
        (
            "describe_scalable_targets",
            {"ServiceNamespace": namespace},
            {"ScalableTargets": [target(mine), target(foreign), target(component, of_copies)]},
        ),
        ("deregister_scalable_target", asked, {}),
        ("deregister_scalable_target", asked | {"ResourceId": component, "ScalableDimension": of_copies}, {}),
    )
    drain.stop_scaling(scripted, "dev")


def test_alarms_are_deleted_as_many_at_once_as_a_call_takes(scripted):
    names = [f"slipway-dev-ep-1-{number}" for number in range(2, 105)]
    scripted.script(
        "cloudwatch",
        (
            "describe_alarms",
            {"AlarmNamePrefix": "slipway-dev-"},
            {"MetricAlarms": [{"AlarmName": name} for name in names]},
        ),
        ("delete_alarms", {"AlarmNames": names[:100]}, {}),
        ("delete_alarms", {"AlarmNames": names[100:]}, {}),
    )
    drain.delete_alarms(scripted, "dev")


def test_queues_are_closed_before_anything_is_stopped(scripted):
    def shown(state: str, status: str) -> tuple[str, dict[str, object], dict[str, object]]:
        named = {"jobQueueName": "large", "jobQueueArn": QUEUE, "priority": 1, "computeEnvironmentOrder": []}
        queue = {**named, "state": state, "status": status}
        return "describe_job_queues", {"jobQueues": [QUEUE]}, {"jobQueues": [queue]}

    scripted.script(
        "batch",
        ("update_job_queue", {"jobQueue": QUEUE, "state": "DISABLED"}, {}),
        shown("ENABLED", "UPDATING"),
        shown("DISABLED", "UPDATING"),
        shown("DISABLED", "VALID"),
    )
    drain.disable_queues(scripted, [QUEUE])


def test_waiting_for_something_that_never_happens_ends_with_what_to_do():
    with pytest.raises(OperationError, match="run the command again"):
        waiting.wait_until(lambda: False, "the moon", seconds=0)


def test_the_plan_names_what_is_deleted_and_what_stays_and_is_billed():
    made = drain.Made(jobs=["job-1"], endpoints=["slipway-dev-ep-1"])
    text = "\n".join(destroy.Plan("dev", [ROLE], [BUCKET, TABLE], [], made, keeps_data=False).lines())
    deleted, kept = text.split("To keep, billed as said:")
    assert "1 jobs: job-1" in deleted
    assert "1 endpoints: slipway-dev-ep-1" in deleted
    assert "every object in bucket datasets-bucket" in deleted
    assert "slipway-dev-platform (1 resources)" in deleted
    assert "datasets-bucket" not in kept


def test_a_stage_that_retains_its_data_keeps_the_data_stack_and_says_how_it_is_billed():
    plan = destroy.Plan("prod", [ROLE], [BUCKET, TABLE], [ROLE], drain.Made(), keeps_data=True)
    deleted, kept = "\n".join(plan.lines()).split("To keep, billed as said:")
    assert "datasets-bucket" not in deleted and "slipway-prod-data" not in deleted
    assert "S3 Bucket datasets-bucket (storage, by the gigabyte)" in kept
    assert "DynamoDB GlobalTable jobs-table (storage and point-in-time recovery" in kept
    assert "IAM Role role-name" in kept


def test_a_stage_of_which_nothing_is_left_is_no_error():
    assert destroy.Plan("dev", None, None, [], drain.Made(), keeps_data=False).nothing
    assert destroy.Plan("prod", None, [BUCKET], [], drain.Made(), keeps_data=True).nothing
    assert not destroy.Plan("dev", None, [BUCKET], [], drain.Made(), keeps_data=False).nothing
    assert not destroy.Plan("dev", None, None, [], drain.Made(models=["slipway-dev-ep-1"]), keeps_data=False).nothing


def test_an_unknown_stage_is_refused_before_anything_is_asked_of_aws():
    with pytest.raises(OperationError, match="no stage 'nowhere'"):
        destroy.main(["nowhere"])


def test_the_outputs_of_a_destroyed_stage_are_forgotten_and_those_of_another_are_kept(tmp_path: Path):
    home = Home(tmp_path)
    home.write(OUTPUTS, {"Stage": "dev"})
    home.write(DEPLOYED, {"assembly": "cdk.out-1"})
    destroy.forget(home, "local")
    assert home.read(OUTPUTS) == {"Stage": "dev"}
    assert home.read(DEPLOYED) is None
    destroy.forget(home, "dev")
    assert home.read(OUTPUTS) is None


def test_emptying_a_bucket_removes_versions_delete_markers_and_begun_uploads(deployed: Account):
    bucket = physical_ids(resources_of(deployed, "slipway-local-data"), "AWS::S3::Bucket")[0]
    s3 = deployed.client("s3")
    for content in (b"first", b"second"):
        s3.put_object(Bucket=bucket, Key="ada/one", Body=content)
    s3.delete_object(Bucket=bucket, Key="ada/one")
    s3.create_multipart_upload(Bucket=bucket, Key="ada/two")
    assert empty(deployed, bucket) == 3
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    versions = s3.list_object_versions(Bucket=bucket)
    assert "Versions" not in versions and "DeleteMarkers" not in versions


def test_deleting_a_stack_waits_until_it_is_gone_and_what_it_retains_is_known_before(deployed: Account):
    name = "slipway-local-platform"
    assert [resource.logical_id for resource in retained_of(deployed, name)] == ["Audit"]
    delete_stack(deployed, name)
    assert find_stack(deployed, name) is None
