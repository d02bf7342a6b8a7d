"""What inference components go through. The tasks are invoked as their workflows would."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.journeys.checks.endpoints import copy, forget, served, status
from tests.journeys.checks.people import call_with_a_token, expect_good_token
from tests.journeys.checks.training import expect_logs
from tests.journeys.checks.world import World, expect, unless, until
from tests.journeys.conftest import configured


@contextmanager
def serving_anything(world: World) -> Iterator[None]:
    """Let the image that trained the world's model serve language models, so that its endpoint can be one."""
    images = world.functions["endpoints_deploy"]["Environment"]["Variables"]["IMAGES"]
    with configured(world.platform, "endpoints_deploy", LLM_IMAGE=json.loads(images)["tabular"]):
        yield


def component(world: World) -> str:
    """Store an endpoint under way that is a component on a host of its own; return its id."""
    kind = {"kind": "inference_component_based", "llm": {}, "copies": {"min_copies": 0, "max_copies": 2}}
    id = copy(world, status="creating", artefact=served(world)["artefact"], autoscaling=None, **kind)
    host = f"slipway-local-{id}"
    world.records.change("endpoints", world.user_id, id, host=host, host_endpoint_id=id)
    world.records.write("endpoints", owner="hosts#", id=f"{host}#host", members={id})
    return id


def placed(world: World, id: str) -> None:
    """Let a component come as far as SageMaker brings it."""
    step(world, id, "create_model")
    until(lambda: step(world, id, "place")["placed"], "SageMaker serves it", seconds=60)


def step(world: World, id: str, name: str) -> Any:
    return world.invoke("endpoints_deploy", world.event(id) | {"step": name})


def forget_component(world: World, id: str) -> None:
    """Remove a component with its host, and what scaled or watched it."""
    name, sagemaker = f"slipway-local-{id}", world.sagemaker
    with unless("No scalable target"):
        world.platform.client("application-autoscaling").deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"inference-component/{name}",
            ScalableDimension="sagemaker:inference-component:DesiredCopyCount",
        )
    world.platform.client("cloudwatch").delete_alarms(AlarmNames=[f"{name}-from-zero", f"{name}-2"])
    until(lambda: state(world, name) not in ("Creating", "Updating", "Deleting"), "SageMaker has settled", seconds=60)
    with unless("Could not find"):
        sagemaker.delete_inference_component(InferenceComponentName=name)
    until(lambda: state(world, name) is None, "the component is gone")
    until(lambda: status(world, name) != "Creating", "SageMaker has settled")
    forget(world, id)
    until(lambda: status(world, name) is None, "the host is gone")
    with unless("Could not find"):
        sagemaker.delete_model(ModelName=f"{name}-2")
    world.records.delete("endpoints", "hosts#", f"{name}#host")


def state(world: World, name: str) -> str | None:
    """Return what SageMaker says of a component, or None when there is none."""
    found = world.sagemaker.list_inference_components(NameContains=name)["InferenceComponents"]
    return found[0]["InferenceComponentStatus"] if found else None


def component_life(world: World) -> None:
    """The steps place a component, let it scale, change its model and take it away with its host."""
    id = component(world)
    name = f"slipway-local-{id}"
    try:
        with serving_anything(world):
            placed(world, id)
            step(world, id, "in_service")
            found = world.record("endpoints", id)
            expect((found["status"], found.get("reason")) == ("in_service", None), "it is in service, and scales")
            names = ("model", "model_version_id", "image_family", "artefact", "instance_type", "instance_count")
            update = {name: found[name] for name in names} | {"number": 2, "deploys": True}
            world.records.change("endpoints", world.user_id, id, status="updating", update=update, deployments=2)
            world.records.open_wait(world.user_id, id)
            expect(step(world, id, "prepare_update")["component"], "it is changed as a component is")
            step(world, id, "update_endpoint")
            until(lambda: state(world, name) == "InService", "SageMaker has changed over", seconds=60)
            step(world, id, "settle_update")
            expect(world.record("endpoints", id).get("deployment") == 2, "the new model serves")
            world.records.open_wait(world.user_id, id)
            until(lambda: step(world, id, "delete_endpoint")["gone"], "the component is gone", seconds=60)
            step(world, id, "delete_rest")
        expect(world.record("endpoints", id) == {}, "its record is gone")
        expect(status(world, name) is None, "its host is gone")
    finally:
        forget_component(world, id)


