"""Updates of endpoints with deployment guardrails: baking, alarms, rollback.  `pytest tests/local -k updates`"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import ROLE, MiniStack, Services, client, until
from tests.local.test_sagemaker_endpoints import archive, settled

# Answers with its name; `sick` starts and answers 500, `dies` starts and ends at the first call, `broken` never starts.
SERVE = """
import http.server, json, os, pathlib, sys
model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").read_text()
if model == "broken":
    sys.exit("cannot load the model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, "")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if model == "dies":
            os._exit(9)
        self.reply(500 if model == "sick" else 200, json.dumps({"model": model}))
    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def services(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A platform on which a minute of baking takes half a second."""
    folder = tmp_path_factory.mktemp("platform")
    services = Services(folder, aws.url, stop_grace=1.0, health_timeout=10.0, baking_speed=120.0)
    yield services
    services.close()


def config(services: Services, name: str, model: str, **changes: Any) -> None:
    """A model whose archive says what it is, and its configuration."""
    data = services.put(f"updates/{name}/model.tar.gz", archive({"model.txt": model}))
    services.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": services.image("guarded", serve=SERVE), "ModelDataUrl": data},
    )
    variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    services.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant | changes])


def endpoint(services: Services, name: str) -> None:
    config(services, name, "first")
    services.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    found = settled(services, name)
    assert found["EndpointStatus"] == "InService", found.get("FailureReason")


def alarm(services: Services, name: str, endpoint: str, config: str) -> str:
    """An alarm on the share of 5xx answers of an endpoint's new fleet."""
    dimensions = {"EndpointName": endpoint, "VariantName": "main", "EndpointConfigName": config}
    client("cloudwatch", services.aws).put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.05,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return name


def update(services: Services, name: str, config: str, alarm: str | None = None, baking: int = 300) -> None:
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": baking}
    guarded: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if alarm:
        guarded["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": alarm}]}
    services.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config, DeploymentConfig=guarded)


def call(services: Services, name: str) -> str:
    try:
        answer = services.runtime.invoke_endpoint(EndpointName=name, Body=b"x")
    except ClientError as error:
        return str(error.response.get("OriginalStatusCode", error.response["Error"]["Code"]))
    return json.loads(answer["Body"].read())["model"]


def calls_until_settled(services: Services, name: str) -> Counter[str]:
    """Call an endpoint without pause until its update is over; how often each answer came."""
    seen: Counter[str] = Counter()

    def status() -> str:
        seen[call(services, name)] += 1
        return services.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]

    until(status, lambda found: found == "InService")
    return seen


def test_a_good_version_takes_over_after_baking_and_no_call_fails(services: Services) -> None:
    endpoint(services, "good")
    config(services, "good-2", "second")
    update(services, "good", "good-2", alarm(services, "good-2", "good", "good-2"))
    pending = services.sagemaker.describe_endpoint(EndpointName="good")["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "good-2"
    seen = calls_until_settled(services, "good")
    described = settled(services, "good")
    assert described["EndpointConfigName"] == "good-2" and "PendingDeploymentSummary" not in described
    assert set(seen) == {"first", "second"} and seen["second"] > seen["first"], "it baked"
    assert described["LastDeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"] == [{"AlarmName": "good-2"}]


def test_a_version_that_answers_500_is_rolled_back_by_its_alarm(services: Services) -> None:
    endpoint(services, "ill")
    config(services, "ill-2", "sick")
    update(services, "ill", "ill-2", alarm(services, "ill-2", "ill", "ill-2"))
    seen = calls_until_settled(services, "ill")
    described = settled(services, "ill")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "ill")
    assert "The alarm ill-2 is in the state ALARM" in described["FailureReason"]
    assert set(seen) == {"first", "500"}
    assert call(services, "ill") == "first"
    statuses = [d["EndpointStatus"] for d in services.details("SageMaker Endpoint State Change", EndpointName="ill")]
    assert statuses == ["CREATING", "IN_SERVICE", "UPDATING", "ROLLING_BACK", "IN_SERVICE"]


