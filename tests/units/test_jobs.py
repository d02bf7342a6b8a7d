"""Jobs without AWS: the requests we build, and what we read from its answers.  `pytest tests/units/test_jobs.py`"""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.jobs import capsule, progress, queues, training_request
from lambdas.jobs.outcome import observe, reason_of, waits_since
from lambdas.jobs.schemas import Job, RegisteredModel
from lambdas.jobs.trainings import model_id_from
from tests.aws_requests import faults

DEPLOYMENT = training_request.Deployment(
    stage="production",
    role_arn="arn:aws:iam::123456789012:role/slipway-production-platform-SageMakerExecutionRole7C0C6D3B-1A2B3C4D5E6F",
    jobs_bucket="j" * 63,
    images={"tabular": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-container-assets:" + "a" * 64},
    queues={"ml.m5.large": "arn:aws:batch:eu-west-1:123456789012:job-queue/TrainingQueue-" + "q" * 60},
    vpc={"SecurityGroupIds": ["sg-" + "0" * 17] * 5, "Subnets": ["subnet-" + "0" * 17] * 16},
    kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/" + "k" * 36,
)


def job(**changes: Any) -> Job:
    defaults: dict[str, Any] = {
        "owner": "ada",
        "id": "job-01m7x9pxfk4b3pwqvzg",
        "name": "Breast cancer",
        "training_type": "tabular",
        "parameters": {"target": "diagnosis", "epochs": 100},
        "dataset_id": "ds-01m7x9pxfk4b3pwqvzg",
        "dataset_owner": "ada",
        "dataset_uri": "s3://datasets/ada/ds-01m7x9pxfk4b3pwqvzg/v0001/files/",
        "image_family": "tabular",
        "instance_type": "ml.m5.large",
        "priority": "normal",
        "max_runtime_seconds": 3600,
        "stage": "queued",
        "model": RegisteredModel(id="mdl-01m7x9pxfk4b3pwqvzg", model_id="breast-cancer"),
    }
    return Job(**(defaults | changes))


def batch(status: str, arn: str | None = None, **more: Any) -> dict[str, Any]:
    attempt = {"latestAttempt": {"serviceResourceId": {"name": "TrainingJobArn", "value": arn}}} if arn else {}
    return {"status": status} | attempt | more


ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/AWSBatchjob-01m7x9pxfk4b3pwqvzg" + "0" * 32


def training(status: str, secondary: str, **more: Any) -> dict[str, Any]:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return {"TrainingJobStatus": status, "SecondaryStatus": secondary, "CreationTime": created} | more


class TestRequests:
    def test_batch_request_satisfies_the_model_of_aws(self) -> None:
        assert faults("batch", "SubmitServiceJob", training_request.submit_service_job(job(), DEPLOYMENT)) == []

    def test_training_request_satisfies_the_model_of_aws(self) -> None:
        assert faults("sagemaker", "CreateTrainingJob", training_request.create_training_job(job(), DEPLOYMENT)) == []

    def test_a_wrong_request_would_be_found(self) -> None:
        request = training_request.create_training_job(job(), DEPLOYMENT) | {"TrainingJobName": "under_score"}
        assert faults("sagemaker", "CreateTrainingJob", request) == ["TrainingJobName: 'under_score' does not match"]

    def test_largest_job_stays_under_the_payload_limit_of_batch(self) -> None:
        largest = job(owner="o" * 39, dataset_uri=f"s3://{'b' * 63}/{'k' * 950}/")
        assert len(training_request.submit_service_job(largest, DEPLOYMENT)["serviceRequestPayload"]) < 8 * 1024

    def test_training_job_name_that_batch_makes_fits_sagemaker(self) -> None:
        assert len("AWSBatch" + job().id + "0" * 32) <= 63

    def test_requests_of_every_option_satisfy_the_models_of_aws(self) -> None:
        whole = job(
            managed_spot=True,
            instance_count=8,
            examples_uri="s3://datasets/ada/ds-01m7x9pxfk4b3pwqvzg/v0001/processed/examples/",
            base_model_uri="s3://models/ada/bert/v1/",
            image_uri="123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-container-assets:" + "b" * 64,
        )
        request = training_request.create_training_job(whole, DEPLOYMENT)
        assert faults("sagemaker", "CreateTrainingJob", request) == []
        assert {channel["ChannelName"] for channel in request["InputDataConfig"]} == {
            "train",
            "examples",
            "model",
            "config",
        }
        assert request["AlgorithmSpecification"]["TrainingImage"] == whole.image_uri
        assert request["ResourceConfig"]["InstanceCount"] == 8
        submission = training_request.submit_service_job(whole, DEPLOYMENT)
        assert faults("batch", "SubmitServiceJob", submission) == []
        waits = request["StoppingCondition"]["MaxWaitTimeInSeconds"]
        assert whole.max_runtime_seconds < waits < submission["timeoutConfig"]["attemptDurationSeconds"]

    def test_on_demand_instances_have_no_time_to_wait_for(self) -> None:
        request = training_request.create_training_job(job(), DEPLOYMENT)
        assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}

    def test_batch_is_told_the_same_priority_when_a_submission_is_repeated(self) -> None:
        changed = job(batch_priority="normal", priority="high")
        request = training_request.submit_service_job(changed, DEPLOYMENT)
        assert request["schedulingPriority"] == training_request.SCHEDULING_PRIORITY["normal"]

    def test_containers_are_isolated_from_the_network(self) -> None:
        assert training_request.create_training_job(job(), DEPLOYMENT)["EnableNetworkIsolation"] is True

    @given(st.from_regex(r"^[a-z0-9][a-z0-9-]{1,38}$", fullmatch=True))
    def test_share_identifiers_are_alphanumeric(self, owner: str) -> None:
        assert training_request.share_identifier(owner).isalnum()
        assert training_request.share_identifier(owner) != training_request.share_identifier(owner + "x")

    def test_parameters_reach_the_container_in_the_config_channel(self) -> None:
        config = training_request.config(job(), DEPLOYMENT)
        assert config["parameters"] == {"target": "diagnosis", "epochs": 100}

    def test_the_container_is_told_which_column_plays_which_role(self) -> None:
        mapped = job(column_mapping={"text": "review", "label": "stars"})
        assert training_request.config(mapped, DEPLOYMENT)["column_mapping"] == {"text": "review", "label": "stars"}


