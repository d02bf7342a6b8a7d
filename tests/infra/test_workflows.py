"""The workflows: valid ASL, every wait bounded, every breakdown noticed.

Run: python -m pytest tests/infra/test_workflows.py
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cdk_app import NODE
from stacks.events import WATCHERS
from stacks.workflows import LAMBDAS, WORKFLOWS
from tests.infra.synthesis import ROOT, Stage, readable

VALIDATOR = ROOT / "node_modules" / "asl-validator" / "dist" / "bin" / "asl-validator.js"
DEFINITIONS = {name: LAMBDAS / definition for name, (definition, _) in WORKFLOWS.items()}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_definition_is_valid(name: str) -> None:
    assert VALIDATOR.exists(), "run `make lint` once: it installs the node packages"
    command = [str(NODE), str(VALIDATOR), "--json-path", str(DEFINITIONS[name])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_refuses_a_wrong_definition(tmp_path: Any) -> None:
    wrong = tmp_path / "wrong.asl.json"
    wrong.write_text(json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nowhere"}}}))
    done = subprocess.run([str(NODE), str(VALIDATOR), "--json-path", str(wrong)], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_task_ends_in_bounded_time(name: str) -> None:
    states = dict(every_state(json.loads(DEFINITIONS[name].read_text())))
    tasks = {state: found for state, found in states.items() if found["Type"] == "Task"}
    assert tasks
    assert [state for state, found in tasks.items() if "TimeoutSeconds" not in found] == []
    waiting = {state: found for state, found in tasks.items() if found["Resource"].endswith(".waitForTaskToken")}
    assert [state for state, found in waiting.items() if "HeartbeatSeconds" not in found] == []


def every_state(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the states of a machine by name, those inside a Map too."""
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from every_state(state["ItemProcessor"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_substitution_is_filled_and_used(name: str) -> None:
    text = DEFINITIONS[name].read_text()
    _, functions = WORKFLOWS[name]
    assert {f"${{{substitution}}}" for substitution in functions} == {
        f"${{{part.split('}')[0]}}}" for part in text.split("${")[1:]
    }


def test_a_file_that_breaks_the_scanner_is_caught_and_no_more_are_scanned_at_once_than_four() -> None:
    scan = json.loads(DEFINITIONS["scan"].read_text())["States"]["Scan"]
    assert (scan["ItemProcessor"]["ProcessorConfig"], scan["MaxConcurrency"]) == ({"Mode": "INLINE"}, 4)
    (catch,) = scan["ItemProcessor"]["States"]["ScanFile"]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]


class TestProcess:
    """Each way through the workflow that reads a dataset."""

    STATES = json.loads(DEFINITIONS["process"].read_text())["States"]

    @pytest.mark.parametrize(
        ("way", "states"),
        [
            ("copy", ["Copy", "Prepare"]),
            ("function", ["Profile", "Finish"]),
            ("job", ["Submit", "Finish"]),
            ("none", ["Nothing"]),
        ],
    )
    def test_a_version_goes_the_way_that_its_preparation_says(self, way: str, states: list[str]) -> None:
        ways = {choice["StringEquals"]: choice["Next"] for choice in self.STATES["Way"]["Choices"]}
        path = [ways[way]]
        while (state := self.STATES[path[-1]]).get("Next") and len(path) < len(states):
            path.append(state["Next"])
        assert path == states
        assert len(ways) == 4
        assert "Default" not in self.STATES["Way"]

    @pytest.mark.parametrize("name", ["Copy", "Profile", "Submit"])
    def test_what_fails_is_settled_with_its_error(self, name: str) -> None:
        (catch,) = self.STATES[name]["Catch"]
        assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Fail"}
        fail, finish = self.STATES["Fail"]["Parameters"]["Payload"], self.STATES["Finish"]["Parameters"]["Payload"]
        assert fail == finish | {"error.$": "$.error"}
        assert self.STATES[name]["ResultPath"] is None, "what follows needs owner and id"

    @pytest.mark.parametrize(
        ("state", "error", "times"),
        [
            ("Profile", "MemoryError", 2),
            ("Profile", "Lambda.TooManyRequestsException", 6),
            ("Profile", "States.Timeout", 0),
            ("Profile", "Sandbox.Timedout", 0),
            ("Copy", "SourceChanged", 0),
            ("Copy", "States.Timeout", 20),
            ("Copy", "ClientError", 8),
            ("Submit", "ProcessingJobFailed", 0),
            ("Submit", "ProcessingJobStopped", 0),
            ("Submit", "ResourceLimitExceeded", 576),
            ("Submit", "ThrottlingException", 576),
            ("Submit", "ClientError", 5),
        ],
    )
    def test_an_error_is_retried_where_a_retry_may_cure_it(self, state: str, error: str, times: int) -> None:
        assert retries(self.STATES[state], error) == times

    def test_a_job_waits_half_a_day_for_the_accounts_quota_without_filling_the_executions_history(self) -> None:
        (wait,) = (retry for retry in self.STATES["Submit"]["Retry"] if "ResourceLimitExceeded" in retry["ErrorEquals"])
        assert wait["IntervalSeconds"] * wait["MaxAttempts"] / 2 >= 12 * 3600  # with full jitter half of each interval
        assert wait["MaxAttempts"] * 5 < 25_000  # events that a try leaves, and those that an execution may have


class TestTrain:
    """What follows a job that has ended."""

    STATES = json.loads(DEFINITIONS["train"].read_text())["States"]

    def test_an_endpoint_follows_where_one_was_asked_for_and_no_other_job_waits_for_it(self) -> None:
        assert (self.STATES["Register"]["Next"], self.STATES["Deploy?"]["Default"]) == ("Deploy?", "Done")
        (choice,) = self.STATES["Deploy?"]["Choices"]
        assert choice == {"Variable": "$.registered.deploy", "BooleanEquals": True, "Next": "Deploy"}

    def test_an_endpoint_that_cannot_be_begun_does_not_break_the_workflow(self) -> None:
        (catch,) = self.STATES["Deploy"]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Done")
        assert self.STATES["Done"]["Type"] == "Succeed"

    def test_submissions_past_batchs_rate_wait_for_their_turn_and_others_fail_at_once(self) -> None:
        assert retries(self.STATES["Submit"], "Throttled") == 100
        assert retries(self.STATES["Submit"], "ClientError") == 0


def retries(state: dict[str, Any], error: str) -> int:
    """Return how often Step Functions tries a state again after an error: the first retrier that fits decides."""
    for retrier in state["Retry"]:
        names = retrier["ErrorEquals"]
        if error in names or "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout"):
            return retrier["MaxAttempts"]
    return 0


