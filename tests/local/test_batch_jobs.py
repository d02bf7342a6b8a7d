"""Service jobs of the local AWS Batch: `pytest tests/local -k batch`."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import Services, until

WORK = "print('worked')"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
BROKEN = """
import os, pathlib, sys
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure").write_text("out of luck")
sys.exit(1)
"""


@pytest.fixture
def queue(services: Services, request: pytest.FixtureRequest) -> str:
    """A fair-share queue of the test's own, with room for one instance."""
    return create_queue(services, request.node.name.replace("_", "-")[:100])


def create_queue(services: Services, name: str, fair: bool = True, capacity: int = 1) -> str:
    services.batch.create_service_environment(
        serviceEnvironmentName=name,
        serviceEnvironmentType="SAGEMAKER_TRAINING",
        capacityLimits=[{"maxCapacity": capacity, "capacityUnit": "NUM_INSTANCES"}],
    )
    policy = {}
    if fair:
        created = services.batch.create_scheduling_policy(name=name, fairsharePolicy={"shareDecaySeconds": 3600})
        policy = {"schedulingPolicyArn": created["arn"]}
    services.batch.create_job_queue(
        jobQueueName=name,
        jobQueueType="SAGEMAKER_TRAINING",
        priority=1,
        serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": name}],
        **policy,
    )
    return name


def submission(services: Services, queue: str, name: str, train: str = WORK, share: str | None = "ada", **more: Any):
    """A SubmitServiceJob request; `payload` changes members of its CreateTrainingJob request."""
    payload = services.training_request(name, services.image(name, train=train), **more.pop("payload", {}))
    return {
        "jobName": name,
        "jobQueue": queue,
        "serviceJobType": "SAGEMAKER_TRAINING",
        "serviceRequestPayload": json.dumps(payload),
        **({"shareIdentifier": share} if share else {}),
        **more,
    }