def test_errors_of_another_endpoint_or_of_the_old_fleet_roll_nothing_back(services: Services) -> None:
    endpoint(services, "apart")
    config(services, "apart-2", "second")
    assert call(services, "apart") == "first"
    services.sagemaker_service._endpoints.metrics.note("apart", "main", "apart", 500)
    services.sagemaker_service._endpoints.metrics.note("ill", "main", "apart-2", 500)
    update(services, "apart", "apart-2", alarm(services, "apart-2", "apart", "apart-2"), baking=60)
    assert settled(services, "apart")["EndpointConfigName"] == "apart-2"


def test_without_an_alarm_a_version_that_answers_500_stays(services: Services) -> None:
    endpoint(services, "unguarded")
    config(services, "unguarded-2", "sick")
    update(services, "unguarded", "unguarded-2", baking=60)
    calls_until_settled(services, "unguarded")
    assert settled(services, "unguarded")["EndpointConfigName"] == "unguarded-2"


def test_a_version_that_does_not_start_fails_no_call(services: Services) -> None:
    endpoint(services, "stays")
    config(services, "stays-2", "broken")
    update(services, "stays", "stays-2", alarm(services, "stays-2", "stays", "stays-2"))
    assert set(calls_until_settled(services, "stays")) == {"first"}
    assert "cannot load the model" in settled(services, "stays")["FailureReason"]


def test_a_container_that_ends_while_it_bakes_is_rolled_back(services: Services) -> None:
    endpoint(services, "mortal")
    config(services, "mortal-2", "dies")
    update(services, "mortal", "mortal-2", alarm(services, "mortal-2", "mortal", "mortal-2"))
    calls_until_settled(services, "mortal")
    assert settled(services, "mortal")["EndpointConfigName"] == "mortal"
    assert call(services, "mortal") == "first"


def test_another_alarm_rolls_back_when_it_is_set(services: Services) -> None:
    endpoint(services, "watched")
    config(services, "watched-2", "second")
    cloudwatch = client("cloudwatch", services.aws)
    cloudwatch.put_metric_alarm(
        AlarmName="business", Namespace="shop", MetricName="orders", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    update(services, "watched", "watched-2", "business", baking=1200)
    until(lambda: call(services, "watched"), lambda model: model == "second")
    cloudwatch.set_alarm_state(AlarmName="business", StateValue="ALARM", StateReason="No orders.")
    assert settled(services, "watched")["EndpointConfigName"] == "watched"
    assert call(services, "watched") == "first"


def test_what_aws_refuses_is_refused(services: Services) -> None:
    endpoint(services, "refusing")
    config(services, "renamed", "second", VariantName="other")
    with pytest.raises(ClientError, match="must keep the names of the variants"):
        update(services, "refusing", "renamed")
    with pytest.raises(ClientError, match="The alarms nowhere of AutoRollbackConfiguration do not exist"):
        update(services, "refusing", "refusing", "nowhere")
    with pytest.raises(ClientError, match="Traffic routing CANARY is not implemented"):
        services.sagemaker.update_endpoint(
            EndpointName="refusing",
            EndpointConfigName="refusing",
            DeploymentConfig={
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 60}
                }
            },
        )
    assert settled(services, "refusing")["EndpointStatus"] == "InService"


def test_an_update_that_the_platforms_end_interrupts_leaves_the_old_version(services: Services) -> None:
    endpoint(services, "interrupted")
    config(services, "interrupted-2", "second")
    update(services, "interrupted", "interrupted-2", baking=3600)
    until(lambda: call(services, "interrupted"), lambda model: model == "second")
    services.close()
    services.start()
    until(lambda: call(services, "interrupted"), lambda model: model == "first")
    described = settled(services, "interrupted")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "interrupted")
    assert "The platform stopped" in described["FailureReason"]
