"""What SageMaker does for containers, under the execution role: SageMaker is asked directly, as root."""

import json
import secrets

from lambdas.datasets.report import REPORT
from lambdas.datasets.schemas import StoredFile
from tests.journeys.checks import datasets
from tests.journeys.checks.endpoints import forget, status
from tests.journeys.checks.world import NO_TOKEN, World, expect, until
from tests.journeys.conftest import PARAMETERS

COPIED = {"AlgorithmSpecification", "RoleArn", "HyperParameters", "ResourceConfig", "StoppingCondition"}
TRAINING_LOGS, ENDPOINT_LOGS = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/Endpoints"
PROCESSING_LOGS = "/aws/sagemaker/ProcessingJobs"
CONFIG = {**PARAMETERS, "algorithm": "lightgbm", "epochs": 40, "checkpoint_every": 10}


def training(world: World, data: str | None = None) -> None:
    """A container reads its data, at a URI if one is given, prints, keeps and drops checkpoints, leaves a model."""
    name = f"AWSBatch-check-{secrets.token_hex(4)}"
    home = f"{world.user_id}/{name}"
    config = {"job_id": name, "stage": "local", "training_type": "tabular", "parameters": CONFIG}
    world.s3.put_object(Bucket=world.jobs_bucket, Key=f"{home}/config/config.json", Body=json.dumps(config).encode())
    old = f"{home}/checkpoints/checkpoint-1/model"  # of a first attempt, which the container drops
    world.s3.put_object(Bucket=world.jobs_bucket, Key=old, Body=b"")
    like = world.record("jobs", world.job["id"])["attempts"][-1]["training_job_name"]
    described = world.sagemaker.describe_training_job(TrainingJobName=like)
    uri = f"s3://{world.jobs_bucket}/{home}"
    channels = described["InputDataConfig"]
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]
        if channel["ChannelName"] == "config":
            source["S3Uri"] = f"{uri}/config/"
        elif data:
            source["S3Uri"] = data
    request = {member: described[member] for member in COPIED} | {
        "TrainingJobName": name,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"{uri}/output"},
        "CheckpointConfig": {"S3Uri": f"{uri}/checkpoints"},
    }
    world.platform.faults()  # it gets a machine
    try:
        world.sagemaker.create_training_job(**request)

        def ended() -> str | None:
            found = world.sagemaker.describe_training_job(TrainingJobName=name)
            return found["TrainingJobStatus"] if found["TrainingJobStatus"] != "InProgress" else None

        expect(until(ended, "the training job has ended", seconds=60) == "Completed", "the training job is completed")
    finally:
        world.stand_still()
    expect(len(world.keys(world.jobs_bucket, f"{home}/output/")) == 2, "model and report are stored")
    kept = world.keys(world.jobs_bucket, f"{home}/checkpoints/")
    expect({key.split("/")[3] for key in kept} == {"checkpoint-30", "checkpoint-40"}, "two checkpoints are kept")
    expect_logs(world, TRAINING_LOGS, f"{name}/")


def training_on_a_reference(world: World) -> None:
    """A container reads its data where it was found, in another bucket."""
    like = world.record("jobs", world.job["id"])["dataset_uri"]
    bucket, prefix = like.removeprefix("s3://").split("/", 1)
    (key,) = world.keys(bucket, prefix)
    found = datasets.imported(world, world.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    training(world, datasets.source_of(found, "reference")["s3_uri"])


def processing(world: World, found: StoredFile | None = None) -> None:
    """A container reads a version's file, prints, and leaves its report."""
    with datasets.version(world, "processing", found, "reference", size=datasets.LARGE) as version:
        world.platform.faults()  # it gets a machine
        try:
            world.invoke("datasets_submit", world.event(version.id) | {"token": NO_TOKEN})

            def ended() -> str | None:
                status = datasets.job_status(world, version.id)
                return status if status != "InProgress" else None

            expect(until(ended, "the job has ended", seconds=60) == "Completed", "the job is completed")
        finally:
            world.stand_still()
        report = version.prefix + REPORT
        expect(report in world.keys(world.datasets_bucket, version.prefix), "the report is stored")
        expect_logs(world, PROCESSING_LOGS, f"{version.id}/")


def processing_of_a_reference(world: World) -> None:
    """A container reads a version's file where it was found, in another bucket."""
    processing(world, datasets.imported(world))


def serving(world: World) -> None:
    """A container reads its model, and prints."""
    artefact = world.record("endpoints", world.endpoint["id"])["artefact"]
    id = world.copy("endpoints", world.endpoint["id"], token=NO_TOKEN, status="creating", artefact=artefact)
    name = f"slipway-local-{id}"
    world.records.change("endpoints", world.user_id, id, endpoint_name=name)
    try:
        for step in ("create_model", "create_endpoint"):
            world.invoke("endpoints_deploy", world.event(id) | {"step": step, "token": NO_TOKEN})
        until(lambda: status(world, name) != "Creating", "SageMaker has settled", seconds=60)
        expect(status(world, name) == "InService", "the endpoint is in service")
        expect_logs(world, f"{ENDPOINT_LOGS}/{name}", "")
    finally:
        forget(world, id)


def expect_logs(world: World, group: str, prefix: str) -> None:
    """Raise CheckFailed unless a stream of that group, whose name starts so, holds a line."""
    logs = world.platform.client("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    expect(group in [found["logGroupName"] for found in groups], f"the group {group} is there")

    def lines() -> list[dict[str, str]]:
        # Not FilterLogEvents: the emulator's takes no prefix.
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        names = [found["logStreamName"] for found in streams if found["logStreamName"].startswith(prefix)]
        return [e for name in names for e in logs.get_log_events(logGroupName=group, logStreamName=name)["events"]]

    until(lines, f"{group} has lines", seconds=3)