class TestOutcome:
    @pytest.mark.parametrize(
        ("described", "outcome", "reason"),
        [
            (training("Completed", "Completed"), "completed", None),
            (
                training("Failed", "Failed", FailureReason="AlgorithmError: No column 'x', exit code: 1"),
                "failed",
                "No column 'x'",
            ),
            (training("Stopped", "Stopped"), "failed", "It was stopped outside of this platform."),
            (
                training("Stopped", "MaxRuntimeExceeded"),
                "failed",
                "It ran longer than max_runtime_seconds (3600); raise it and run again.",
            ),
        ],
    )
    def test_sagemaker_decides(self, described: dict[str, Any], outcome: str, reason: str | None) -> None:
        seen = observe(job(), batch("FAILED", ARN), described)
        assert (seen.outcome, seen.reason) == (outcome, reason)

    def test_cancelled_means_that_our_intent_came_first(self) -> None:
        asked = job(stop_requested_at="2026-01-01T00:00:00Z")
        assert observe(asked, batch("FAILED", ARN), training("Stopped", "Stopped")).outcome == "cancelled"
        assert observe(asked, batch("FAILED"), None).outcome == "cancelled"
        assert observe(asked, batch("SUCCEEDED", ARN), training("Completed", "Completed")).outcome == "completed"

    def test_quota_rejection_has_the_words_of_sagemaker(self) -> None:
        words = "ResourceLimitExceeded: account-level service limit is 0 Instances"
        for prefix in ("Received status from SageMaker: ", "Received status from SageMaker:"):
            seen = observe(job(), batch("FAILED", statusReason=prefix + words, attempts=[]), None)
            assert (seen.outcome, seen.reason) == ("failed", words)

    def test_waiting_says_why(self) -> None:
        seen = observe(job(), batch("RUNNABLE", statusReason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"), None)
        assert seen.changes == {"reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"}

    def test_a_job_waits_from_its_submission_or_from_the_end_of_its_last_run(self) -> None:
        submitted, hour = 1_767_225_600_000, 3_600_000  # milliseconds
        began = datetime.fromtimestamp(submitted / 1000, UTC)

        def waits(status: str, *attempts: dict[str, int]) -> datetime | None:
            return waits_since(batch(status, createdAt=submitted, attempts=list(attempts)))

        assert [waits(status) for status in ("RUNNABLE", "SCHEDULED")] == [began, began]
        assert [waits(status) for status in ("STARTING", "RUNNING", "SUCCEEDED", "FAILED")] == [None] * 4
        without_an_instance = {"stoppedAt": submitted + hour}
        ran = {"startedAt": submitted, "stoppedAt": submitted + 2 * hour}
        assert waits("RUNNABLE", without_an_instance) == began
        assert waits("RUNNABLE", ran, without_an_instance) == began + timedelta(hours=2)

    def test_any_order_of_descriptions_ends_in_the_same_state(self) -> None:
        steps = ["Starting", "Downloading", "Training", "Uploading"]
        for order in permutations(steps):
            state = job()
            for secondary in (*order, *order):
                state = state.model_copy(
                    update=observe(state, batch("RUNNING", ARN), training("InProgress", secondary)).changes
                )
            assert (state.status, state.stage) == ("running", "uploading")

    def test_attempts_are_recorded_as_aws_named_them(self) -> None:
        seen = observe(job(), batch("RUNNING", ARN), training("InProgress", "Training"))
        assert [attempt.training_job_arn for attempt in seen.changes["attempts"]] == [ARN]

    def test_a_failure_without_words_still_says_where_to_look(self) -> None:
        assert "logs" in reason_of(None)


class TestCapsule:
    def test_it_has_what_the_container_said(self) -> None:
        manifest = {"parameters": {"epochs": 100, "seed": 7}, "versions": {"python": "3.13.1"}}
        image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-container-assets:" + "c" * 64
        found = capsule.capsule(job(image_uri=image, rerun_of="job-1"), manifest)
        assert (found.seed, found.parameters, found.versions) == (7, manifest["parameters"], manifest["versions"])
        assert (found.image.code_hash, found.rerun_of) == ("c" * 64, "job-1")

    @pytest.mark.parametrize(
        "manifest", [None, {}, {"parameters": [1], "versions": "new"}, {"parameters": {"seed": "x"}}]
    )
    def test_a_script_may_say_anything_or_nothing(self, manifest: dict[str, Any] | None) -> None:
        found = capsule.capsule(job(), manifest)
        assert (found.seed, found.versions, found.given_parameters) == (None, None, job().parameters)


class TestQueue:
    @pytest.fixture(autouse=True)
    def stage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INSTANCE_TYPES", '{"ml.m5.large": 2}')

    @pytest.mark.parametrize(
        ("front", "said"),
        [
            (["mine"], "It is next in the queue of ml.m5.large, of which 2 of 2 are in use."),
            (["other", "mine"], "It is number 2 in the queue of ml.m5.large, of which 2 of 2 are in use: users take "),
            (["other"], "AWS Batch is about to queue or to start it."),
            (["other"] * 100, "It is behind the first 100 in the queue of ml.m5.large"),
        ],
    )
    def test_why_a_job_waits_is_what_batch_shows_and_no_more(self, front: list[str], said: str) -> None:
        found = queues.Snapshot(front, 2.0)
        assert queues.why_queued(job(batch_job_id="mine"), found).startswith(said)

    def test_the_reason_of_batch_is_told(self) -> None:
        waits = job(batch_job_id="mine", reason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
        said = queues.why_queued(waits, queues.Snapshot(["mine"], 0.0))
        assert said.endswith("; AWS Batch says: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY.")


class TestParameters:
    def test_model_ids_are_made_from_names(self) -> None:
        assert model_id_from("Breast Cancer (v2)!") == "breast-cancer-v2"
        assert model_id_from("模型") == "model"


LINE: dict[str, Any] = {
    "slipway": "local",
    "job_id": "job-01m7x9pxfk4b3pwqvzg",
    "sequence": 3,
    "time": "2026-01-01T00:00:00Z",
    "event": "progress",
    "percent": 30.0,
    "metrics": {"train_loss": 0.5},
}


class TestProgressLines:
    def test_newest_line_of_the_job_wins(self) -> None:
        lines = [json.dumps(LINE | {"sequence": n, "percent": 10.0 * n}) for n in (2, 4, 3)]
        other = json.dumps(LINE | {"job_id": "job-00000000000000000000", "sequence": 99})
        seen = progress.newest([*lines, other, "not a progress line"], LINE["job_id"])
        assert seen is not None and (seen.sequence, seen.percent) == (4, 40.0)

    @pytest.mark.parametrize("line", ['{"slipway": ', '{"slipway": 1}', "", "epoch 3", '{"slipway":"x","percent":1e9}'])
    def test_anything_else_is_no_progress(self, line: str) -> None:
        assert progress.parse(line) is None
