"""Training jobs of the local SageMaker: `pytest tests/local -k sagemaker`."""

import io
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.jobs import utilization
from local.sagemaker import processes
from tests.local.services import BUCKET, ROLE, Services, alive, client, until

LOGS = "/aws/sagemaker/TrainingJobs"

SUCCESS = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
rows = (base / "input/data/train/rows.csv").read_text()
parameters = json.loads((base / "input/config/hyperparameters.json").read_text())
print("epochs", parameters["epochs"], "rows", len(rows.splitlines()))
print("loss=0.5"); print("loss=0.25", file=sys.stderr)
print("SECRETS", [name for name in os.environ if "AWS_" in name and "REGION" not in name])
(base / "model/model.txt").write_text(rows.upper())
(base / "output/data/metrics.json").write_text("{}")
"""
FAILING = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
(base / "model/half.txt").write_text("half a model")
(base / "output/data/log.txt").write_text("what happened")
(base / "output/failure").write_text("no column called price")
sys.exit(3)
"""
PATIENT = """
import os, pathlib, signal, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
def save(*_):
    (base / "checkpoints/state.json").write_text("saved")
    (base / "model/model.txt").write_text("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
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
RESUME = """
import os, pathlib, signal
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "checkpoints"
assert (folder / "epoch-1").read_text() == "1"
(folder / "epoch-2").write_text("2")
(folder / "epoch-1").unlink()
signal.pause()
"""
DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid)
"""
NETWORK = """
import json, os, pathlib, socket
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
port = int(json.loads((base / "input/config/hyperparameters.json").read_text())["port"])
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname()).close()
try:
    socket.create_connection(("127.0.0.1", port), 2).close()
    print("reached")
except OSError:
    print("refused")
"""


def started(services: Services, name: str) -> bool:
    """Whether the job has a log stream."""
    try:
        found = services.logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{name}/")
    except services.logs.exceptions.ResourceNotFoundException:
        return False
    return bool(found["logStreams"])


def program_lines(services: Services, name: str) -> list[str]:
    """What the job has printed so far."""
    return services.log_lines(LOGS, f"{name}/") if started(services, name) else []


def unpack(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: file.read() for m in tar.getmembers() if (file := tar.extractfile(m))}


def test_a_job_reads_its_channel_and_its_model_and_output_reach_s3(services: Services) -> None:
    services.put("data/rows.csv", "a,b\n1,2\n")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data"}}
    image = services.image("success", train=SUCCESS)
    services.sagemaker.create_training_job(
        **services.training_request(
            "happy",
            image,
            AlgorithmSpecification={
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            HyperParameters={"epochs": "3"},
            InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
            EnableNetworkIsolation=True,
            Tags=[{"Key": "owner", "Value": "ada"}],
        )
    )

    job = services.ended("happy")

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job.get("FailureReason")
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert model == f"s3://{BUCKET}/happy/output/happy/output/model.tar.gz"
    assert unpack(services.object(model)) == {"model.txt": b"A,B\n1,2\n"}
    assert unpack(services.object(model.replace("model.tar", "output.tar"))) == {"metrics.json": b"{}"}
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    assert all("EndTime" in transition for transition in job["SecondaryStatusTransitions"])
    assert "Tags" not in job
    assert services.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "owner", "Value": "ada"}]
    assert ROLE in services.roles and None not in services.roles


def test_log_lines_arrive_in_order_and_show_no_credentials(services: Services) -> None:
    lines = services.log_lines("/aws/sagemaker/TrainingJobs", "happy/algo-1-")
    assert "epochs 3 rows 2" in lines
    assert "SECRETS []" in lines
    assert lines.index("epochs 3 rows 2") < lines.index("loss=0.5")


def test_every_transition_is_an_event_in_awss_shape(services: Services) -> None:
    events = until(
        lambda: services.details("SageMaker Training Job State Change", TrainingJobName="happy"),
        lambda found: found and found[-1]["TrainingJobStatus"] == "Completed",
    )
    assert [e["SecondaryStatus"] for e in events] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    last = events[-1]
    assert last["Tags"] == {"owner": "ada"}
    assert last["TrainingEndTime"].isdigit() and len(last["TrainingEndTime"]) == 13
    assert last["HyperParameters"] == {"epochs": "3"}


