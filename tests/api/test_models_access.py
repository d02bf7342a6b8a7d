"""Who may do what with whose versions: the owner, another member, a viewer, an admin; private and shared.

Run: python -m pytest tests/api/test_models_access.py
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.api.registry import CONFIG, at, get, plan, planned, ready, single, stored

pytestmark = pytest.mark.thorough

Make = Callable[..., ApiClient]
READS: dict[str, Callable[[dict[str, Any]], str]] = {
    "metadata": at,
    "files": lambda model: at(model, "/files"),
    "one file": lambda model: at(model, "/download") + "&filename=model.json",
    "zip": lambda model: at(model, "/download"),
    "versions": lambda model: at(model, "/versions").split("?")[0],
    "lineage": lambda model: at(model, "/lineage"),
    "compare": lambda model: f"/ai-models/compare?models={reference(model)},{reference(model)}",
}
LISTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "list": lambda model: f"/ai-models/{model['user_id']}",
    "search": lambda model: f"/ai-models/search/{model['user_id']}?query=iris",
}
WRITES: dict[str, Callable[[ApiClient, dict[str, Any]], Answer]] = {
    "update": lambda client, model: client.put(at(model), {"name": "Mine"}),
    "share": lambda client, model: client.put(at(model), {"visibility": "shared"}),
    "delete": lambda client, model: client.delete(at(model)),
    "delete the only one": lambda client, model: client.delete(at(model).split("?")[0]),
    "alias": lambda client, model: client.put(at(model, "/aliases/mine").split("?")[0], {"version": "v1"}),
    "remove alias": lambda client, model: client.delete(at(model, "/aliases/champion").split("?")[0]),
    "new version by form": lambda client, model: single(client, user_id=model["user_id"], version="auto"),
    "new version by plan": lambda client, model: plan(client, {"a": b"1"}, user_id=model["user_id"]),
}
WRITTEN = {"delete": 204, "delete the only one": 204, "remove alias": 204, "new version by plan": 201}


def reference(model: dict[str, Any]) -> str:
    return f"{model['user_id']}/{model['model_id']}@{model['version']}"


@pytest.fixture
def ada(api: Make) -> ApiClient:
    return api("models")


@pytest.fixture
def model(ada: ApiClient) -> dict[str, Any]:
    """A version of ada's, with an alias."""
    made = ready(ada)
    return ada.put(at(made, "/aliases/champion").split("?")[0], {"version": "v1"}).body


def client_of(api: Make, ada: ApiClient, principal: str) -> ApiClient:
    groups = {"member": None, "viewer": "viewer", "admin": "admin"}
    return ada if principal == "owner" else api("models", group=groups[principal])


@pytest.mark.parametrize(
    ("principal", "visibility", "status"),
    [
        ("owner", "private", 200),
        ("admin", "private", 200),
        ("member", "private", 404),
        ("viewer", "private", 404),
        ("member", "shared", 200),
        ("viewer", "shared", 200),
    ],
)
def test_reads(api: Make, ada: ApiClient, model: dict[str, Any], principal: str, visibility: str, status: int) -> None:
    ada.put(at(model), {"visibility": visibility})
    client = client_of(api, ada, principal)
    for name, url in READS.items():
        answer = client.get(url(model))
        assert answer.status == status, name
        if status == 200:
            assert answer.body == ada.get(url(model)).body, name
        else:
            absent = client.get(url(model | {"model_id": "never"}))
            assert absent.status == 404, name
            assert absent.body["detail"].replace("never", model["model_id"]) == answer.body["detail"]  # nothing is told


@pytest.mark.parametrize("route", LISTS)
@pytest.mark.parametrize("principal", ["owner", "admin", "member", "viewer"])
def test_lists_of_another_show_what_is_shared(
    api: Make, ada: ApiClient, model: dict[str, Any], route: str, principal: str
) -> None:
    shared = ready(ada, version="v2", name="Shared iris")
    ada.put(at(shared), {"visibility": "shared"})
    client = client_of(api, ada, principal)
    everything = {model["id"], shared["id"]}
    assert ids(client.get(LISTS[route](model))) == (everything if principal in {"owner", "admin"} else {shared["id"]})
    ada.put(at(shared), {"visibility": "private"})
    assert ids(client.get(LISTS[route](model))) == (everything if principal in {"owner", "admin"} else set())


