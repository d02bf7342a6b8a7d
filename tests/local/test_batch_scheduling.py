"""The order in which the local AWS Batch starts waiting jobs, and its resources as CloudFormation makes them."""

import pytest

from local.batch.attempts import training_name
from local.batch.jobs import TOO_LARGE
from local.batch.records import instance_count
from local.batch.scheduling import Use, Waiting, dispatch_order, usage, weight
from local.sagemaker.protocol import ServiceError
from tests.local.services import Services

ACTION = {"action": "TERMINATE", "maxTimeSeconds": 600, "reason": TOO_LARGE, "state": "RUNNABLE"}


def waiting(*jobs: tuple[str, str, int]) -> list[Waiting]:
    return [Waiting(name, share, priority, number, 1) for number, (name, share, priority) in enumerate(jobs)]


def order(jobs: list[Waiting], used: dict[str, float], distribution: list | None) -> list[str]:
    return [job.id for job in dispatch_order(jobs, used, distribution)]


def test_the_share_that_used_least_goes_first_whatever_the_priorities() -> None:
    jobs = waiting(("a", "ada", 99), ("b", "bob", 0))
    assert order(jobs, {"ada": 10.0, "bob": 5.0}, []) == ["b", "a"]
    assert order(jobs, {"ada": 5.0, "bob": 10.0}, []) == ["a", "b"]


def test_priority_and_then_age_order_one_shares_jobs() -> None:
    jobs = waiting(("old", "ada", 1), ("urgent", "ada", 9), ("new", "ada", 1))
    assert order(jobs, {}, []) == ["urgent", "old", "new"]


def test_a_share_of_an_eighth_of_the_weight_gets_eight_times_the_turns() -> None:
    jobs = waiting(*[(f"u{n}", "urgent", 0) for n in range(16)], *[(f"n{n}", "normal", 0) for n in range(16)])
    first = order(jobs, {}, [{"shareIdentifier": "urgent", "weightFactor": 0.125}])[:9]
    assert sorted(name[0] for name in first) == ["n"] + ["u"] * 8


def test_without_a_policy_age_alone_counts() -> None:
    assert order(waiting(("a", "", 0), ("b", "", 9)), {"": 5.0}, None) == ["a", "b"]


def test_usage_fades_in_a_straight_line_to_nothing_at_the_windows_end() -> None:
    assert usage([Use("ada", 2, 0.0, 100.0)], now=100.0, window=100.0) == {"ada": 2 * 50.0}
    assert usage([Use("ada", 2, 0.0, 100.0)], now=200.0, window=100.0) == {"ada": 0.0}
    early, late = (usage([Use("s", 1, start, start + 10)], 100.0, 100.0)["s"] for start in (0.0, 90.0))
    assert late > early > 0


def test_a_job_that_just_started_counts_as_a_minute() -> None:
    assert usage([Use("ada", 3, 100.0, None)], now=100.0, window=600.0) == {"ada": 180.0}


def test_a_weight_comes_from_the_name_or_its_prefix_or_is_one() -> None:
    distribution = [{"shareIdentifier": "team*", "weightFactor": 0.5}, {"shareIdentifier": "boss", "weightFactor": 0.1}]
    assert [weight(share, distribution) for share in ("teamA", "boss", "bossy", "other")] == [0.5, 0.1, 1.0, 1.0]


def test_the_payload_says_how_many_instances_a_job_needs() -> None:
    assert instance_count('{"ResourceConfig": {"InstanceCount": 3}}') == 3
    assert instance_count('{"ResourceConfig": {"InstanceGroups": [{"InstanceCount": 2}, {"InstanceCount": 1}]}}') == 3
    assert instance_count("{}") == instance_count("not JSON") == instance_count("[]") == 1


