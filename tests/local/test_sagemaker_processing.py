"""Processing jobs of the local SageMaker: `pytest tests/local/test_sagemaker_processing.py`."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import BUCKET, ROLE, Services, alive, until

LOGS = "/aws/sagemaker/ProcessingJobs"
EVENT = "SageMaker Processing Job State Change"

SUCCESS = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
job = json.loads((base / "config/processingjobconfig.json").read_text())
resources = json.loads((base / "config/resourceconfig.json").read_text())
request = json.loads((base / "processing/input/request/request.json").read_text())
files = sorted(path.name for path in (base / "processing/input/files").iterdir())
assert files == sorted(request["files"]), files
print("job", job["ProcessingJobName"], job["AppSpecification"]["ContainerEntrypoint"], resources["hosts"])
print("stage", os.environ["STAGE"], "arguments", sys.argv[1:])
print("SECRETS", [name for name in os.environ if "AWS_" in name and "REGION" not in name])
output = base / "processing/output"
(output / "report.json").write_text(json.dumps({"files": len(files)}))
(output / "thumbnails").mkdir()
(output / "thumbnails/001.webp").write_bytes(b"picture")
(output / "link").symlink_to(output / "report.json")
(base / "output/message").write_text("é" * 600)
"""
FAILING = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
(base / "processing/output/half.json").write_text("{")
(base / "output/message").write_text("no file called rows.csv")
sys.exit(3)
"""
NOT_UTF8 = """
import os, pathlib
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/message").write_bytes(b"\\xff\\xfe")
"""
PATIENT = """
import os, pathlib, signal, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
def end(*_):
    (base / "output/message").write_text("told to stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(base / "processing/output").mkdir(parents=True, exist_ok=True)
(base / "processing/output/half.json").write_text("{")
print("ready")
while True:
    signal.pause()
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""
NETWORK = """
import os, socket
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname()).close()
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 2).close()
    print("reached")
except OSError:
    print("refused")
"""


def source(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{name}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": {**place, "S3InputMode": "File", **changes}}


def target(uri: str, **changes: Any) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    return {"Outputs": [{"OutputName": "processed", "S3Output": {**place, **changes}}]}


def log_lines(services: Services, name: str) -> list[str]:
    """What the job has printed so far."""
    try:
        return services.log_lines(LOGS, f"{name}/algo-1-")
    except services.logs.exceptions.ResourceNotFoundException:
        return []


@pytest.fixture(scope="module")
def completed(services: Services) -> dict[str, Any]:
    """A job with two inputs and an output, once it has ended."""
    for name in ("a.csv", "b.csv"):
        services.put(f"p/ds-1/files/{name}", "x\n1\n")
    services.put("p/ds-1/request.json", '{"files": ["a.csv", "b.csv"]}')
    image = services.image("success", process=SUCCESS)
    services.sagemaker.create_processing_job(
        **services.processing_request(
            "happy",
            image,
            AppSpecification={"ImageUri": image, "ContainerArguments": ["--all"]},
            ProcessingInputs=[
                source("request", f"s3://{BUCKET}/p/ds-1/request.json"),
                source("files", f"s3://{BUCKET}/p/ds-1/files/"),
            ],
            ProcessingOutputConfig=target(f"s3://{BUCKET}/p/ds-1/processed/"),
            Environment={"STAGE": "test"},
            NetworkConfig={"EnableNetworkIsolation": True},
            Tags=[{"Key": "owner", "Value": "ada"}],
        )
    )
    return services.processed("happy")


def test_inputs_are_read_and_the_output_reaches_its_prefix(services: Services, completed: dict[str, Any]) -> None:
    assert completed["ProcessingJobStatus"] == "Completed", completed
    assert services.keys("p/ds-1/processed/") == ["report.json", "thumbnails/001.webp"]  # a link does not go up
    assert services.object(f"s3://{BUCKET}/p/ds-1/processed/report.json") == b'{"files": 2}'
    assert completed["CreationTime"] <= completed["ProcessingStartTime"] <= completed["ProcessingEndTime"]
    assert completed["ProcessingEndTime"] <= completed["LastModifiedTime"]
    assert "FailureReason" not in completed and "Tags" not in completed
    assert ROLE in services.roles and None not in services.roles
    assert not list((services.home / "sagemaker/processing").iterdir())


def test_the_exit_message_is_the_first_kilobyte(completed: dict[str, Any]) -> None:
    assert completed["ExitMessage"] == "é" * 512


def test_the_program_knows_its_job_and_no_credentials(services: Services, completed: dict[str, Any]) -> None:
    lines = log_lines(services, completed["ProcessingJobName"])
    assert lines[-3:] == ["job happy None ['algo-1']", "stage test arguments ['--all']", "SECRETS []"]


def test_every_status_is_an_event_in_awss_shape(services: Services, completed: dict[str, Any]) -> None:
    events = until(
        lambda: services.details(EVENT, ProcessingJobName="happy"),
        lambda found: found and found[-1]["ProcessingJobStatus"] == "Completed",
    )
    assert [event["ProcessingJobStatus"] for event in events] == ["InProgress", "Completed"]
    last = events[-1]
    assert last["ProcessingJobArn"] == completed["ProcessingJobArn"]
    assert last["ProcessingEndTime"] == round(completed["ProcessingEndTime"].timestamp() * 1000)
    assert last["AppSpecification"]["ContainerArguments"] == ["--all"]
    [sent] = [e["resources"] for e in services.events if e["detail"] == last]
    assert sent == [completed["ProcessingJobArn"]]


def test_a_failing_program_says_why_and_leaves_no_output(services: Services) -> None:
    output = target(f"s3://{BUCKET}/p/failing")
    request = services.processing_request(
        "failing", services.image("failing", process=FAILING), ProcessingOutputConfig=output
    )
    services.sagemaker.create_processing_job(**request)
    job = services.processed("failing")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: , exit code: 3"
    assert job["ExitMessage"] == "no file called rows.csv"
    assert services.keys("p/failing") == []


def test_a_message_that_is_no_text_fails_the_job(services: Services) -> None:
    services.sagemaker.create_processing_job(
        **services.processing_request("bytes", services.image("bytes", process=NOT_UTF8))
    )
    job = services.processed("bytes")
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == (
        "Failed",
        "ClientError: /opt/ml/output/message is not UTF-8 encoded",
    )


def test_an_entry_point_of_the_request_replaces_the_images(services: Services) -> None:
    services.put("p/code/run.py", "import sys; print('ran', sys.argv[1:])")
    image = services.image("entry", process="raise SystemExit('the image runs its own')")
    request = services.processing_request(
        "entry",
        image,
        AppSpecification={
            "ImageUri": image,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"],
            "ContainerArguments": ["fast"],
        },
        ProcessingInputs=[source("code", f"s3://{BUCKET}/p/code/")],
    )
    services.sagemaker.create_processing_job(**request)
    assert services.processed("entry")["ProcessingJobStatus"] == "Completed"
    assert log_lines(services, "entry") == ["ran ['fast']"]


def test_stop_ends_the_program_and_uploads_nothing(services: Services) -> None:
    output = target(f"s3://{BUCKET}/p/stopped/")
    image = services.image("patient", process=PATIENT)
    services.sagemaker.create_processing_job(
        **services.processing_request("stopped", image, ProcessingOutputConfig=output)
    )
    until(lambda: log_lines(services, "stopped"), bool)
    services.sagemaker.stop_processing_job(ProcessingJobName="stopped")
    job = services.processed("stopped")
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Stopped", "told to stop")
    assert "FailureReason" not in job
    assert services.keys("p/stopped/") == []
    statuses = [event["ProcessingJobStatus"] for event in services.details(EVENT, ProcessingJobName="stopped")]
    assert statuses[:2] == ["InProgress", "Stopping"]


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(services: Services) -> None:
    services.sagemaker.create_processing_job(
        **services.processing_request("stubborn", services.image("stubborn", process=STUBBORN))
    )
    pid = int(until(lambda: log_lines(services, "stubborn"), bool)[0])
    services.sagemaker.stop_processing_job(ProcessingJobName="stubborn")
    assert services.processed("stubborn")["ProcessingJobStatus"] == "Stopped"
    assert not alive(pid)


def test_a_job_that_runs_too_long_is_stopped(services: Services) -> None:
    image = services.image("slow", process=PATIENT)
    request = services.processing_request("slow", image, StoppingCondition={"MaxRuntimeInSeconds": 2})
    services.sagemaker.create_processing_job(**request)
    job = services.processed("slow")
    assert job["ProcessingJobStatus"] == "Stopped"
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() >= 2


def test_an_isolated_program_reaches_loopback_only_of_its_own(services: Services) -> None:
    port = services.aws.rpartition(":")[2]
    image = services.image("network", process=NETWORK)
    for name, isolated in (("isolated", True), ("connected", False)):
        request = services.processing_request(
            name, image, NetworkConfig={"EnableNetworkIsolation": isolated}, Environment={"PORT": port}
        )
        services.sagemaker.create_processing_job(**request)
        assert services.processed(name)["ProcessingJobStatus"] == "Completed"
    assert log_lines(services, "connected") == ["reached"]
    if services.sagemaker_service.processing.isolation:
        assert log_lines(services, "isolated") == ["refused"]
    else:
        assert "Network isolation is not available" in log_lines(services, "isolated")[0]


def test_a_name_is_free_again_only_after_the_job_is_deleted(services: Services) -> None:
    request = services.processing_request("twice", services.image("twice", process=""))
    services.sagemaker.create_processing_job(**request)
    with pytest.raises(ClientError, match="already exists") as refused:
        services.sagemaker.create_processing_job(**request)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    services.processed("twice")
    services.sagemaker.delete_processing_job(ProcessingJobName="twice")
    services.sagemaker.create_processing_job(**request)
    assert services.processed("twice")["ProcessingJobStatus"] == "Completed"


URI = f"s3://{BUCKET}/x/"
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ProcessingJobName": "a" * 64}, "less than or equal to 63"),
        ({"ProcessingJobName": "job_1"}, "regular expression pattern"),
        ({"RoleArn": "arn:aws:iam::12:role/short-account"}, "regular expression pattern"),
        ({"ProcessingResources": {"ClusterConfig": {**CLUSTER, "InstanceType": "ml.huge"}}}, "enum value set"),
        ({"ProcessingResources": {"ClusterConfig": {**CLUSTER, "InstanceCount": 2}}}, "must be 1"),
        ({"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1}}}, "InstanceType is required"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777601}}, "less than or equal to 777600"),
        ({"Environment": {"SAGEMAKER_BASE_DIR": "/elsewhere"}}, "local platform's own"),
        ({"ProcessingInputs": [source("a", URI, S3InputMode="Pipe")]}, "File mode only"),
        ({"ProcessingInputs": [source("a", URI, S3DataType="ManifestFile")]}, "S3Prefix data"),
        ({"ProcessingInputs": [source("a", URI, S3CompressionType="Gzip")]}, "only be used with S3InputMode Pipe"),
        ({"ProcessingInputs": [source("a", URI, LocalPath="/tmp/a")]}, "must begin with /opt/ml/processing/"),
        ({"ProcessingInputs": [source("a", URI, LocalPath="/opt/ml/processing/../a")]}, "must begin with"),
        ({"ProcessingInputs": [source("a", URI), source("a", URI)]}, "Input names must be unique"),
        ({"ProcessingInputs": [{"InputName": "a"}]}, "reads S3Input"),
        ({"ProcessingInputs": [{**source("a", URI), "AppManaged": True}]}, "downloads itself"),
        ({"ProcessingOutputConfig": target(URI, LocalPath="/opt/ml/model")}, "must begin with"),
        ({"ProcessingOutputConfig": target(URI, S3UploadMode="Continuous")}, "use EndOfJob"),
        ({"ProcessingOutputConfig": target("file:///tmp")}, "regular expression pattern"),
        ({"ProcessingOutputConfig": target("https://example.com/x")}, "is not an S3 location"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(services: Services, changes: dict, message: str) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        services.sagemaker.create_processing_job(**services.processing_request("refused", "image:1", **changes))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        services.sagemaker.describe_processing_job(ProcessingJobName="refused")


def test_what_a_job_lacks_fails_it_with_the_cause(services: Services) -> None:
    lacking = {
        "no-data": services.processing_request(
            "no-data", services.image("any", process=""), ProcessingInputs=[source("a", f"s3://{BUCKET}/nothing/")]
        ),
        "no-image": services.processing_request("no-image", "000.dkr.ecr.x/nowhere:1"),
        "no-entry": services.processing_request("no-entry", services.image("no-entry")),
        "no-program": services.processing_request(
            "no-program",
            services.image("no-entry"),
            AppSpecification={"ImageUri": services.image("no-entry"), "ContainerEntrypoint": ["sqrt-of-minus-one"]},
        ),
        "no-bucket": services.processing_request(
            "no-bucket",
            services.image("writer", process=FAILING.replace("sys.exit(3)", "")),
            ProcessingOutputConfig=target("s3://no-such-bucket/x/"),
        ),
    }
    for request in lacking.values():
        services.sagemaker.create_processing_job(**request)
    reasons = {name: services.processed(name)["FailureReason"] for name in lacking}
    assert "No S3 objects found under S3 URL" in reasons["no-data"]
    assert reasons["no-image"].startswith("ClientError: Cannot pull image")
    assert "no ENTRYPOINT" in reasons["no-entry"]
    assert "no program sqrt-of-minus-one" in reasons["no-program"]
    assert reasons["no-bucket"].startswith("ClientError: Data upload failed")


def test_stopping_or_deleting_what_is_not_there_or_not_ready_is_refused(
    services: Services, completed: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="the processing job is in status Completed"):
        services.sagemaker.stop_processing_job(ProcessingJobName=completed["ProcessingJobName"])
    with pytest.raises(ClientError, match="Requested resource not found"):
        services.sagemaker.stop_processing_job(ProcessingJobName="nobody")
    services.sagemaker.create_processing_job(
        **services.processing_request("running", services.image("running", process=PATIENT))
    )
    with pytest.raises(ClientError, match="still in progress") as refused:
        services.sagemaker.delete_processing_job(ProcessingJobName="running")
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    services.sagemaker.stop_processing_job(ProcessingJobName="running")
    assert services.processed("running")["ProcessingJobStatus"] == "Stopped"


def test_lists_filter_sort_and_page(services: Services) -> None:
    image = services.image("listed", process="")
    for number in range(3):
        services.sagemaker.create_processing_job(**services.processing_request(f"listed-{number}", image))
        services.processed(f"listed-{number}")
    wanted = {"NameContains": "listed-", "StatusEquals": "Completed", "SortBy": "Name", "SortOrder": "Descending"}
    first = services.sagemaker.list_processing_jobs(**wanted, MaxResults=2)
    rest = services.sagemaker.list_processing_jobs(**wanted, MaxResults=2, NextToken=first["NextToken"])
    summaries = [*first["ProcessingJobSummaries"], *rest["ProcessingJobSummaries"]]
    assert [job["ProcessingJobName"] for job in summaries] == ["listed-2", "listed-1", "listed-0"]
    assert "NextToken" not in rest
    assert not services.sagemaker.list_processing_jobs(NameContains="listed-", StatusEquals="Failed")[
        "ProcessingJobSummaries"
    ]


def test_tags_are_those_of_the_request_and_can_be_changed(services: Services, completed: dict[str, Any]) -> None:
    arn = completed["ProcessingJobArn"]
    services.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert services.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "owner", "Value": "ada"},
        {"Key": "a", "Value": "1"},
    ]
    services.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
