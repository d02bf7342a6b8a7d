"""What registrations go through. The task is invoked as its workflow and the schedule would."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.common.ids import new_id
from tests.journeys.checks import endpoints, models
from tests.journeys.checks.world import World, expect, until

CONTENT = b'{"layers": 3}'
FILE = {"filename": "config.json", "size": len(CONTENT)}


def own_model(world: World) -> dict[str, str]:
    """Return the reference to the model that a job of the owner's made."""
    return {"model_id": world.job["model"]["model_id"], "version": world.job["model"]["version"]}


def new_model(**changes: Any) -> dict[str, Any]:
    """Return a version to register, under a name that nobody has."""
    return {"model_id": f"check-{secrets.token_hex(4)}", "name": "Check", "files": [FILE]} | changes


def forget(world: World, id: str) -> None:
    """Remove a registration: record, pointer, wait, execution."""
    world.abort("Register", id)
    if pointer := world.record("jobs", id).get("pointer"):
        world.records.delete("jobs", world.user_id, pointer)
    world.records.delete("jobs", world.user_id, id)
    world.records.close_wait(id)


@contextmanager
def registration(world: World, **changes: Any) -> Iterator[str]:
    """Store a registration of the owner's model that no workflow knows, under way; give its id."""
    body = {"name": "Check", "model": own_model(world), "deploy": False, "client_token": secrets.token_hex(8)}
    source = world.owner.call("POST", "/register", body)["id"]
    id = new_id("reg")
    try:
        world.records.copy("jobs", world.user_id, source, id=id, **{"status": "pending", "pointer": "none"} | changes)
        world.records.open_wait(world.user_id, id)
        yield id
    finally:
        forget(world, source)
        forget(world, id)


def registration_requests(world: World) -> None:
    """A model is registered from files to come, from a version and from a job; the same request has the same answer."""
    models.begin_segment(world)
    made: list[str] = []
    api = world.owner
    try:
        new = new_model()
        first = api.call("POST", "/register", {"name": "Check", "new_model": new, "deploy": False})
        made.append(first["id"])
        expect(len(first["uploads"]["config.json"]["parts"]) == 1, "its file can be uploaded")
        expect(world.execution("Register", first["id"]) is not None, "its workflow has started")
        path = f"/ai-models/search/{world.user_id}?query={new['model_id']}"
        until(lambda: api.call("GET", path)["items"], "the version is found")
        again = api.call("POST", "/register", {"name": "Check", "new_model": new, "deploy": False})
        expect(again["id"] == first["id"], "the same request has the same answer")
        taken = api.request("POST", "/register", json={"name": "Check", "new_model": new_model(**new, version="v1")})
        expect(taken.status_code == 409, f"a taken name is told: {taken.status_code}")
        listed = [job["id"] for job in api.call("GET", "/jobs?kind=register")["items"]]
        expect(first["id"] in listed and len(set(listed) - {*made}) == 0, "there is one registration")
        served = {"name": "Served", "model": own_model(world), "deploy": False}
        made.append(api.call("POST", "/register", served)["id"])
        done = {"status": "completed", "deploy": True, "endpoint_id": world.endpoint["id"]}
        until(lambda: not world.records.waits_for(made[-1]), "it is over")
        world.records.change("jobs", world.user_id, made[-1], **done)
        expect(api.call("POST", "/register", served)["id"] == made[-1], "what it made is there still")
        by_admin = {"name": "Check", "job_id": world.job["id"], "deploy": False, "client_token": secrets.token_hex(8)}
        expect(
            world.admin.call("POST", "/register", by_admin)["kind"] == "register", "an admin registers a job's model"
        )
    finally:
        for job in api.call("GET", "/jobs?kind=register")["items"]:
            forget(world, job["id"])


def registration_moving(world: World) -> None:
    """The looks of the workflow begin the endpoint, and end the job once it is in service."""
    begun(world, world.unservable)


def begun(world: World, version: str) -> None:
    """Do as `registration_moving` with a version of the owner's."""
    model = world.record("models", version)
    named = {name: model[name] for name in ("id", "model_id", "version")} | {"user_id": world.user_id}
    on = {"wanted": {"name": "Check"}, "instance_type": world.job["instance_type"]}
    with registration(world, deploy=True, model=named, **on) as id:
        endpoint = ""
        try:
            world.invoke("endpoints_register", world.event(id))
            endpoint = world.record("jobs", id).get("endpoint_id", "")
            expect(world.record("endpoints", endpoint).get("name") == "Check", "there is an endpoint")
            expect(world.execution("Deploy", endpoint) is not None, "its workflow has started")
            world.abort("Deploy", endpoint)
            world.records.change("endpoints", world.user_id, endpoint, status="in_service")
            expect(world.invoke("endpoints_register", world.event(id))["over"], "the job is over")
            expect(world.record("jobs", id)["status"] == "completed", "the job is completed")
            expect(not world.records.waits_for(id), "nothing is under way any more")
        finally:
            if endpoint:
                endpoints.forget(world, endpoint)


def registration_watching(world: World) -> None:
    """The schedule starts the workflow of a registration that has none."""
    with registration(world) as id:
        world.invoke("endpoints_watch", {"detail-type": "Scheduled Event"})
        expect(world.execution("Register", id) is not None, "its workflow has started")


def register_workflow(world: World) -> None:
    """A registration of a ready model that is not to be deployed completes by itself."""
    with registration(world) as id:
        world.start("Register", id, world.event(id))
        until(lambda: (world.execution("Register", id) or {})["status"] != "RUNNING", "it has ended")
        expect(world.record("jobs", id)["status"] == "completed", "the job is completed")
