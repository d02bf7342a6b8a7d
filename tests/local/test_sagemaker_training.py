"""Training jobs of the local SageMaker: `pytest tests/local -k sagemaker`."""

import io
import tarfile

from tests.local.services import BUCKET, ROLE, Services, until

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


def unpack(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


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
