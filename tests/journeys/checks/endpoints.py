"""What endpoints go through. The tasks are invoked as their workflows and their events would."""

from typing import Any

import requests

from tests.journeys.checks.world import NO_TOKEN, World, expect, unless, until


def copy(world: World, *, token: str | None = NO_TOKEN, serves: str | None = None, **changes: Any) -> str:
    """Store an endpoint under way whose model's archive is none; `serves` is the name it has at SageMaker."""
    model = world.record("models", world.unservable)
    reference = {"model_id": model["model_id"], "version": model["version"], "user_id": world.user_id}
    archive = f"s3://{world.platform.outputs['ModelsBucket']}/{model['model_archive']}"
    made_of = {"model": reference, "model_version_id": world.unservable, "artefact": archive, "holds_model": True}
    id = world.copy("endpoints", world.endpoint["id"], token=token, **made_of, **changes)
    world.records.change("endpoints", world.user_id, id, endpoint_name=serves or f"slipway-local-{id}")
    return id


def forget(world: World, id: str) -> None:
    """Remove an endpoint: its record, its wait, its executions, and what SageMaker has of it."""
    world.records.delete("endpoints", world.user_id, id)
    world.records.close_wait(id)
    world.abort("Deploy", id)
    world.abort("Teardown", f"{id}-delete")
    name, sagemaker = f"slipway-local-{id}", world.sagemaker
    until(lambda: status(world, name) != "Creating", "SageMaker has settled")
    with unless("Could not find"):
        sagemaker.delete_endpoint(EndpointName=name)
    with unless("Could not find"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    with unless("Could not find"):
        sagemaker.delete_model(ModelName=name)


def completed_job(world: World) -> str:
    """Store a completed job that asked for an endpoint, which is under way; return its id."""
    model = world.record("models", world.unservable)
    made = {name: model[name] for name in ("id", "model_id", "version")}
    deploy = {"name": "Follows", "instance_type": world.job["instance_type"], "instance_count": 1}
    id = world.copy("jobs", world.job["id"], under_way=False, model=made, deploy=deploy, endpoint_id=None)
    world.records.open_wait(world.user_id, f"ep-{id}")
    return id


def expect_followed(world: World, job: str) -> None:
    """The endpoint that a job asked for is begun, and noted on the job."""
    endpoint = world.record("jobs", job).get("endpoint_id", "")
    expect(world.record("endpoints", endpoint).get("name") == "Follows", "there is an endpoint")
    expect(world.execution("Deploy", endpoint) is not None, "its workflow has started")
    expect(not world.records.waits_for(f"ep-{job}"), "none is to follow any more")


def forget_followed(world: World, job: str) -> None:
    """Remove a job that asked for an endpoint, and the endpoint."""
    if endpoint := world.record("jobs", job).get("endpoint_id"):
        forget(world, endpoint)
    world.records.delete("jobs", world.user_id, job)
    for id in (job, f"ep-{job}"):
        world.records.close_wait(id)


def endpoint_following(world: World) -> None:
    """A completed job gets the endpoint that it asked for."""
    job = completed_job(world)
    try:
        world.invoke("endpoints_follow", world.event(job))
        expect_followed(world, job)
    finally:
        forget_followed(world, job)


def status(world: World, name: str) -> str | None:
    """Return what SageMaker says of an endpoint, or None when there is none."""
    found = world.sagemaker.list_endpoints(NameContains=name)["Endpoints"]
    return found[0]["EndpointStatus"] if found else None


def endpoint_requests(world: World) -> None:
    """An endpoint is made, read and invoked; one that failed is taken down."""
    api, served = world.owner, f"/endpoints/{world.endpoint['id']}"
    expect(world.admin.call("GET", served)["status"] == "in_service", "an admin reads it")
    answer = api.call("POST", f"{served}/invoke", {"instances": [world.features]})
    expect(len(answer["predictions"]) == 1, "the model answers")
    listed = api.call("GET", "/endpoints")["items"]
    expect(world.endpoint["id"] in [found["id"] for found in listed], "it is listed")
    model = world.record("models", world.unservable)["model_id"]
    id = api.call("POST", "/endpoints", {"name": "Check", "model": {"model_id": model}})["id"]
    try:
        expect(world.execution("Deploy", id) is not None, "its workflow has started")
    finally:
        forget(world, id)
    failed = world.copy("endpoints", world.endpoint["id"], under_way=False, status="failed", holds_model=False)
    world.records.change("endpoints", world.user_id, failed, endpoint_name=f"slipway-local-{failed}")
    try:
        api.call("DELETE", f"/endpoints/{failed}")
        expect(world.execution("Teardown", f"{failed}-delete") is not None, "its teardown has started")
    finally:
        forget(world, failed)


def endpoint_change(world: World) -> None:
    """A change of an endpoint in service starts its workflow."""
    id = copy(world, status="in_service")
    world.records.close_wait(id)
    try:
        world.owner.call("PATCH", f"/endpoints/{id}", {"instance_count": 2})
        expect(world.execution("Update", f"{id}-update-2") is not None, "its workflow has started")
        expect(world.records.waits_for(id), "it is under way")
    finally:
        world.abort("Update", f"{id}-update-2")
        forget(world, id)


def endpoint_inferences(world: World) -> None:
    """A call of an asynchronous endpoint is taken, stored and answered; an input is uploaded."""
    id = copy(world, status="creating", kind="async", artefact=served(world)["artefact"])
    calls = f"/endpoints/{id}/inferences"
    try:
        in_service(world, id)
        taken = world.owner.call("POST", f"/endpoints/{id}/invoke", {"instances": [world.features]})
        path = f"{calls}/{taken['inference_id']}"
        answer = until(lambda: world.owner.call("GET", path).get("output_url"), "the model has answered")
        expect(len(requests.get(answer, timeout=10).json()["predictions"]) == 1, "the answer can be fetched")
        upload = world.owner.call("POST", calls, {"size": 2})["upload"]
        stored = requests.put(upload["url"], data=b"{}", headers=upload["headers"], timeout=10)
        expect(stored.ok, "the input is stored")
    finally:
        forget(world, id)


def served(world: World) -> dict[str, Any]:
    """Return the record of the endpoint in service."""
    return world.record("endpoints", world.endpoint["id"])


def in_service(world: World, id: str) -> None:
    """Let an endpoint come into service, by the steps of its workflow."""
    for name in ("create_model", "create_endpoint"):
        world.invoke("endpoints_deploy", world.event(id) | {"step": name, "token": NO_TOKEN})
    until(lambda: status(world, f"slipway-local-{id}") == "InService", "SageMaker serves it", seconds=60)
    world.invoke("endpoints_deploy", world.event(id) | {"step": "in_service"})
    expect(world.record("endpoints", id)["status"] == "in_service", "the endpoint is in service")


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


def endpoint_deployment(world: World) -> None:
    """The steps make model, configuration and endpoint, store that it serves, and take it all down again."""
    id = copy(world, status="creating")

    def step(name: str, **more: str) -> Any:
        return world.invoke("endpoints_deploy", world.event(id) | {"step": name} | more)

    try:
        step("create_model")
        step("create_endpoint", token=NO_TOKEN)
        until(lambda: status(world, f"slipway-local-{id}") == "Failed", "SageMaker has found no archive in it")
        step("in_service")
        expect(world.record("endpoints", id)["status"] == "in_service", "the endpoint is in service")
        expect(not world.records.waits_for(id), "nobody waits for it any more")
        world.records.open_wait(world.user_id, id)
        until(lambda: step("delete_endpoint")["gone"], "the endpoint is gone")
        step("delete_rest")
        expect(world.record("endpoints", id) == {}, "its record is gone")
    finally:
        forget(world, id)


def endpoint_rollback(world: World) -> None:
    """A deployment that broke leaves nothing at SageMaker, lets go of its model, and says why."""
    id = copy(world, status="creating")
    try:
        world.invoke("endpoints_deploy", world.event(id) | {"step": "roll_back", "error": {"Cause": "It broke."}})
        expect(world.record("endpoints", id)["reason"] == "It broke.", "the endpoint says why")
        expect(id not in world.record("models", world.unservable).get("holds", ()), "the model is free")
    finally:
        forget(world, id)


def endpoint_watching(world: World) -> None:
    """The schedule brings six endpoints, each stuck elsewhere, to where they should be, and begins one that a job asked
    for; an event finds its own."""
    job = completed_job(world)
    serving = copy(world, status="creating", serves=world.endpoint_name)
    broken = copy(world, status="creating")
    waiting, undeployed = copy(world, status="creating"), copy(world, status="creating")
    gone, untaken = copy(world, status="deleting"), copy(world, status="deleting")
    try:
        for step in ("create_model", "create_endpoint"):
            world.invoke("endpoints_deploy", world.event(broken) | {"step": step, "token": NO_TOKEN})
        until(lambda: status(world, f"slipway-local-{broken}") == "Failed", "SageMaker has found no archive in it")
        nothing = {"owner": world.user_id, "id": "ep-absent"}
        for id in (serving, broken, waiting):
            world.start("Deploy", id, nothing)  # waits for a token, as there is no endpoint of that id
        for id in (serving, broken):
            world.abort("Deploy", id)
        world.start("Teardown", f"{gone}-delete", nothing)  # has nothing to do, and ends
        until(lambda: (world.execution("Teardown", f"{gone}-delete") or {})["status"] != "RUNNING", "it has ended")
        world.invoke("endpoints_watch", {"detail-type": "Scheduled Event"})
        event = {
            "detail-type": "SageMaker Endpoint State Change",
            "detail": {"EndpointName": f"slipway-local-{serving}"},
        }
        world.invoke("endpoints_watch", event)
        expect(world.record("endpoints", serving)["status"] == "in_service", "what serves is in service")
        expect(world.record("endpoints", broken)["status"] == "failed", "what broke has failed")
        expect(world.record("endpoints", gone) == {}, "what is gone has no record")
        expect(world.execution("Deploy", undeployed) is not None, "its workflow has started")
        expect(world.execution("Teardown", f"{untaken}-delete") is not None, "its teardown has started")
        expect_followed(world, job)
    finally:
        forget_followed(world, job)
        for id in (serving, broken, waiting, undeployed, gone, untaken):
            forget(world, id)