def component_call(world: World) -> None:
    """A component is called: what this one, no language model, says of the call is passed on."""
    id = component(world)
    try:
        with serving_anything(world):
            placed(world, id)
            step(world, id, "in_service")
        answer = world.owner.request("POST", f"/endpoints/{id}/invoke", json={"inputs": "x"})
        expect(answer.status_code == 400 and "refused the input" in answer.text, "the model is asked")
    finally:
        forget_component(world, id)


def component_call_with_a_token(world: World) -> None:
    """Who has a component's token reaches it, which may have no such route."""
    id = component(world)
    try:
        with serving_anything(world):
            placed(world, id)
            step(world, id, "in_service")
        expect_good_token(world, id)
    finally:
        forget_component(world, id)


def check_of_token(resource: str) -> Callable[[World], None]:
    """Return the check that the token's role needs a resource for."""
    return component_call_with_a_token if ":inference-component/" in resource else call_with_a_token


def component_logs(world: World) -> None:
    """What a component's container prints is in the group of its name."""
    id = component(world)
    try:
        with serving_anything(world):
            placed(world, id)
        expect_logs(world, f"/aws/sagemaker/InferenceComponents/slipway-local-{id}", "")
    finally:
        forget_component(world, id)


def component_watching(world: World) -> None:
    """The schedule stores that a component serves whose workflow is gone, and takes away one that was to go."""
    serving, going = component(world), component(world)
    try:
        with serving_anything(world):
            for id in (serving, going):
                placed(world, id)
        world.records.change("endpoints", world.user_id, going, status="deleting")
        nothing = {"owner": world.user_id, "id": "ep-absent"}
        world.start("Deploy", serving, nothing)
        world.abort("Deploy", serving)
        world.start("Teardown", f"{going}-delete", nothing)
        until(lambda: (world.execution("Teardown", f"{going}-delete") or {})["status"] != "RUNNING", "it has ended")

        def taken_away() -> bool:
            world.invoke("endpoints_watch", {"detail-type": "Scheduled Event"})
            return world.record("endpoints", going) == {}

        until(taken_away, "what was to go is gone", seconds=60)
        found = world.record("endpoints", serving)
        expect((found["status"], found.get("reason")) == ("in_service", None), "it is in service, and scales")
    finally:
        for id in (serving, going):
            forget_component(world, id)


# Permission -> the check that needs it.
CHECKS: dict[str, Callable[[World], None]] = {
    "endpoints: sagemaker:InvokeEndpoint on inference-components": component_call,
    "endpoints_deploy: sagemaker:CreateInferenceComponent on endpoints": component_life,
    "endpoints_deploy: sagemaker:CreateInferenceComponent on inference-components": component_life,
    "endpoints_deploy: sagemaker:UpdateInferenceComponent on inference-components": component_life,
    "endpoints_deploy: sagemaker:DescribeInferenceComponent on inference-components": component_life,
    "endpoints_deploy: sagemaker:DeleteInferenceComponent on inference-components": component_life,
    "endpoints_deploy: sagemaker:AddTags on inference-components": component_life,
    "endpoints_watch: sagemaker:DescribeInferenceComponent on inference-components": component_watching,
    "endpoints_watch: sagemaker:DeleteInferenceComponent on inference-components": component_watching,
    "endpoints_watch: cloudwatch:PutMetricAlarm on endpoint-alarms": component_watching,
}
