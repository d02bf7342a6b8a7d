"""Several language models on one endpoint, over the API, on our SageMaker: kind `inference_component_based`.

Run: python -m pytest tests/api/test_components.py
"""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from lambdas.endpoints import tasks
from tests.api.client import ApiClient
from tests.api.component_serving import SERVE, ZERO, ComponentServing
from tests.api.sagemaker import our_sagemaker
from tests.api.serving import VERSIONS, names_of
from tests.api.test_endpoint_changes import replace
from tests.local.services import ServicesProcess, until

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicesProcess]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE) as services, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_IMAGE", services.image("tabular", serve=SERVE))
        yield services


@pytest.fixture(scope="module")
def user(sagemaker: ServicesProcess, api: Callable[..., ApiClient]) -> ComponentServing:
    return ComponentServing(sagemaker, api)


@pytest.fixture
def serving(user: ComponentServing) -> Iterator[ComponentServing]:
    """A user whose endpoints are the only ones; they are taken down after the test."""
    yield user
    for endpoint in user.records():
        user.ada.delete(f"/endpoints/{endpoint.id}")
        user.tear_down(endpoint.id)
    replace(user, "v2", VERSIONS["v2"])
    assert names_of("Endpoint") == names_of("EndpointConfig") == names_of("Model") == set()


def shown(serving: ComponentServing, id: str) -> dict[str, Any]:
    return serving.ada.get(f"/endpoints/{id}").body


class TestPlacing:
    def test_a_model_is_a_component_on_an_endpoint_of_its_own(self, serving: ComponentServing) -> None:
        id = serving.in_service()
        serving.assert_true()
        found = shown(serving, id)
        assert (found["kind"], found["host_endpoint_id"], found["network_isolation"]) == (
            "inference_component_based",
            id,
            True,
        )
        assert found["copies"]["max_copies"] == found["instance_count"] == 1
        config = boto3.client("sagemaker").describe_endpoint_config(EndpointConfigName=f"slipway-test-{id}")
        assert config["EnableNetworkIsolation"] and "ModelName" not in config["ProductionVariants"][0]

    def test_another_model_shares_its_instances_and_outlives_it(self, serving: ComponentServing) -> None:
        first = serving.in_service()
        second = serving.in_service("v2", host_endpoint_id=first)
        assert names_of("Endpoint") == {f"slipway-test-{first}"}
        assert (serving.said(first), serving.said(second)) == ("first", "second")
        found = shown(serving, second)
        assert (found["host_endpoint_id"], found["instance_count"], found["instance_type"]) == (
            first,
            0,
            shown(serving, first)["instance_type"],
        )
        third = serving.in_service("v1", host_endpoint_id=second)
        assert shown(serving, third)["host_endpoint_id"] == first
        serving.assert_true()
        serving.ada.delete(f"/endpoints/{first}")
        serving.tear_down(first)
        assert (serving.said(second), serving.said(third)) == ("second", "first")
        serving.assert_true()
        for id in (second, third):
            serving.ada.delete(f"/endpoints/{id}")
            serving.tear_down(id)
        serving.assert_true()
        assert names_of("Endpoint") == set()

    def test_one_that_does_not_start_fails_alone_and_says_why(self, serving: ComponentServing) -> None:
        first = serving.in_service()
        replace(serving, "v2", "broken")
        made = serving.create("v2", host_endpoint_id=first).body
        serving.step(made["id"], "create_model")
        with pytest.raises(Exception, match="cannot load the model") as failed:
            until(lambda: serving.step(made["id"], "place")["placed"], bool)
        serving.step(made["id"], "roll_back", error={"Error": "NotPlaced", "Cause": str(failed.value)})
        found = shown(serving, made["id"])
        assert found["status"] == "failed" and "cannot load the model" in found["reason"]
        serving.assert_true()
        assert serving.said(first) == "first"

    def test_what_does_not_go_together_is_a_400(self, serving: ComponentServing) -> None:
        assert serving.create(instance_count=2).status == 400

    def test_instances_are_shared_with_ones_own_components_in_service_only(
        self, serving: ComponentServing, api: Callable[..., ApiClient]
    ) -> None:
        assert serving.create(host_endpoint_id="ep-0000000000000000000").status == 404
        first = serving.create().body["id"]
        refused = serving.create(host_endpoint_id=first)
        assert refused.status == 409 and "once it is in service" in refused.body["detail"]
        serving.deploy(first)
        stranger = ComponentServing(serving.services, api)
        assert stranger.create(host_endpoint_id=first).status == 404
        plain = serving.create(kind="model_based").body["id"]
        refused = serving.create(host_endpoint_id=plain)
        assert refused.status == 409 and "only inference_component_based ones" in refused.body["detail"]
        serving.ada.delete(f"/endpoints/{plain}")
        super(ComponentServing, serving).deploy(plain)


