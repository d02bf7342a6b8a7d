"""Many requests at the same moment: one wins a name, automatic numbers have no gap, an alias is in one place.

Run: python -m pytest tests/api/test_models_races.py -s
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.models.records import MODELS, read_pointer
from tests.api.client import ApiClient
from tests.api.registry import at, get, objects, planned, ready, scan_now, single, stored
from tests.api.together import THREADS, at_once

pytestmark = pytest.mark.thorough

EXISTS = "Model with this ID and version already exists"


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


def test_of_200_registrations_of_one_version_one_wins(ada: ApiClient) -> None:
    answers = at_once(200, lambda number: single(ada, b"%d" % number, "model.txt"))
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 199}
    assert {answer.body["detail"] for answer in answers if answer.status == 409} == {EXISTS}
    (winner,) = (answer.body for answer in answers if answer.status == 200)
    number = next(number for number, answer in enumerate(answers) if answer.status == 200)
    kept = {key: body for key, body in objects(ada.username).items() if "/.slipway/" not in key}
    assert kept == {winner["primary_file_path"]: b"%d" % number}
    assert stored(ada.username) == sorted([winner["id"], "name#iris#v1", "latest#iris"])


def test_100_automatic_versions_are_v1_to_v100(ada: ApiClient) -> None:
    answers = at_once(100, lambda number: single(ada, version="auto"))
    assert [answer.status for answer in answers] == [200] * 100
    assert {answer.body["version"] for answer in answers} == {f"v{number}" for number in range(1, 101)}
    newest = max((answer.body for answer in answers), key=lambda model: model["id"])
    assert ada.get(f"/ai-models/{ada.username}/iris").body["id"] == newest["id"]
    page = ada.get(f"/ai-models/{ada.username}/iris/versions").body
    assert {item["version"] for item in page["items"]} == {f"v{number}" for number in range(1, 101)}


def test_an_alias_that_all_want_is_in_one_place(ada: ApiClient) -> None:
    models = [ready(ada, version=f"v{number}") for number in range(1, 5)]
    path = f"/ai-models/{ada.username}/iris/aliases/champion"
    answers = at_once(40, lambda number: ada.put(path, {"version": f"v{number % 4 + 1}"}))
    assert {answer.status for answer in answers} == {200}
    holders = [model["id"] for model in models if "champion" in get(ada, model)["aliases"]]
    pointer = read_pointer(ada.username, "alias#iris#champion")
    assert pointer and holders == [pointer["target"]]


def test_completing_at_once_makes_one_version_of_it(ada: ApiClient) -> None:
    model = planned(ada, {"a.json": b"{}", "b.json": b"[]"})
    answers = at_once(THREADS, lambda number: ada.post(f"/ai-models/uploads/{model['id']}/complete"))
    assert {answer.status for answer in answers} == {202}
    scan_now(model)
    assert get(ada, model)["status"] == "ready"


def test_changes_of_different_fields_are_all_kept(ada: ApiClient) -> None:
    model = ready(ada)
    fields: dict[str, Any] = {
        "name": "New",
        "description": "text",
        "algorithm": "forest",
        "tags": ["x"],
        "test_accuracy": 0.5,
        "python_version": "3.13",
        "is_production_ready": True,
        "visibility": "shared",
        "change_note": "note",
        "custom_metadata": {"a": 1},
    }
    names = sorted(fields)
    answers = at_once(
        2 * len(names), lambda n: ada.put(at(model), {names[n % len(names)]: fields[names[n % len(names)]]})
    )
    assert {answer.status for answer in answers} == {200}
    after = get(ada, model)
    assert {name: after[name] for name in fields} == fields
    found = ada.get(
        f"/ai-models/search/{ada.username}?query=forest new&tags=x&is_production_ready=true".replace(" ", "+")
    )
    assert [item["id"] for item in found.body["items"]] == [model["id"]]


def test_deleted_by_many_it_is_gone_once(ada: ApiClient) -> None:
    model = ready(ada)
    answers = at_once(THREADS, lambda number: ada.delete(at(model)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses[204] >= 1 and set(statuses) <= {204, 404, 409}
    assert objects(ada.username) == {}
    assert stored(ada.username) == ["latest#iris"]
    assert MODELS.get_many(ada.username, [model["id"]]) == []
