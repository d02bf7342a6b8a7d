"""Endpoints of models that nothing but their documents in S3 speak for: here, what a custom script left."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.journeys.checks import endpoints, registrations
from tests.journeys.checks.world import World, expect
from tests.journeys.records import copy_unservable_model


@contextmanager
def script_model(world: World) -> Iterator[str]:
    """Store a version that a custom job made, whose archive has a model that the tabular image serves; give its id."""
    name = f"script-{secrets.token_hex(4)}"
    id = copy_unservable_model(world.records, world.user_id, world.job["model"]["id"], name)
    world.records.change("models", world.user_id, id, image=None)
    document = {"files": [{"name": "model.onnx", "size": 1, "sha256": "0" * 64}]}
    key = f"{world.user_id}/{name}/v1/manifest.json"
    world.s3.put_object(Bucket=world.models_bucket, Key=key, Body=json.dumps(document).encode())
    try:
        yield id
    finally:
        world.s3.delete_object(Bucket=world.models_bucket, Key=key)
        for item in (id, f"name#{name}#v1", f"latest#{name}"):
            world.records.delete("models", world.user_id, item)


def deployed(world: World) -> None:
    """A script's model is deployed on request."""
    with script_model(world) as version:
        model = {"model_id": world.record("models", version)["model_id"]}
        id = world.owner.call("POST", "/endpoints", {"name": "Check", "model": model})["id"]
        endpoints.forget(world, id)


def followed_by(function: str, event: dict[str, str] | None = None) -> Callable[[World], None]:
    """Return the check that a function begins the endpoint which a script's job asked for."""

    def script_following(world: World) -> None:
        with script_model(world) as version:
            job = endpoints.completed_job(world, version)
            try:
                world.invoke(function, event or world.event(job))
                endpoints.expect_followed(world, job)
            finally:
                endpoints.forget_followed(world, job)

    return script_following


def registered(world: World) -> None:
    """A registration of a script's model begins its endpoint."""
    with script_model(world) as version:
        registrations.begun(world, version)


def token_taken(world: World) -> None:
    """A bearer token for an endpoint is signed."""
    answer = world.owner.call("POST", f"/endpoints/{world.endpoint['id']}/token", {"expires_in": 60})
    expect(world.endpoint_name in answer["base_url"], "it is that endpoint's")