def submit(services: Services, queue: str, name: str, **more: Any) -> str:
    """The id of a submitted job; waits while the account's rate of submissions is used up."""
    request = submission(services, queue, name, **more)

    def attempt() -> str:
        try:
            return services.batch.submit_service_job(**request)["jobId"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "TooManyRequestsException":
                raise
            return ""

    return until(attempt, bool)


def in_status(services: Services, job_id: str, *statuses: str) -> dict[str, Any]:
    return until(lambda: services.batch.describe_service_job(jobId=job_id), lambda job: job["status"] in statuses)


def ended(services: Services, job_id: str) -> dict[str, Any]:
    return in_status(services, job_id, "SUCCEEDED", "FAILED")


def test_a_service_job_trains_and_succeeds(services: Services, queue: str) -> None:
    job = ended(services, submit(services, queue, "job-0123456789abcdefghi"))

    assert job["status"] == "SUCCEEDED", job["statusReason"]
    assert job["statusReason"] == "Received status from SageMaker: Training job completed"
    [attempt] = job["attempts"]
    assert attempt["startedAt"] <= attempt["stoppedAt"]
    name = attempt["serviceResourceId"]["value"].rpartition("/")[2]
    assert name.startswith("AWSBatchjob-0123456789abcdefghi") and len(name) == 63
    assert services.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"
    events = until(
        lambda: services.details("Batch Service Job State Change", jobId=job["jobId"]),
        lambda found: found and found[-1]["status"] == "SUCCEEDED",
    )
    assert [e["status"] for e in events] == ["RUNNABLE", "SCHEDULED", "STARTING", "RUNNING", "SUCCEEDED"]
    assert all("serviceRequestPayload" not in event and "tags" not in event for event in events)


def test_shares_take_turns_and_priority_orders_jobs_within_a_share(services: Services, queue: str) -> None:
    services.batch.update_service_environment(serviceEnvironment=queue, state="DISABLED")
    for name, share, priority in (
        ("ada-1", "ada", 1), ("ada-2", "ada", 1), ("ada-3", "ada", 9), ("bob-1", "bob", 0), ("bob-2", "bob", 0),
    ):  # fmt: skip
        submit(services, queue, name, share=share, schedulingPriority=priority)
    names = {"ada-1", "ada-2", "ada-3", "bob-1", "bob-2"}
    assert front(services, queue) == ["ada-3", "bob-1", "ada-1", "bob-2", "ada-2"]

    services.batch.update_service_environment(serviceEnvironment=queue, state="ENABLED")
    done = until(lambda: jobs(services, queue, "SUCCEEDED"), lambda found: {job["jobName"] for job in found} == names)
    started = [job["jobName"] for job in sorted(done, key=lambda job: job["startedAt"])]
    assert started[:2] == ["ada-3", "bob-1"]
    # From here on the shorter total of run time goes first, which on a busy machine may be either's.
    assert [name for name in started if name.startswith("ada")] == ["ada-3", "ada-1", "ada-2"]
    assert [name for name in started if name.startswith("bob")] == ["bob-1", "bob-2"]


def test_only_as_many_instances_run_as_the_environment_allows(services: Services, queue: str) -> None:
    running = submit(services, queue, "runs", train=STUBBORN)
    in_status(services, running, "RUNNING")
    waiting = submit(services, queue, "waits", share="bob")
    in_status(services, waiting, "RUNNABLE")
    snapshot = services.batch.get_job_queue_snapshot(jobQueue=queue)
    [first] = snapshot["frontOfQueue"]["jobs"]
    assert first["jobArn"].endswith(waiting) and first["earliestTimeAtPosition"] > 0
    usage = [{"capacityUnit": "NUM_INSTANCES", "quantity": 1.0}]
    assert snapshot["queueUtilization"]["totalCapacityUsage"] == usage
    assert snapshot["queueUtilization"]["fairshareUtilization"] == {
        "activeShareCount": 1,
        "topCapacityUtilization": [{"shareIdentifier": "ada", "capacityUsage": usage}],
    }
    services.batch.terminate_service_job(jobId=running, reason="make room")
    assert ended(services, waiting)["status"] == "SUCCEEDED"


def test_terminating_a_running_job_stops_its_training_job(services: Services, queue: str) -> None:
    job = submit(services, queue, "terminated", train=STUBBORN, retryStrategy={"attempts": 3})
    in_status(services, job, "RUNNING")
    services.batch.terminate_service_job(jobId=job, reason="not needed any more")
    described = ended(services, job)
    assert (described["status"], described["isTerminated"]) == ("FAILED", True)
    assert described["statusReason"] == "not needed any more"
    [attempt] = described["attempts"]
    training = services.sagemaker.describe_training_job(
        TrainingJobName=attempt["serviceResourceId"]["value"].rpartition("/")[2]
    )
    assert training["TrainingJobStatus"] == "Stopped"


def test_terminating_a_waiting_job_ends_it_at_once(services: Services, queue: str) -> None:
    services.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    with pytest.raises(ClientError, match="is not ENABLED"):
        services.batch.submit_service_job(**submission(services, queue, "refused"))
    services.batch.update_job_queue(jobQueue=queue, state="ENABLED")
    services.batch.update_service_environment(serviceEnvironment=queue, state="DISABLED")
    job = submit(services, queue, "never")
    services.batch.terminate_service_job(jobId=job, reason="changed my mind")
    described = services.batch.describe_service_job(jobId=job)
    assert (described["status"], described["isTerminated"], described["attempts"]) == ("FAILED", True, [])


def test_a_failed_attempt_is_tried_again_under_another_name(services: Services, queue: str) -> None:
    job = ended(services, submit(services, queue, "flaky", train=BROKEN, retryStrategy={"attempts": 2}))
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Received status from SageMaker: AlgorithmError: out of luck, exit code: 1"
    names = {attempt["serviceResourceId"]["value"] for attempt in job["attempts"]}
    assert len(names) == len(job["attempts"]) == 2


def test_a_condition_that_says_exit_ends_the_retries(services: Services, queue: str) -> None:
    rules = [{"action": "EXIT", "onStatusReason": "Received status from SageMaker: AlgorithmError*"}]
    strategy = {"attempts": 5, "evaluateOnExit": rules}
    job = ended(services, submit(services, queue, "hopeless", train=BROKEN, retryStrategy=strategy))
    assert (job["status"], len(job["attempts"])) == ("FAILED", 1)


def test_an_attempt_that_takes_too_long_is_stopped(services: Services, queue: str) -> None:
    limit = {"attemptDurationSeconds": 1}
    job = ended(services, submit(services, queue, "endless", train=STUBBORN, timeoutConfig=limit))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")


def test_a_payload_that_sagemaker_refuses_fails_the_job_without_an_attempt(services: Services, queue: str) -> None:
    job = ended(services, submit(services, queue, "nonsense", payload={"RoleArn": "nobody"}))
    assert (job["status"], job["attempts"]) == ("FAILED", [])
    assert job["statusReason"].startswith("Received status from SageMaker: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serviceRequestPayload": "{" + " " * 10_240 + "}"}, "at most 10240 bytes"),
        ({"shareIdentifier": "ada-lovelace"}, "alphanumeric"),
        ({"shareIdentifier": None}, "shareIdentifier must be specified"),
        ({"schedulingPriority": 10_000}, "between 0 and 9999"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        ({"jobName": "a job"}, "letters, numbers, hyphens"),
        ({"jobQueue": "nowhere"}, "does not exist"),
    ],
)
def test_a_submission_beyond_awss_limits_is_refused(
    services: Services, shared_queue: str, changes: dict[str, Any], message: str
) -> None:
    request = {**submission(services, shared_queue, "limits"), **changes}

    def refusal() -> str:
        with pytest.raises(ClientError) as refused:
            services.batch.submit_service_job(**{k: v for k, v in request.items() if v is not None})
        return str(refused.value)

    assert message in until(refusal, lambda text: "TooManyRequests" not in text)


