"""The registry's tables are lost, and made again from S3 alone.  `pytest tests/journeys/test_rebuild.py`"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas.common.ids import new_id
from local.api_client import ApiClient
from operations import rebuild_index
from tests.journeys.records import Records
from tests.platform import Platform

RESTING = ("ready", "blocked", "failed")


@pytest.fixture
def owner(new_user: Callable[..., ApiClient]) -> ApiClient:
    """Somebody with a model of two versions, the first of which is the champion."""
    api = new_user()
    for body in (b'{"layers": 1}', b'{"layers": 2}'):
        made = upload(api, body)
        assert api.wait(f"/ai-models/{api.username}/iris?version={made['version']}", *RESTING)["status"] == "ready"
    api.call("PUT", f"/ai-models/{api.username}/iris/aliases/champion", {"version": "v1"})
    return api


def upload(api: ApiClient, body: bytes) -> dict[str, Any]:
    """Upload the next version of a model."""
    form = {"model_id": "iris", "name": "Iris", "version": "auto", "tags": "flowers, small"}
    return api.call("POST", "/ai-models/upload/single", data=form, files={"file": ("config.json", body)})


def lose(platform: Platform, owner: str) -> int:
    """Delete all that the registry's two tables have of a user; return how many items that were."""
    records, dynamodb, lost = Records(platform), platform.client("dynamodb"), 0
    for noun, hashed, ranged in (("models", "owner", "id"), ("models-index", "term", "segment")):
        for page in dynamodb.get_paginator("scan").paginate(TableName=records.table(noun)):
            for item in page["Items"]:
                if item[hashed]["S"].split("#")[0] == owner:
                    dynamodb.delete_item(
                        TableName=records.table(noun), Key={name: item[name] for name in (hashed, ranged)}
                    )
                    lost += 1
    return lost


def known(api: ApiClient) -> list[Any]:
    """Return all that a user is told of their models, however they ask."""
    home = f"/ai-models/{api.username}"
    paths = [home, f"/ai-models/search/{api.username}?query=iri&tags=flowers", f"{home}/iris/versions"]
    paths += [f"{home}/iris", f"{home}/iris?version=champion", f"{home}/iris/files?version=v2"]
    return [api.call("GET", path) for path in paths]


@pytest.fixture
def endpoint(platform: Platform, owner: ApiClient) -> Iterator[str]:
    """The owner's endpoint, as far as the tables know one: it serves the champion, and holds it."""
    records, id = Records(platform), new_id("ep")
    assert owner.username
    champion = owner.call("GET", f"/ai-models/{owner.username}/iris?version=champion")
    model = {"model_id": "iris", "version": "v1", "user_id": owner.username}
    made_of = {"model": model, "model_version_id": champion["id"], "holds_model": True}
    records.write("endpoints", owner=owner.username, id=id, **made_of)
    records.change("models", owner.username, champion["id"], holds={id})
    yield id
    records.delete("endpoints", owner.username, id)


def test_what_the_tables_lost_is_made_again_from_s3(
    platform: Platform,
    owner: ApiClient,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert owner.username
    monkeypatch.setenv("SLIPWAY_HOME", str(platform.home))
    assert rebuild_index.main(["local"]) == 0  # what other journeys lost is not counted below
    before, home = known(owner), f"/ai-models/{owner.username}"
    assert before[4]["endpoints"] == [endpoint]
    assert lose(platform, owner.username) > 10
    assert owner.call("GET", home)["items"] == []
    capsys.readouterr()

    assert rebuild_index.main(["local"]) == 0
    assert "Restored 2 model versions that stage local lacked" in capsys.readouterr().out

    assert known(owner) == before
    assert owner.request("DELETE", f"{home}/iris?version=v1").status_code == 409  # the endpoint holds it
    assert upload(owner, b"{}")["version"] == "v3"