def test_a_failing_program_ends_with_its_own_reason_and_its_output(services: Services) -> None:
    image = services.image("failing", train=FAILING)
    services.sagemaker.create_training_job(**services.training_request("failing", image))

    job = services.ended("failing")

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: no column called price, exit code: 3"
    assert services.keys("failing/output/failing/output/") == ["output.tar.gz"]


def test_a_reason_longer_than_awss_limit_is_cut_and_keeps_the_exit_code(services: Services) -> None:
    image = services.image("verbose", train=FAILING.replace("no column called price", "x" * 5000))
    services.sagemaker.create_training_job(**services.training_request("verbose", image))
    reason = services.ended("verbose")["FailureReason"]
    assert len(reason) == 1024
    assert reason.startswith("AlgorithmError: xxx") and reason.endswith("xxx, exit code: 3")


def test_stop_lets_the_program_save_and_keeps_its_checkpoint_and_model(services: Services) -> None:
    image = services.image("patient", train=PATIENT)
    checkpoints = {"S3Uri": f"s3://{BUCKET}/patient/checkpoints"}
    request = services.training_request("patient", image, CheckpointConfig=checkpoints)
    services.sagemaker.create_training_job(**request)
    until(lambda: program_lines(services, "patient"), bool)

    services.sagemaker.stop_training_job(TrainingJobName="patient")
    job = services.ended("patient")

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in job
    assert services.object(f"s3://{BUCKET}/patient/checkpoints/state.json") == b"saved"
    assert services.keys("patient/output/patient/output/") == ["model.tar.gz"]


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(services: Services) -> None:
    image = services.image("stubborn", train=STUBBORN)
    services.sagemaker.create_training_job(**services.training_request("stubborn", image))
    pid = int(until(lambda: program_lines(services, "stubborn"), bool)[0])
    services.sagemaker.stop_training_job(TrainingJobName="stubborn")
    job = services.ended("stubborn")
    assert job["TrainingJobStatus"] == "Stopped"
    stopping, uploading = job["SecondaryStatusTransitions"][-3:-1]
    assert (stopping["Status"], uploading["Status"]) == ("Stopping", "Uploading")
    assert (uploading["StartTime"] - stopping["StartTime"]).total_seconds() >= 1.0  # the fixture's grace period
    assert not alive(pid)


def test_a_job_that_runs_too_long_is_stopped_with_its_checkpoint(services: Services) -> None:
    image = services.image("slow", train=PATIENT)
    request = services.training_request(
        "slow", image, StoppingCondition={"MaxRuntimeInSeconds": 2}, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/slow/c"}
    )
    services.sagemaker.create_training_job(**request)
    job = services.ended("slow")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert services.keys("slow/c/") == ["state.json"]


def test_checkpoints_come_down_first_go_up_while_training_and_disappear_when_deleted(services: Services) -> None:
    services.put("resume/checkpoints/epoch-1", "1")
    image = services.image("resume", train=RESUME)
    request = services.training_request(
        "resume", image, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/resume/checkpoints/"}
    )
    services.sagemaker.create_training_job(**request)

    until(lambda: services.keys("resume/checkpoints/"), lambda keys: keys == ["epoch-2"])
    assert services.sagemaker.describe_training_job(TrainingJobName="resume")["SecondaryStatus"] == "Training"

    services.sagemaker.stop_training_job(TrainingJobName="resume")
    services.ended("resume")
    assert services.object(f"s3://{BUCKET}/resume/checkpoints/epoch-2") == b"2"


def test_log_lines_are_there_while_the_program_still_runs(services: Services) -> None:
    image = services.image("talking", train=STUBBORN)
    services.sagemaker.create_training_job(**services.training_request("talking", image))
    services.training("talking")
    until(lambda: program_lines(services, "talking"), bool, seconds=3)
    assert services.sagemaker.describe_training_job(TrainingJobName="talking")["TrainingJobStatus"] == "InProgress"
    services.sagemaker.stop_training_job(TrainingJobName="talking")


def test_a_process_left_behind_in_its_own_session_ends_with_the_job(services: Services) -> None:
    image = services.image("daemon", train=DAEMON)
    services.sagemaker.create_training_job(**services.training_request("daemon", image))
    assert services.ended("daemon")["TrainingJobStatus"] == "Completed"
    assert not alive(int(program_lines(services, "daemon")[0]))


