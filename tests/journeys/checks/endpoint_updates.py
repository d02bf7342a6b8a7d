"""What endpoints go through while they change, and at their end. The tasks are invoked as their workflows would."""

from typing import Any

from tests.journeys.checks.endpoints import copy, forget, in_service, served, status
from tests.journeys.checks.world import NO_TOKEN, World, expect, unless, until


def under_update(world: World, **changes: Any) -> str:
    """Store an endpoint whose update to two instances, and to other bounds, is under way; return its id."""
    scaling = {"min_instances": 1, "max_instances": 3, "invocations_per_instance": 60}
    id = copy(world, status="creating", artefact=served(world)["artefact"], autoscaling=scaling)
    in_service(world, id)
    record = world.record("endpoints", id)
    names = ("model", "model_version_id", "image_family", "artefact", "instance_type")
    update = {name: record[name] for name in names} | {"instance_count": 2, "autoscaling": scaling}
    update |= {"number": 2, "deploys": True}
    world.records.change("endpoints", world.user_id, id, status="updating", update=update, deployments=2, **changes)
    world.records.open_wait(world.user_id, id, NO_TOKEN)
    return id


def forget_update(world: World, id: str) -> None:
    """Remove an endpoint with what its update left."""
    name, sagemaker = f"slipway-local-{id}-2", world.sagemaker
    until(lambda: status(world, f"slipway-local-{id}") not in ("Updating", "RollingBack"), "SageMaker has settled")
    forget(world, id)
    with unless("Could not find"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    with unless("Could not find"):
        sagemaker.delete_model(ModelName=name)
    world.platform.client("cloudwatch").delete_alarms(AlarmNames=[name])
    with unless("No scalable target"):
        world.platform.client("application-autoscaling").deregister_scalable_target(**target(id))


def target(id: str) -> dict[str, str]:
    """Return what names an endpoint's variant to Application Auto Scaling."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/slipway-local-{id}/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def is_scaled(world: World, id: str) -> bool:
    """Return whether Application Auto Scaling has a target and a policy of an endpoint."""
    named = {"ServiceNamespace": "sagemaker", "ResourceId": target(id)["ResourceId"]}
    return bool(world.platform.client("application-autoscaling").describe_scaling_policies(**named)["ScalingPolicies"])


def alarms(world: World, id: str) -> list[str]:
    """Return the alarms of an endpoint's updates."""
    found = world.platform.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"slipway-local-{id}")
    return [alarm["AlarmName"] for alarm in found["MetricAlarms"]]


def endpoint_update(world: World) -> None:
    """The steps of an update change over behind an alarm, and scaling goes on; then all is taken down."""
    id = under_update(world)

    def step(name: str) -> Any:
        return world.invoke("endpoints_deploy", world.event(id) | {"step": name, "token": NO_TOKEN})

    try:
        expect(is_scaled(world, id), "it scales")
        expect(step("prepare_update")["deploys"], "it is deployed")
        expect(not is_scaled(world, id) and alarms(world, id) == [f"slipway-local-{id}-2"], "only its alarm watches")
        step("update_endpoint")
        until(lambda: status(world, f"slipway-local-{id}") == "InService", "SageMaker has changed over", seconds=60)
        step("settle_update")
        found = world.record("endpoints", id)
        expect((found["status"], found["instance_count"]) == ("in_service", 2), "it serves on two instances")
        expect(is_scaled(world, id) and alarms(world, id) == [], "it scales again")
        world.records.open_wait(world.user_id, id)
        world.records.change("endpoints", world.user_id, id, kind="async")
        key = f"{world.user_id}/{id}/inferences/inf-1/input"
        world.s3.put_object(Bucket=world.jobs_bucket, Key=key, Body=b"x")
        world.s3.put_object(Bucket=world.jobs_bucket, Key=f"{world.user_id}/{id}/output/1.out", Body=b"x")
        until(lambda: step("delete_endpoint")["gone"], "the endpoint is gone")
        step("delete_rest")
        expect(world.keys(world.jobs_bucket, f"{world.user_id}/{id}/") == [], "no input or answer is left")
        group = world.platform.client("logs").describe_log_groups(
            logGroupNamePrefix=f"/aws/sagemaker/Endpoints/slipway-local-{id}"
        )["logGroups"]
        expect(all("retentionInDays" in found for found in group), "its logs have an end")
    finally:
        forget_update(world, id)


def endpoint_update_watching(world: World) -> None:
    """The schedule settles an update whose workflow has ended, and starts one that never started."""
    ended, untaken = under_update(world), under_update(world)
    try:
        world.invoke("endpoints_deploy", world.event(ended) | {"step": "prepare_update"})
        nothing = {"owner": world.user_id, "id": "ep-absent"}
        world.start("Update", f"{ended}-update-2", nothing)  # has nothing to do, and ends
        until(lambda: (world.execution("Update", f"{ended}-update-2") or {})["status"] != "RUNNING", "it has ended")
        world.invoke("endpoints_watch", {"detail-type": "Scheduled Event"})
        found = world.record("endpoints", ended)
        expect((found["status"], found["instance_count"]) == ("in_service", 1), "it serves as before")
        expect(is_scaled(world, ended) and alarms(world, ended) == [], "it scales again, and no alarm is left")
        expect(world.execution("Update", f"{untaken}-update-2") is not None, "the other's workflow has started")
    finally:
        world.abort("Update", f"{untaken}-update-2")
        for id in (ended, untaken):
            forget_update(world, id)


def endpoint_teardown_watching(world: World) -> None:
    """The schedule finishes the teardown of an asynchronous endpoint that scaled, its log group and objects too."""
    id = under_update(world)
    world.records.change("endpoints", world.user_id, id, status="deleting", kind="async", update=None)
    for name in ("inferences/inf-1/input", "output/1.out"):
        world.s3.put_object(Bucket=world.jobs_bucket, Key=f"{world.user_id}/{id}/{name}", Body=b"x")
    group = f"/aws/sagemaker/Endpoints/slipway-local-{id}"
    try:
        world.start("Teardown", f"{id}-delete", {"owner": world.user_id, "id": "ep-absent"})
        until(lambda: (world.execution("Teardown", f"{id}-delete") or {})["status"] != "RUNNING", "it has ended")
        logs = world.platform.client("logs")
        logs.delete_retention_policy(logGroupName=group)

        def gone() -> bool:
            world.invoke("endpoints_watch", {"detail-type": "Scheduled Event"})
            return world.record("endpoints", id) == {}

        until(gone, "its record is gone", seconds=60)
        expect(not is_scaled(world, id), "it does not scale")
        expect(world.keys(world.jobs_bucket, f"{world.user_id}/{id}/") == [], "no input or answer is left")
        (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        expect("retentionInDays" in found, "its logs have an end")
    finally:
        forget_update(world, id)