def ids(answer: Answer) -> set[str]:
    assert answer.status == 200, answer.body
    return {item["id"] for item in answer.body["items"]}


@pytest.mark.parametrize("visibility", ["private", "shared"])
@pytest.mark.parametrize(("principal", "status"), [("member", 404), ("viewer", 403)])
def test_others_write_nothing(
    api: Make, ada: ApiClient, model: dict[str, Any], principal: str, visibility: str, status: int
) -> None:
    before = ada.put(at(model), {"visibility": visibility}).body
    records, client = stored(ada.username), client_of(api, ada, principal)
    for name, write in WRITES.items():
        assert write(client, model).status == status, name
    assert (get(ada, model), stored(ada.username)) == (before, records)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("principal", ["owner", "admin"])
def test_owners_and_admins_write(api: Make, ada: ApiClient, model: dict[str, Any], write: str, principal: str) -> None:
    answer = WRITES[write](client_of(api, ada, principal), model)
    assert answer.status == WRITTEN.get(write, 200), answer.body
    if "id" in (answer.body or {}):
        assert answer.body["user_id"] == ada.username  # whoever registers it, it is the owner's


def test_strangers_read_and_write_nothing(ada: ApiClient, model: dict[str, Any]) -> None:
    ada.put(at(model), {"visibility": "shared"})
    for url in [read(model) for read in (READS | LISTS).values()]:
        assert ada.call("GET", url, claims={}).status == 401
    assert ada.call("PUT", at(model), {"name": "x"}, claims={}).status == 401
    assert ada.call("DELETE", at(model), claims={}).status == 401
    assert ada.call("POST", "/ai-models/uploads", {}, claims={}).status == 401


def test_a_model_of_the_same_name_lends_nothing(api: Make, ada: ApiClient, model: dict[str, Any]) -> None:
    eve = api("models")
    mine = ready(eve)
    assert eve.get(at(mine)).body["id"] == mine["id"]
    assert eve.get(at(model)).status == 404
    assert eve.delete(at(model)).status == 404
    assert eve.put(at(mine), {"name": "Hers"}).body["user_id"] == eve.username
    assert get(ada, model)["name"] == "Iris"


def test_of_several_only_the_shared_ones_are_read(api: Make, ada: ApiClient, model: dict[str, Any]) -> None:
    eve, second = api("models"), ready(ada, version="v2")
    ada.put(at(model), {"visibility": "shared"})
    path = f"/ai-models/{ada.username}/iris"
    assert eve.get(path).status == 404  # the latest is private
    assert ids(eve.get(f"{path}/versions")) == {model["id"]}
    assert eve.get(f"/ai-models/compare?models={reference(model)},{reference(second)}").status == 404
    assert eve.get(f"{path}?version=champion").body["id"] == model["id"]


def test_derived_versions_are_told_to_those_who_may_see_them(api: Make, ada: ApiClient, model: dict[str, Any]) -> None:
    tuned = ready(ada, model_id="tuned", base_model=reference(model))
    ada.put(at(model), {"visibility": "shared"})
    eve = api("models")
    assert eve.get(at(model, "/lineage")).body["derived"] == []
    ada.put(at(tuned), {"visibility": "shared"})
    assert eve.get(at(model, "/lineage")).body["derived"] == [reference(tuned)]


def test_an_upload_is_its_owners_and_the_admins(api: Make, ada: ApiClient) -> None:
    model = planned(ada, {"model.json": CONFIG})
    ada.put(at(model), {"visibility": "shared"})
    path = f"/ai-models/uploads/{model['id']}"
    for method, url in (("GET", path), ("POST", f"{path}/complete")):
        assert api("models").call(method, url).status == 404
        assert api("models", group="viewer").call(method, url).status == 403
        assert ada.call(method, url, claims={}).status == 401
    assert api("models", group="admin").get(path).body["model"]["id"] == model["id"]
    assert api("models", group="admin").post(f"{path}/complete").body["status"] == "scanning"
