"""The alarms, their topic and the dashboard: each alarm has its section in the runbook, each figure its source.

Run: python -m pytest tests/infra/test_alarms.py
"""

import ast
import json
import re
from typing import Any

from lambdas.common.observability import METRICS, NAMESPACE
from stacks.alarms import ALARMS, OWN, RUNBOOK
from tests.infra.synthesis import ROOT, Stage, readable

# What AWS documents, of each namespace that the dashboard and the alarms read: its metrics, its sets of dimensions.
DOCUMENTED: dict[str, tuple[set[str], set[tuple[str, ...]]]] = {
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"}, {("ApiName", "Stage")}),
    "AWS/Lambda": ({"Errors", "Duration", "Throttles", "ConcurrentExecutions"}, {("FunctionName",), ()}),
    "AWS/States": ({"ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"}, {("StateMachineArn",)}),
    "AWS/DynamoDB": (
        {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"},
        {("TableName",)},
    ),
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible"}, {("QueueName",)}),
    "AWS/SageMaker": ({"Invocations", "ModelLatency"}, {("EndpointName", "VariantName")}),
    "/aws/sagemaker/TrainingJobs": ({"GPUUtilization"}, {("Host",)}),
    OWN: (set(METRICS), {("stage",)}),
}
SEARCH = re.compile(
    r"SEARCH\('\{(?P<namespace>[^,}]+),(?P<dimensions>[^}]+)\} MetricName=\"(?P<name>\w+)\"', '\w+', 300\)"
)
PARTS = ("What it means", "What to look at", "What to do")


def alarms(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return the alarms' properties by their names in the table."""
    found = {alarm["AlarmName"]: alarm for alarm in stage.resources("AWS::CloudWatch::Alarm").values()}
    return {name.removeprefix(f"slipway-{stage.app.settings.stage}-"): alarm for name, alarm in found.items()}


def section(name: str) -> str:
    """Return the text of an alarm's section in the runbook."""
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", (ROOT / RUNBOOK).read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{RUNBOOK} has no section {name}."
    return found[1]


def test_there_are_ten_alarms_at_most_each_of_one_metric(stage: Stage) -> None:
    found = alarms(stage)
    assert list(found) == [line.name for line in ALARMS]
    assert len(found) <= 10
    assert all("Metrics" not in alarm and alarm["TreatMissingData"] == "notBreaching" for alarm in found.values())
    assert all(alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"] for alarm in found.values())


def test_every_alarm_tells_the_topic_when_it_rings_and_when_it_is_over(dev: Stage) -> None:
    ((topic, _),) = dev.resources("AWS::SNS::Topic").items()
    for alarm in alarms(dev).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]


def test_the_topic_takes_messages_of_this_stages_alarms_only_and_over_tls(dev: Stage) -> None:
    ((topic, properties),) = dev.resources("AWS::SNS::Topic").items()
    assert properties["TopicName"] == "slipway-dev-alarms"
    ((_, policy),) = dev.resources("AWS::SNS::TopicPolicy").items()
    refusal, permission = policy["PolicyDocument"]["Statement"]
    assert (refusal["Effect"], refusal["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (permission["Principal"], permission["Resource"]) == (
        {"Service": "cloudwatch.amazonaws.com"},
        {"Ref": topic},
    )
    assert readable(permission["Condition"]["ArnLike"]["aws:SourceArn"]).endswith(":alarm:slipway-dev-*")


def test_an_address_is_written_to_where_the_settings_name_one(dev: Stage, everything: Stage) -> None:
    assert dev.resources("AWS::SNS::Subscription") == {}
    ((_, subscription),) = everything.resources("AWS::SNS::Subscription").items()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_every_alarm_names_its_section_of_the_runbook_which_says_what_to_do(dev: Stage) -> None:
    for name, alarm in alarms(dev).items():
        assert alarm["AlarmDescription"].endswith(f"{RUNBOOK}#{name.lower()}")
        text = section(name)
        assert [part for part in PARTS if f"**{part}.**" not in text] == [], name
        (line,) = (line for line in ALARMS if line.name == name)
        assert " ".join(text.split()).startswith(f"{line.says} {line.because}"), name
        assert "```" in text, f"{name} shows no command"
        assert f"`{alarm['MetricName']}`" in text, f"{name} does not name its metric"


def test_the_runbook_has_a_section_for_every_alarm_and_no_other() -> None:
    text = (ROOT / RUNBOOK).read_text().split("## Alarms\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [line.name for line in ALARMS]


def read_by(stage: Stage) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (namespace, metric, dimensions) of everything that the alarms and the dashboard read."""
    found = [
        (alarm["Namespace"], alarm["MetricName"], tuple(each["Name"] for each in alarm.get("Dimensions", [])))
        for alarm in alarms(stage).values()
    ]
    for widget in widgets(stage):
        for line in widget["properties"].get("metrics", []):
            if isinstance(line[0], dict):
                search = SEARCH.fullmatch(line[0]["expression"])
                assert search, line
                found.append((search["namespace"], search["name"], tuple(search["dimensions"].split(","))))
            else:
                words = [word for word in line if isinstance(word, str)]
                found.append((words[0], words[1], tuple(words[2::2])))
    return found


def widgets(stage: Stage) -> list[dict[str, Any]]:
    """Return the widgets of the stage's one dashboard."""
    ((_, board),) = stage.resources("AWS::CloudWatch::Dashboard").items()
    assert board["DashboardName"] == f"slipway-{stage.app.settings.stage}"
    return json.loads(readable(board["DashboardBody"]))["widgets"]


def test_every_metric_that_is_shown_or_watched_is_documented_or_sent(stage: Stage) -> None:
    found = read_by(stage)
    assert len(found) > 50
    for namespace, name, dimensions in found:
        names, sets = DOCUMENTED[namespace]
        assert name in names, (namespace, name)
        assert dimensions in sets, (namespace, name, dimensions)
    assert {name for namespace, name, _ in found if namespace == OWN} == set(METRICS), "sent and never shown"
    assert {line.metric for line in ALARMS if line.namespace == OWN} == set(METRICS), "sent and never watched"
    assert OWN == NAMESPACE


def test_the_dashboard_shows_every_alarm_function_workflow_and_table(dev: Stage) -> None:
    status = next(widget for widget in widgets(dev) if widget["type"] == "alarm")
    assert len(status["properties"]["alarms"]) == len(ALARMS)
    shown = {value for widget in widgets(dev) for line in widget["properties"].get("metrics", []) for value in line[2:]
             if isinstance(value, str)}  # fmt: skip
    for kind in ("AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"):
        ours = {id for id in dev.platform["Resources"] if dev.platform["Resources"][id]["Type"] == kind}
        hidden = {id for id in ours if f"<{id}>" not in shown and "TrainingLogs" not in id}
        assert hidden == set()
    assert sum("table" in value for value in shown) == 8


def test_widgets_lie_beside_each_other_and_not_on_each_other(dev: Stage) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets(dev):
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_functions_send_only_metrics_of_the_list_and_every_sender_knows_its_stage() -> None:
    sent = {
        node.args[0].value  # pyright: ignore[reportAttributeAccessIssue]  a name that is no literal fails here
        for file in (ROOT / "lambdas").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit"
    }
    assert sent == set(METRICS)
    importing = [f for f in (ROOT / "lambdas").rglob("*.py") if "aws_lambda_powertools.metrics" in f.read_text()]
    assert [file.name for file in importing] == ["observability.py"], "metrics are sent in one place"