def test_a_client_token_is_good_for_one_submission(services: Services, queue: str) -> None:
    submit(services, queue, "token", clientToken="token-1")
    with pytest.raises(ClientError, match="token-1 was already submitted"):
        submit(services, queue, "token", clientToken="token-1")
    assert [job["jobName"] for job in jobs_named(services, queue, "token")] == ["token"]


def test_more_than_five_submissions_in_a_second_are_throttled(services: Services, queue: str) -> None:
    requests = [submission(services, queue, f"burst-{number}") for number in range(20)]
    with pytest.raises(ClientError) as refused:
        for request in requests:
            services.batch.submit_service_job(**request)
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_lists_show_running_jobs_unless_asked_for_others(services: Services, queue: str) -> None:
    first, second = submit(services, queue, "Listed-1"), submit(services, queue, "listed-2", share="bob")
    for job in (first, second):
        ended(services, job)
    assert services.batch.list_service_jobs(jobQueue=queue)["jobSummaryList"] == []
    assert {job["jobId"] for job in jobs(services, queue, "SUCCEEDED")} == {first, second}
    assert [job["jobId"] for job in jobs_named(services, queue, "listed*")] == [second, first]
    assert [job["jobId"] for job in jobs_named(services, queue, "LISTED-1")] == [first]
    by_share = services.batch.list_service_jobs(
        jobQueue=queue, jobStatus="SUCCEEDED", filters=[{"name": "SHARE_IDENTIFIER", "values": ["bob"]}]
    )
    assert [job["jobId"] for job in by_share["jobSummaryList"]] == [second]


def test_a_waiting_job_can_be_given_another_priority_and_a_running_one_cannot(services: Services, queue: str) -> None:
    running = submit(services, queue, "busy", train=STUBBORN)
    in_status(services, running, "RUNNING")
    for name in ("low", "lower"):
        submit(services, queue, name)
    assert front(services, queue) == ["low", "lower"]
    [lower] = jobs_named(services, queue, "lower")
    services.batch.update_service_job(jobId=lower["jobId"], schedulingPriority=7)
    assert front(services, queue) == ["lower", "low"]
    with pytest.raises(ClientError, match="in status RUNNING cannot be changed"):
        services.batch.update_service_job(jobId=running, schedulingPriority=7)
    services.batch.terminate_service_job(jobId=running, reason="done")


def test_a_queue_without_a_policy_is_first_come_first_served(services: Services) -> None:
    queue = create_queue(services, "fifo", fair=False)
    services.batch.update_service_environment(serviceEnvironment=queue, state="DISABLED")
    for name in ("one", "two", "three"):
        submit(services, queue, name, share=None)
    assert front(services, queue) == ["one", "two", "three"]
    assert "fairshareUtilization" not in services.batch.get_job_queue_snapshot(jobQueue=queue)["queueUtilization"]


def test_tags_of_jobs_and_queues_can_be_changed(services: Services, queue: str) -> None:
    job = ended(services, submit(services, queue, "tagged", tags={"owner": "ada"}))
    services.batch.tag_resource(resourceArn=job["jobArn"], tags={"team": "blue"})
    services.batch.untag_resource(resourceArn=job["jobArn"], tagKeys=["owner"])
    assert services.batch.list_tags_for_resource(resourceArn=job["jobArn"])["tags"] == {"team": "blue"}
    arn = services.batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["jobQueueArn"]
    services.batch.tag_resource(resourceArn=arn, tags={"a": "b"})
    assert services.batch.describe_job_queues(jobQueues=[arn])["jobQueues"][0]["tags"] == {"a": "b"}


def test_an_operation_for_containers_says_it_is_not_implemented(services: Services) -> None:
    with pytest.raises(ClientError, match="Batch's operation SubmitJob is not implemented by the local platform"):
        services.batch.submit_job(jobName="x", jobQueue="y", jobDefinition="z")


@pytest.fixture(scope="module")
def shared_queue(services: Services) -> str:
    return create_queue(services, "shared")


def front(services: Services, queue: str) -> list[str]:
    """Names of the waiting jobs in the order they would start."""
    found = services.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"]
    return [services.batch.describe_service_job(jobId=job["jobArn"].rpartition("/")[2])["jobName"] for job in found]


def jobs(services: Services, queue: str, status: str) -> list[dict[str, Any]]:
    return services.batch.list_service_jobs(jobQueue=queue, jobStatus=status)["jobSummaryList"]


def jobs_named(services: Services, queue: str, name: str) -> list[dict[str, Any]]:
    filters = [{"name": "JOB_NAME", "values": [name]}]
    return services.batch.list_service_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