def test_a_workflow_that_breaks_wakes_the_function_that_cleans_up(dev: Stage) -> None:
    rules = [
        rule
        for rule in dev.resources("AWS::Events::Rule").values()
        if rule.get("EventPattern", {}).get("source") == ["aws.states"]
    ]
    assert len(rules) == len(WORKFLOWS) == len(WATCHERS)
    assert {readable(arn) for rule in rules for arn in rule["EventPattern"]["detail"]["stateMachineArn"]} == {
        f"<{id}>" for id in dev.resources("AWS::StepFunctions::StateMachine")
    }
    assert all(set(rule["EventPattern"]["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"} for rule in rules)


def test_everything_that_waits_is_looked_at_every_five_minutes(dev: Stage) -> None:
    (schedule,) = (r for r in dev.resources("AWS::Events::Rule").values() if "ScheduleExpression" in r)
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert len(schedule["Targets"]) == len(set(WATCHERS.values())) == 4


def test_an_event_that_cannot_be_delivered_is_retried_and_then_kept(dev: Stage) -> None:
    targets = [target for rule in dev.resources("AWS::Events::Rule").values() for target in rule["Targets"]]
    assert len(targets) == 19
    assert all(target["DeadLetterConfig"] and target["RetryPolicy"]["MaximumRetryAttempts"] for target in targets)


def test_what_a_function_fails_at_is_kept_where_nobody_waits_for_its_answer(dev: Stage) -> None:
    arns = {
        readable(target["Arn"]) for rule in dev.resources("AWS::Events::Rule").values() for target in rule["Targets"]
    }
    arns |= {readable(each["DestinationArn"]) for each in dev.resources("AWS::Logs::SubscriptionFilter").values()}
    called = {arn.replace(".Arn>", ">") for arn in arns}
    for function in dev.resources("AWS::Lambda::Function").values():
        variables = function.get("Environment", {}).get("Variables", {})
        called |= {readable(value) for name, value in variables.items() if name.endswith("_FUNCTION")}
    configs = dev.resources("AWS::Lambda::EventInvokeConfig").values()
    kept = {readable(config["FunctionName"]) for config in configs}
    assert called <= kept
    (subscribed,) = kept - called
    assert subscribed.startswith("<JobsProgress"), "by a custom resource: SageMaker's log group is not the stage's"
    ((queue, _),) = dev.resources("AWS::SQS::Queue").items()
    assert {readable(config["DestinationConfig"]["OnFailure"]["Destination"]) for config in configs} == {
        f"<{queue}.Arn>"
    }


def test_training_events_of_other_queues_and_programs_wake_nobody(dev: Stage) -> None:
    patterns = {
        pattern["detail-type"][0]: pattern["detail"]
        for rule in dev.resources("AWS::Events::Rule").values()
        if (pattern := rule.get("EventPattern"))
    }
    queues = {f"<{id}.JobQueueArn>" for id in dev.resources("AWS::Batch::JobQueue")}
    assert {readable(arn) for arn in patterns["Batch Service Job State Change"]["jobQueue"]} == queues
    assert patterns["SageMaker Training Job State Change"] == {"TrainingJobName": [{"prefix": "AWSBatch"}]}
    assert patterns["SageMaker Processing Job State Change"] == {"ProcessingJobName": [{"prefix": "dsv-"}]}
    assert patterns["SageMaker Endpoint State Change"] == {"EndpointName": [{"prefix": "slipway-dev-"}]}


def test_a_job_that_cannot_start_does_not_block_its_queue_for_ever(dev: Stage) -> None:
    for queue in dev.resources("AWS::Batch::JobQueue").values():
        reasons = {action["Reason"]: action for action in queue["JobStateTimeLimitActions"]}
        assert set(reasons) == {
            "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE",
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        }
        assert all(action["Action"] == "TERMINATE" for action in reasons.values())
        assert all(600 <= action["MaxTimeSeconds"] <= 86_400 for action in reasons.values())
