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
    id = world.copy("endpoints", world.endpoint["id"], token=token, **made_of | changes)
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


def completed_job(world: World, version: str | None = None) -> str:
    """Store a completed job that made a version and asked for an endpoint, which is under way; return its id."""
    model = world.record("models", version or world.unservable)
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