class TestScaling:
    def test_it_scales_to_zero_and_a_call_brings_it_back(self, serving: ComponentServing) -> None:
        id = serving.in_service(copies=ZERO)
        serving.assert_true()
        assert shown(serving, id)["sleeps_because"].startswith("Its lease"), "nobody needs to put it to sleep"
        serving.copies(id, 0)
        refused = serving.ask(id)
        assert (refused.status, refused.headers["retry-after"]) == (503, "60")
        assert "has scaled to zero" in refused.body["detail"]
        until(lambda: serving.ask(id).status, lambda status: status == 200)

    def test_targets_and_policies_are_as_aws_documents_them(self, serving: ComponentServing) -> None:
        id = serving.in_service(copies=ZERO | {"requests_per_copy": 3})
        scaling = boto3.client("application-autoscaling")
        (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        assert target["ResourceId"] == f"inference-component/slipway-test-{id}"
        assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        by_type = {policy["PolicyType"]: policy for policy in policies}
        assert by_type["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 3
        (alarm,) = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
        assert alarm["MetricName"] == "NoCapacityInvocationFailures"
        assert alarm["AlarmActions"] == [by_type["StepScaling"]["PolicyARN"]]


class TestLife:
    def test_one_of_two_sleeps_and_wakes(self, serving: ComponentServing) -> None:
        first = serving.in_service(copies=ZERO)
        second = serving.in_service("v2", host_endpoint_id=first)
        serving.ada.post(f"/endpoints/{first}/sleep")
        serving.put_to_sleep(first)
        serving.assert_true()
        assert serving.said(second) == "second"
        assert serving.ask(first).status == 409
        serving.ada.post(f"/endpoints/{second}/sleep")
        serving.put_to_sleep(second)
        assert names_of("Endpoint") == set(), "the last one takes the instances with it"
        assert serving.ada.post(f"/endpoints/{second}/wake").status == 202
        serving.deploy(second)
        assert shown(serving, second)["instance_count"] == 1
        assert serving.ada.post(f"/endpoints/{first}/wake").status == 202
        serving.deploy(first)
        assert shown(serving, first)["instance_count"] == 0
        serving.assert_true()

    @pytest.mark.slow
    def test_it_is_not_woken_onto_instances_that_are_going(self, serving: ComponentServing) -> None:
        first = serving.in_service()
        second = serving.in_service("v2", host_endpoint_id=first)
        serving.ada.post(f"/endpoints/{first}/sleep")
        serving.put_to_sleep(first)
        serving.ada.delete(f"/endpoints/{second}")
        while not serving.step(second, "delete_endpoint")["gone"]:
            refused = serving.ada.post(f"/endpoints/{first}/wake")
            if refused.status == 409:
                assert "are being taken away" in refused.body["detail"]
            else:
                serving.deploy(first)
        serving.tear_down(second)

    def test_another_version_takes_over_and_the_old_one_goes(self, serving: ComponentServing) -> None:
        id = serving.in_service(copies=ZERO)
        assert serving.change(id, "v2").body["status"] == "updating"
        serving.update(id)
        found = shown(serving, id)
        assert (found["status"], found["model"]["version"], found["reason"]) == ("in_service", "v2", None)
        assert serving.said(id) == "second"
        serving.assert_true()
        refused = serving.ada.patch(f"/endpoints/{id}", {"instance_count": 2})
        assert refused.status == 400 and refused.body["errors"][0]["field"] == "instance_count"

    @pytest.mark.parametrize(
        ("model", "words"),
        [("broken", "cannot load the model"), pytest.param("sick", "ALARM", marks=pytest.mark.slow)],
    )
    def test_a_version_that_fails_is_rolled_back(self, model: str, words: str, serving: ComponentServing) -> None:
        id = serving.in_service()
        replace(serving, "v2", model)
        serving.change(id, "v2")
        serving.step(id, "prepare_update")
        serving.step(id, "update_endpoint")
        until(lambda: serving.ask(id).status if model == "sick" else 502, lambda status: status == 502)
        serving.settled(id)
        serving.step(id, "settle_update")
        found = shown(serving, id)
        assert (found["status"], found["model"]["version"]) == ("in_service", "v1")
        assert words in found["reason"]
        serving.assert_true()

    def test_a_component_that_is_gone_is_seen(self, serving: ComponentServing) -> None:
        id = serving.in_service()
        boto3.client("sagemaker").delete_inference_component(InferenceComponentName=f"slipway-test-{id}")
        serving.settled(id)
        event = {"detail-type": "SageMaker Endpoint State Change", "detail": {"EndpointName": f"slipway-test-{id}"}}
        tasks.watch(event, None)
        assert serving.record(id).status == "failed"


def test_cost_and_logs_are_told(serving: ComponentServing) -> None:
    first = serving.in_service(copies=ZERO)
    second = serving.in_service("v2", host_endpoint_id=first)
    assert "none while it has scaled to zero" in shown(serving, first)["cost_note"]
    assert f"It runs on the instances of {first}" in shown(serving, second)["cost_note"]
    serving.said(second)
    lines = until(lambda: serving.ada.get(f"/endpoints/{second}/logs").body["items"], bool)
    assert "asked" in {line["message"] for line in lines}