def test_a_training_jobs_name_is_cut_to_sagemakers_limit_and_fresh_for_each_attempt() -> None:
    name = "j" * 60
    first, second = training_name(name), training_name(name)
    assert len(first) == 63 and first.startswith("AWSBatchjjj") and first != second
    assert training_name("short")[:13] == "AWSBatchshort" and len(training_name("short")) == 45


def test_a_job_too_large_for_its_environment_waits_with_the_reason_until_the_queues_action(services: Services) -> None:
    from tests.local.test_batch_jobs import create_queue, in_status, submit, until

    queue = create_queue(services, "too-large")
    large = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}
    stuck, patient = (submit(services, queue, name, payload=large) for name in ("stuck", "patient"))
    described = in_status(services, stuck, "RUNNABLE")
    assert described["statusReason"].startswith(TOO_LARGE)
    (blocked,) = until(lambda: services.details("Batch Service Job Queue Blocked", jobId=stuck), bool)
    assert (blocked["jobName"], blocked["status"]) == ("stuck", "RUNNABLE")
    assert blocked["statusReason"] == described["statusReason"] and "serviceRequestPayload" not in blocked
    in_status(services, patient, "RUNNABLE")

    services.batch.update_job_queue(jobQueue=queue, jobStateTimeLimitActions=[ACTION])
    services.batch_service._resources.queue(queue)["jobStateTimeLimitActions"][0]["maxTimeSeconds"] = 0.2  # AWS: 600
    services.batch.terminate_service_job(jobId=stuck, reason="make the next one the head")
    ended = in_status(services, patient, "FAILED")
    assert (ended["isTerminated"], ended["statusReason"]) == (True, TOO_LARGE)


def test_cloudformations_properties_make_change_and_remove_the_resources(services: Services) -> None:
    batch = services.batch_service
    environment = batch.create_service_environment(
        {
            "ServiceEnvironmentName": "cfn",
            "ServiceEnvironmentType": "SAGEMAKER_TRAINING",
            "CapacityLimits": [{"MaxCapacity": "2", "CapacityUnit": "NUM_INSTANCES"}],
            "Tags": {"Stage": "local"},
        }
    )
    policy = batch.create_scheduling_policy(
        {
            "Name": "cfn",
            "FairsharePolicy": {
                "ShareDecaySeconds": 3600,
                "ShareDistribution": [{"ShareIdentifier": "urgent*", "WeightFactor": "0.1"}],
            },
        }
    )
    queue = batch.create_job_queue(
        {
            "JobQueueName": "cfn",
            "JobQueueType": "SAGEMAKER_TRAINING",
            "Priority": "1",
            "SchedulingPolicyArn": policy,
            "ServiceEnvironmentOrder": [{"Order": 1, "ServiceEnvironment": environment}],
            "JobStateTimeLimitActions": [{name[0].upper() + name[1:]: value for name, value in ACTION.items()}],
        }
    )
    batch.update_service_environment(
        environment, {"CapacityLimits": [{"MaxCapacity": 5, "CapacityUnit": "NUM_INSTANCES"}]}
    )

    [described] = services.batch.describe_service_environments(serviceEnvironments=["cfn"])["serviceEnvironments"]
    assert (described["capacityLimits"][0]["maxCapacity"], described["tags"]) == (5, {"Stage": "local"})
    [shown] = services.batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    assert (shown["schedulingPolicyArn"], shown["status"], shown["state"]) == (policy, "VALID", "ENABLED")
    [fair] = services.batch.describe_scheduling_policies(arns=[policy])["schedulingPolicies"]
    assert fair["fairsharePolicy"]["shareDistribution"] == [{"shareIdentifier": "urgent*", "weightFactor": 0.1}]

    with pytest.raises(ServiceError, match="existing JobQueue relationship"):
        batch.delete_service_environment(environment)
    batch.delete_job_queue(queue)
    batch.delete_service_environment(environment)
    batch.delete_scheduling_policy(policy)
    assert not services.batch.describe_job_queues(jobQueues=["cfn"])["jobQueues"]
