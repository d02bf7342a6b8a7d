"""The store's expressions and number handling, without a table. Run: python -m pytest tests/units/test_store.py"""

import math
from decimal import Decimal

import pytest
from pydantic import BaseModel, Field

from lambdas.common.errors import Conflict, Stale
from lambdas.common.items import from_item, to_item
from lambdas.common.store import Entity, EntityStore
from lambdas.common.transactions import Write


class Shape(BaseModel):
    sides: int
    area: float


class Thing(Entity):
    name: str
    status: str = "new"
    note: str | None = None
    score: float | None = None
    shape: Shape | None = None
    parts: list[Shape] = Field(default_factory=list)


THINGS = EntityStore("THINGS_TABLE", Thing, "thing")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINGS_TABLE", "things")


def test_a_record_comes_back_as_it_went() -> None:
    thing = Thing(
        owner="ada", id="t-1", name="ü", score=0.1, shape=Shape(sides=3, area=1e-7), parts=[Shape(sides=1, area=2.0)]
    )
    assert Thing.model_validate(from_item(to_item(thing))) == thing


def test_what_is_none_or_an_empty_set_is_not_stored() -> None:
    item = to_item(Thing(owner="ada", id="t-1", name="x"))
    assert "note" not in item
    assert "holds" not in item


def test_floats_are_stored_exactly_and_what_is_no_number_as_text() -> None:
    assert to_item(Thing(owner="a", id="t", name="x", score=0.1))["score"] == {"N": "0.1"}
    assert to_item(Thing(owner="a", id="t", name="x", score=math.nan))["score"] == {"S": "nan"}
    assert from_item({"n": {"N": "7"}, "f": {"N": "7.5"}}) == {"n": 7, "f": 7.5}
    assert not any(isinstance(value, Decimal) for value in from_item({"n": {"N": "7"}}).values())


def test_unknown_attributes_are_ignored_so_older_code_reads_newer_records() -> None:
    item = to_item(Thing(owner="ada", id="t-1", name="x")) | {"invented": {"S": "later"}}
    assert Thing.model_validate(from_item(item)).name == "x"


def test_a_change_sets_what_changed_and_removes_what_became_none() -> None:
    thing = Thing(owner="ada", id="t-1", name="x", note="old", revision=4)
    write = THINGS.change(thing, status="done", note=None)
    arguments = write.arguments
    assert arguments["Key"] == {"owner": {"S": "ada"}, "id": {"S": "t-1"}}
    assert arguments["UpdateExpression"] == (
        "SET #revision = :revision, #status = :status, #updated_at = :updated_at REMOVE #note"
    )
    assert arguments["ConditionExpression"] == "#revision = :expected"
    assert arguments["ExpressionAttributeValues"][":expected"] == {"N": "4"}
    assert arguments["ExpressionAttributeValues"][":revision"] == {"N": "5"}
    assert set(arguments["ExpressionAttributeNames"].values()) == {"revision", "status", "updated_at", "note"}
    assert isinstance(write.failure, Stale)


def test_a_deletion_needs_the_revision_read_and_no_holder() -> None:
    condition = THINGS.deletion(Thing(owner="ada", id="t-1", name="x")).arguments["ConditionExpression"]
    assert condition == "#revision = :expected AND attribute_not_exists(holds)"


def test_a_held_record_names_its_holders() -> None:
    thing = Thing(owner="ada", id="t-1", name="x", holds={"job-2", "job-1"})
    with pytest.raises(Conflict, match="job-1, job-2"):
        THINGS.refuse_if_held(thing)


def test_a_hold_can_be_narrowed_to_a_status() -> None:
    arguments = THINGS.hold("ada", "t-1", "job-1", "AND #status = :ready", {":ready": {"S": "ready"}}).arguments
    assert arguments["ConditionExpression"] == "attribute_exists(id) AND #status = :ready"
    assert arguments["ExpressionAttributeNames"] == {"#status": "status"}
    assert arguments["ExpressionAttributeValues"] == {":holder": {"SS": ["job-1"]}, ":ready": {"S": "ready"}}
    plain = THINGS.hold("ada", "t-1", "job-1").arguments
    assert plain["ConditionExpression"] == "attribute_exists(id)"
    assert "ExpressionAttributeNames" not in plain


def test_a_put_never_overwrites() -> None:
    write = Write.put("things", {"owner": "ada", "id": "t-1", "n": 1}, Conflict("exists"))
    assert write.arguments["Item"] == {"owner": {"S": "ada"}, "id": {"S": "t-1"}, "n": {"N": "1"}}
    assert write.arguments["ConditionExpression"] == "attribute_not_exists(id)"