def test_an_isolated_program_reaches_loopback_only_of_its_own(services: Services) -> None:
    port = services.aws.rpartition(":")[2]
    image = services.image("network", train=NETWORK)
    for name, isolated in (("isolated", True), ("connected", False)):
        request = services.training_request(
            name, image, EnableNetworkIsolation=isolated, HyperParameters={"port": port}
        )
        services.sagemaker.create_training_job(**request)
        assert services.ended(name)["TrainingJobStatus"] == "Completed"
    assert services.log_lines(LOGS, "connected/")[-1] == "reached"
    if services.sagemaker_service.training.isolation:
        assert services.log_lines(LOGS, "isolated/") == ["refused"]
    else:
        assert "Network isolation is not available" in services.log_lines(LOGS, "isolated/")[0]


def entry_point(image: str, *words: str) -> dict[str, Any]:
    """A request's AlgorithmSpecification that says itself what runs."""
    algorithm: dict[str, Any] = {"TrainingImage": image, "TrainingInputMode": "File"}
    return algorithm | {"ContainerEntrypoint": list(words)}


def test_a_requests_own_entry_point_finds_its_job_at_opt_ml(services: Services, tmp_path: Path) -> None:
    if not services.run(processes.opt_ml_available(tmp_path)):
        pytest.skip("This machine cannot mount a job's folder at /opt/ml.")
    command = "cp /opt/ml/input/data/train/rows.csv /opt/ml/model/ && sleep 1"
    image = services.image("own-entry", train="raise SystemExit('not asked for')")
    for name in ("own-a", "own-b"):  # at the same time, each with its own
        services.put(f"{name}/train/rows.csv", name)
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/train/"}
        services.sagemaker.create_training_job(
            **services.training_request(
                name,
                image,
                AlgorithmSpecification=entry_point(image, "/bin/bash") | {"ContainerArguments": ["-c", command]},
                InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            )
        )
    for name in ("own-a", "own-b"):
        job = services.ended(name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        model = io.BytesIO(services.object(job["ModelArtifacts"]["S3ModelArtifacts"]))
        with tarfile.open(fileobj=model, mode="r:gz") as archive:
            found = archive.extractfile("rows.csv")
            assert found is not None and found.read() == name.encode()
    assert not Path("/opt/ml/model").exists()


def test_a_requests_own_entry_point_must_be_in_the_image(services: Services, tmp_path: Path) -> None:
    image = services.image("no-such-entry")
    request = services.training_request("own-none", image, AlgorithmSpecification=entry_point(image, "sqrt-of-minus-1"))
    services.sagemaker.create_training_job(**request)
    job = services.ended("own-none")
    can = services.run(processes.opt_ml_available(tmp_path))
    reason = "AlgorithmError: the image has no program sqrt-of-minus-1, exit code: 127" if can else "ClientError: Conta"
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith(reason)


def test_a_name_cannot_be_used_twice(services: Services) -> None:
    request = services.training_request("twice", services.image("twice", train=""))
    services.sagemaker.create_training_job(**request)
    with pytest.raises(ClientError, match="already exists") as refused:
        services.sagemaker.create_training_job(**request)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": "a" * 64}, "less than or equal to 63"),
        ({"TrainingJobName": "job_1"}, "regular expression pattern"),
        ({"RoleArn": "arn:aws:iam::12:role/short-account"}, "regular expression pattern"),
        ({"ResourceConfig": {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "enum value set"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}, "must be 1"),
        ({"HyperParameters": {"x": "y" * 2501}}, "less than or equal to 2500"),
        ({"Environment": {"SM_MODEL_DIR": "/elsewhere"}}, "reserved"),
        ({"OutputDataConfig": {"S3OutputPath": "file:///tmp"}}, "regular expression pattern"),
        ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Pipe"}}, "use File"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 9}}, "EnableManagedSpotTraining"),
        ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://b/x"}}, "TensorBoardOutputConfig is not implemented"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(services: Services, changes: dict, message: str) -> None:
    request = services.training_request("refused", "image:1", **changes)
    with pytest.raises(ClientError, match=message) as refused:
        services.sagemaker.create_training_job(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        services.sagemaker.describe_training_job(TrainingJobName="refused")


def test_data_an_image_or_a_bucket_that_is_not_there_fails_the_job_with_the_cause(services: Services) -> None:
    nothing = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nothing-here"}}
    empty = services.training_request(
        "empty", services.image("empty"), InputDataConfig=[{"ChannelName": "train", "DataSource": nothing}]
    )
    services.sagemaker.create_training_job(**empty)
    services.sagemaker.create_training_job(**services.training_request("no-image", "000.dkr.ecr.x/nowhere:1"))
    writing = "import os, pathlib; (pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'model/m').write_text('')"
    elsewhere = {"S3OutputPath": "s3://no-such-bucket/x"}
    no_bucket = services.training_request("no-bucket", services.image("w", train=writing), OutputDataConfig=elsewhere)
    services.sagemaker.create_training_job(**no_bucket)
    assert services.ended("no-bucket")["FailureReason"].startswith("ClientError: Artifact upload failed")
    assert "No S3 objects found under S3 URL" in services.ended("empty")["FailureReason"]
    assert services.ended("no-image")["FailureReason"].startswith("ClientError: Cannot pull image")


def test_what_is_not_implemented_says_its_name(services: Services) -> None:
    with pytest.raises(ClientError, match="CreateCluster is not implemented by the local platform") as refused:
        services.sagemaker.create_cluster(ClusterName="c")
    assert refused.value.response["Error"]["Code"] == "NotImplementedLocally"


def test_stopping_a_finished_or_unknown_job_is_refused(services: Services) -> None:
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        services.sagemaker.stop_training_job(TrainingJobName="happy")
    with pytest.raises(ClientError, match="Requested resource not found"):
        services.sagemaker.stop_training_job(TrainingJobName="nobody")


def test_lists_filter_sort_and_page(services: Services) -> None:
    first = services.sagemaker.list_training_jobs(StatusEquals="Failed", SortBy="Name", MaxResults=2)
    rest = services.sagemaker.list_training_jobs(
        StatusEquals="Failed", SortBy="Name", NextToken=first["NextToken"], MaxResults=100
    )
    names = [job["TrainingJobName"] for page in (first, rest) for job in page["TrainingJobSummaries"]]
    assert names == sorted(names) and {"failing", "verbose", "empty", "no-image", "no-bucket"} <= set(names)
    assert "NextToken" not in rest
    assert not services.sagemaker.list_training_jobs(NameContains="nobody")["TrainingJobSummaries"]


def test_metrics_reach_cloudwatch(services: Services) -> None:
    cloudwatch = client("cloudwatch", services.aws)
    [metric] = cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs", MetricName="loss")["Metrics"]
    assert metric["Dimensions"] == [{"Name": "TrainingJobName", "Value": "happy"}]


def test_what_a_program_uses_reaches_cloudwatch_while_it_runs(services: Services) -> None:
    busy = (
        "import time; begun = time.monotonic(); memory = bytearray(64 << 20)\nwhile time.monotonic() - begun < 30: pass"
    )
    services.sagemaker.create_training_job(**services.training_request("busy", services.image("busy", train=busy)))
    cloudwatch = client("cloudwatch", services.aws)

    def used() -> dict[str, float]:
        found = cloudwatch.get_metric_data(
            MetricDataQueries=[
                utilization.query(id, name, "busy/algo-1", 60) for id, name in utilization.METRICS.items()
            ],
            StartTime=datetime.now(UTC) - timedelta(minutes=5),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
        )["MetricDataResults"]
        return {result["Id"]: result["Values"][-1] for result in found if result["Values"]}

    figures = until(used, bool)
    services.sagemaker.stop_training_job(TrainingJobName="busy")
    assert figures.keys() == {"cpu", "memory", "disk"}
    assert 10 < figures["cpu"] < 130, "one busy thread, on a machine that others use too"
    assert 0 < figures["memory"] <= 100 and 0 < figures["disk"] <= 100
    assert services.ended("busy")["TrainingJobStatus"] == "Stopped"


def test_tags_are_added_replaced_and_removed(services: Services) -> None:
    arn = services.sagemaker.describe_training_job(TrainingJobName="failing")["TrainingJobArn"]
    services.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    services.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    services.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert services.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]


def test_a_deleted_job_is_gone_and_its_name_free(services: Services) -> None:
    request = services.training_request("deleted", services.image("deleted", train=""))
    services.sagemaker.create_training_job(**request)
    services.ended("deleted")
    services.sagemaker.delete_training_job(TrainingJobName="deleted")
    services.sagemaker.create_training_job(**request)
    services.ended("deleted")
