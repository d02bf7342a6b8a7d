"""The search index on a real table: it finds what a look at every version would, for a price that does not grow.

Run: python -m pytest tests/api/test_search_index.py
"""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from benchmarks import registry_rows
from benchmarks.meter import Meter
from lambdas.common import aws, items
from lambdas.common.errors import BadRequest, Unavailable
from lambdas.common.ids import earliest_id, new_id
from lambdas.common.pages import Page, encode_cursor
from lambdas.models import postings, search_index
from lambdas.models.postings import next_ordinal
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion
from lambdas.models.search_index import add, extend, remove, retract, search
from lambdas.models.search_terms import Filter, matches, milliseconds, words_of

pytestmark = pytest.mark.thorough

SMALL = 8  # versions in a segment, so that a few versions make many
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
APART = timedelta(minutes=10)  # between two versions of `registry`
NAMES = ["Iris forest", "Iris tree", "Sales forest of B", "Speech to text", "Résumé ranker 50"]
TAGS = ["gold", "silver", "Team A", "2026", "rare"]


@pytest.fixture
def owner() -> str:
    return new_id("job").replace("job", "user")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "SEGMENT", SMALL)


def made(owner: str, at: datetime | None = None, **fields: Any) -> ModelVersion:
    """A version that searches find, created now or at a given time."""
    chosen = {}
    if at:
        id = earliest_id("mdl", milliseconds(at))[:-9] + new_id("mdl")[-9:]
        chosen = {"id": id, "created_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    fixed = {"owner": owner, "id": new_id("mdl"), "ordinal": next_ordinal(owner), "status": "ready", "version": "v1"}
    kinds = {"model_id": "iris", "name": "Iris", "framework": "sklearn", "model_type": "classification"}
    version = ModelVersion.model_validate({**fixed, **kinds, **chosen, **fields})
    add(version)
    return MODELS.create(version)


def changed(before: ModelVersion, **changes: Any) -> ModelVersion:
    """Change a version as the registry does."""
    after = before.model_copy(update=changes)
    extend(before, after)
    stored = MODELS.update(before, **changes)
    retract(before, after)
    return stored


def deleted(version: ModelVersion) -> None:
    MODELS.delete(version)
    remove(version)


@pytest.fixture(scope="module")
def registry(stage: None) -> Iterator[list[ModelVersion]]:
    """One owner's 90 versions, newest first, as unlike each other as they get; some changed, some deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "SEGMENT", SMALL)
        chance = random.Random(1)
        owner = new_id("job").replace("job", "user")

        def fields() -> dict[str, Any]:
            return {
                "model_id": chance.choice(["iris", "sales", "speech"]),
                "name": chance.choice(NAMES),
                "description": chance.choice([None, "A tree of trees"]),
                "tags": chance.sample(TAGS, chance.randrange(4)),
                "framework": chance.choice(["sklearn", "onnx"]),
                "model_type": chance.choice(["classification", "nlp"]),
                "visibility": chance.choice(["private", "shared"]),
                "is_production_ready": chance.random() < 0.2,
                "base_model": chance.choice([None, "ada/bert@v1"]),
            }

        versions = [made(owner, NOON + number * APART, **fields()) for number in range(90)]
        for version in chance.sample(versions, 15):
            versions[versions.index(version)] = changed(version, **fields())
        for version in chance.sample(versions, 10):
            versions.remove(version)
            deleted(version)
        yield sorted(versions, key=lambda version: (version.ordinal // SMALL, version.id), reverse=True)


def pages(owner: str, filter: Filter, limit: int) -> Iterator[Page[ModelVersion]]:
    """Every page of a search."""
    cursor = None
    while True:
        page = search(owner, filter, limit, cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def ids(versions: list[ModelVersion]) -> list[str]:
    return [version.id for version in versions]


def some_filter(chance: random.Random) -> Filter:
    """A filter that asks for a few things."""

    def maybe(value: Any, other: Any = None) -> Any:
        return value if chance.random() < 0.3 else other

    return Filter(
        model_id=maybe("iris"),
        framework=maybe("onnx"),
        model_type=maybe("nlp"),
        tags=tuple(chance.sample(TAGS, maybe(chance.randrange(1, 3), 0))),
        production=maybe(chance.random() < 0.5),
        shared_only=maybe(True, False),
        base_model=maybe("ada/bert@v1"),
        words=tuple(words_of(maybe(chance.choice(["ir", "FOREST of", "tree", "b", "ranker res", "speech 5"]), ""))),
        created_after=maybe(NOON + chance.randrange(-10, 100) * APART),
        created_before=maybe(NOON + chance.randrange(-10, 100) * APART),
    )


# ------------------------------------------------------------------------------- what is found, and in which order


@pytest.mark.parametrize("seed", range(5))
def test_a_search_finds_what_a_look_at_every_version_finds(registry: list[ModelVersion], seed: int) -> None:
    chance, owner = random.Random(seed), registry[0].owner
    for _ in range(20):
        filter, limit = some_filter(chance), chance.choice([2, 7, 50])
        expected = ids([version for version in registry if matches(version, filter)])
        read = list(pages(owner, filter, limit))
        assert [version.id for page in read for version in page.items] == expected, filter
        assert all(len(page.items) == limit for page in read[:-1]), "a page before the last is full"
        assert len(read) == 1 or read[-1].items, "no empty page at the end"
        skip = chance.randrange(10)
        assert ids(search(owner, filter, limit, None, skip).items) == expected[skip : skip + limit]


def test_every_single_filter_alone(registry: list[ModelVersion]) -> None:
    singles: list[dict[str, Any]] = [
        {},
        *({"model_id": name} for name in ("iris", "sales", "nothing")),
        *({"framework": name} for name in ("onnx", "sklearn", "keras")),
        {"model_type": "nlp"},
        *({"tags": tags} for size in (1, 2, 3) for tags in itertools.combinations(TAGS, size)),
        {"production": True},
        {"production": False},
        {"shared_only": True},
        {"base_model": "ada/bert@v1"},
        *({"words": tuple(words_of(text))} for text in ("tree", "re", "résumé 5", "of trees", "b", "zebra")),
        {"created_after": NOON + 40 * APART},
        {"created_before": NOON + 40 * APART},
        {"created_after": NOON + 40 * APART, "created_before": NOON + 41 * APART},
        {"created_before": datetime.min},
        {"created_after": datetime.max},
    ]
    for asked in singles:
        expected = ids([version for version in registry if matches(version, Filter(**asked))])
        found = search(registry[0].owner, Filter(**asked), 200, load=MODELS.get_many)
        assert (ids(found.items), found.next_cursor) == (expected, None), asked


def test_newest_first_and_what_is_found_is_the_record(registry: list[ModelVersion]) -> None:
    found = search(registry[0].owner, Filter(), 10).items
    assert found == registry[:10]
    assert [version.created_at for version in found] == sorted((v.created_at for v in found), reverse=True)


def test_two_owners_never_see_each_other(owner: str) -> None:
    theirs = made(owner, tags=["a#all"])
    other = made(f"{owner}2", tags=["a#all"])
    assert ids(search(owner, Filter(tags=("a#all",)), 10).items) == [theirs.id]
    assert ids(search(other.owner, Filter(), 10).items) == [other.id]
    assert ids(search(f"{owner}#tag:a", Filter(), 10).items) == []
    cursor = encode_cursor(f"{999:09d}{other.id}")
    assert ids(search(owner, Filter(), 10, cursor).items) == [theirs.id]


@pytest.mark.parametrize("position", ["x", "000000001", "00000000", f"000000001{'a' * 23}", "-00000001"])
def test_a_cursor_that_is_not_ours_is_refused(owner: str, position: str) -> None:
    if position == "000000001":
        assert search(owner, Filter(), 10, encode_cursor(position)).items == []
        return
    with pytest.raises(BadRequest) as refused:
        search(owner, Filter(), 10, encode_cursor(position))
    assert refused.value.errors == [{"field": "cursor", "message": "not a cursor"}]


# ------------------------------------------------------------------------------------------ changes and deletions


def test_a_change_is_found_by_what_it_became_and_not_by_what_it_was(owner: str) -> None:
    version = made(owner, name="Iris forest", tags=["gold"])
    changed(version, name="Sales tree", tags=["gold", "silver"])
    assert ids(search(owner, Filter(words=("sales",), tags=("gold", "silver")), 5).items) == [version.id]
    assert lists_of(owner, "word:forest") == lists_of(owner, "word:ir") - {version.id} == set()
    assert lists_of(owner, "tag:gold") == lists_of(owner, "tag:silver") == {version.id}


def test_adding_and_removing_again_changes_nothing(owner: str) -> None:
    first, second = made(owner, tags=["gold"]), made(owner, tags=["gold"])
    for _ in range(2):
        add(first)
        remove(second)
        MODELS.get(owner, first.id)
    assert lists_of(owner, "tag:gold") == lists_of(owner, "all") == {first.id}


def test_what_nobody_is_on_leaves_the_table(owner: str) -> None:
    versions = [made(owner, name=f"Iris {number}", tags=["gold"]) for number in range(SMALL)]
    assert len(keys_of(owner)) > 10
    for version in versions:
        deleted(version)
    assert keys_of(owner) == {f"{owner}#ordinals", f"{owner}#segments"}


def test_what_the_index_knows_too_much_is_not_answered(owner: str) -> None:
    kept = [made(owner, tags=["gold"]) for _ in range(5)]
    absent = ModelVersion.model_validate(kept[0].model_dump() | {"id": new_id("mdl"), "ordinal": next_ordinal(owner)})
    add(absent)  # its record was never stored
    stale = made(owner, tags=["gold"])
    MODELS.update(stale, tags=["silver"])  # and then the function was killed
    private = made(owner, tags=["gold"], visibility="shared")
    MODELS.update(private, visibility="private")
    leaving = made(owner, tags=["gold"])
    MODELS.update(leaving, status="deleting")
    found = list(pages(owner, Filter(tags=("gold",)), 2))
    assert [version.id for page in found for version in page.items] == [private.id, *reversed(ids(kept))]
    assert [len(page.items) for page in found] == [2, 2, 2]
    assert search(owner, Filter(shared_only=True), 5).items == []


def test_a_tag_that_two_writers_take_and_give_back_at_once_stays_found(
    owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between one writer's steps: the other's whole change, or half of it."""
    taken = postings.take_from
    for half in ("extended", "stored", "done"):
        before = made(owner, tags=["gold"])
        after = before.model_copy(update={"tags": ["silver"]})
        extend(before, after)
        after = MODELS.update(before, tags=["silver"])
        back = after.model_copy(update={"tags": ["gold"]})
        others: list[Callable[[], Any]] = [
            lambda after=after, back=back: extend(after, back),
            lambda after=after: MODELS.update(after, tags=["gold"]),
            lambda after=after, back=back: retract(after, back),
        ]
        now = {"extended": 1, "stored": 2, "done": 3}[half]

        def take(terms: Any, version: ModelVersion, others: Any = others, now: int = now) -> None:
            monkeypatch.setattr(search_index, "take_from", taken)
            for step in others[:now]:
                step()
            taken(terms, version)

        monkeypatch.setattr(search_index, "take_from", take)
        retract(before, after)
        for step in others[now:]:
            step()
        assert before.id in ids(search(owner, Filter(tags=("gold",)), 10).items), half
        assert before.id not in lists_of(owner, "tag:silver"), half


def test_many_threads_at_once_lose_nobody(owner: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(lambda number: made(owner, tags=["gold", f"n{number % 3}"]), range(40)))
    assert sorted(version.ordinal for version in versions) == list(range(1, 41))
    assert {version.id for version in versions} == set(ids(search(owner, Filter(tags=("gold",)), 100).items))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda version: changed(version, tags=["silver"]), versions[:20]))
        list(threads.map(deleted, versions[20:]))
    assert lists_of(owner, "tag:silver") == lists_of(owner, "all") == set(ids(versions[:20]))
    assert lists_of(owner, "tag:gold") == set()


def test_pages_read_while_others_write_have_everything_once_that_was_there_all_the_time(owner: str) -> None:
    chance = random.Random(3)
    versions = [made(owner, NOON + number * APART, tags=["gold"]) for number in range(60)]
    staying, leaving = versions[::2], versions[1::2]
    seen: list[str] = []
    cursor = None
    while True:
        page = search(owner, Filter(tags=("gold",)), 5, cursor)
        seen += ids(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
        made(owner, tags=["gold"])
        deleted(leaving.pop(chance.randrange(len(leaving))))
        changed(leaving.pop(chance.randrange(len(leaving))), tags=[])
        place = chance.randrange(len(staying))
        staying[place] = changed(staying[place], name="Another name", description="and more words")
    assert len(seen) == len(set(seen))
    assert set(ids(staying)) <= set(seen)


# ---------------------------------------------------------------------------------------------------------- the price


def price(owner: str, filter: Filter, limit: int, **more: Any) -> tuple[dict[str, int], int, int]:
    """What a search asked of DynamoDB: requests by kind, items read, versions returned."""
    with Meter(aws.client("dynamodb")) as meter:
        page = search(owner, filter, limit, **more)
    return dict(meter.requests), meter.items, len(page.items)


def stored(owner: str, count: int) -> None:
    """Store as many versions, as `add` would have left them."""
    versions = list(registry_rows.rows(owner, count))
    client = aws.client("dynamodb")
    registry_rows.write_all(client, MODELS.table, registry_rows.record_items(versions))
    registry_rows.write_all(client, os.environ["MODELS_INDEX_TABLE"], registry_rows.index_items(versions))


REALISTIC: list[dict[str, Any]] = [
    {},
    {"tags": ("stage-0",)},
    {"tags": ("stage-0", "area-vision")},
    {"words": ("transf",)},
    {"words": ("vision", "trans"), "framework": "pytorch"},
    {"model_id": "vision-forest-00002"},
    {"framework": "sklearn", "model_type": "classification", "production": False},
    {"created_before": NOON.replace(month=1, day=1, hour=0, minute=15)},
]


def test_a_page_costs_the_same_however_many_versions_there_are(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "SEGMENT", 500)
    monkeypatch.setattr(registry_rows, "SEGMENT", 500)
    stored(owner, 2000)
    stored(f"{owner}2", 6000)  # the newest segments are as the other's: areas and kinds come round every 500
    for asked in REALISTIC:
        few, many = (price(name, Filter(**asked), 10) for name in (owner, f"{owner}2"))
        requests, items, returned = many
        assert few == many, asked
        assert returned == 10
        assert items <= 2 * returned, asked
        assert set(requests) <= {"Query", "BatchGetItem"}
        assert sum(requests.values()) <= 4, asked


def test_what_the_benchmark_stores_is_what_add_stores(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_rows, "SEGMENT", SMALL)
    versions = list(registry_rows.rows(owner, 20))
    for version in versions:
        next_ordinal(owner)
        add(version)
    expected = {(item["term"]["S"], item["segment"]["S"]): item for item in registry_rows.index_items(versions)}
    found = items_of(owner)
    assert found.keys() == expected.keys()
    assert all(sorted_set(found[key]) == sorted_set(expected[key]) for key in found)


def test_a_term_that_few_have_takes_the_lead(owner: str) -> None:
    rare = [3, 20]
    for number in range(64):
        made(owner, NOON + number * APART, name="Forest", tags=["gold"] + (["rare"] if number in rare else []))
    found = search(owner, Filter(words=("forest",), tags=("rare",)), 10)
    assert len(found.items) == len(rare)
    requests, items, _ = price(owner, Filter(words=("forest",), tags=("rare",)), 10)
    assert items <= 8, "two lists of `forest`, then the two of `rare` with theirs, and two records"
    assert sum(requests.values()) <= 5


def test_a_page_reads_so_much_and_no_more(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "SEGMENT", 4)
    versions = [made(owner, NOON + n * APART, tags=["gold" if n % 2 else "silver", "x"]) for n in range(47)]
    never, last = Filter(tags=("gold", "silver")), Filter(tags=("x",), framework="sklearn", words=("iris",))
    monkeypatch.setattr(search_index, "MAX_SEGMENTS", 4)
    _, items, returned = price(owner, never, 10)
    assert (returned, items) == (0, 8)
    read = list(pages(owner, never, 10))
    assert [page.items for page in read] == [[]] * len(read)
    assert len(read) == 3, "twelve segments, four a page"
    assert [version.id for page in pages(owner, last, 50) for version in page.items] == ids(versions)[::-1]


def test_records_are_asked_for_so_often_and_no_more(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [made(owner, tags=["gold"]) for _ in range(12)]
    for version in versions[1:]:
        MODELS.update(version, tags=[])  # all that follow are on a list that they should not be on
    monkeypatch.setattr(search_index, "MAX_LOADS", 3)
    first = search(owner, Filter(tags=("gold",)), 2)
    assert (first.items, first.next_cursor is None) == ([], False)
    read = list(pages(owner, Filter(tags=("gold",)), 2))
    assert [version.id for page in read for version in page.items] == [versions[0].id]


def test_what_is_skipped_is_not_read(registry: list[ModelVersion]) -> None:
    owner = registry[0].owner
    _, items, returned = price(owner, Filter(), 5, skip=60)
    assert returned == 5
    assert items <= 5 + len(registry) // SMALL + 4
    assert search(owner, Filter(), 5, skip=10**9).items == []


def test_a_page_by_time_starts_near_it(registry: list[ModelVersion]) -> None:
    owner = registry[0].owner
    middle = Filter(created_after=NOON + 40 * APART, created_before=NOON + 50 * APART)
    requests, items, returned = price(owner, middle, 50)
    assert returned == len([version for version in registry if matches(version, middle)]) > 5
    assert items <= 2 + 4 + returned, "two notes of segments, the segments from the one to the other, and the records"
    assert requests["Query"] <= 4


def test_a_segment_whose_first_version_never_came_is_searched_all_the_same(owner: str) -> None:
    versions = []
    for number in range(1, 33):
        if number in (16, 17):  # the first of the third segment, and one more: killed before they were stored
            next_ordinal(owner)
        else:
            versions.append(made(owner, NOON + number * APART))
    for number in range(34):
        moment = NOON + number * APART
        for asked in (Filter(created_after=moment), Filter(created_before=moment)):
            expected = [version.id for version in reversed(versions) if matches(version, asked)]
            assert ids(search(owner, asked, 100).items) == expected, asked


# ------------------------------------------------------------------------------------------------------- many records


def test_many_records_come_in_the_order_asked_and_absent_ones_are_left_out(owner: str) -> None:
    versions = list(registry_rows.rows(owner, 230))
    client = aws.client("dynamodb")
    registry_rows.write_all(client, MODELS.table, registry_rows.record_items(versions))
    wanted = random.Random(5).sample(ids(versions), 230)
    with Meter(client) as meter:
        found = MODELS.get_many(owner, [*wanted[:100], new_id("mdl"), *wanted[100:]])
    assert ids(found) == wanted
    assert found[0] == MODELS.get(owner, wanted[0])
    assert meter.requests == {"BatchGetItem": 3}
    assert ids(MODELS.get_many(owner, [wanted[0], wanted[0]])) == [wanted[0]] * 2
    assert MODELS.get_many(owner, []) == MODELS.get_many(f"{owner}2", wanted[:5]) == []


class Throttled:
    """Takes away the end of what BatchGetItem answers, as a table does past 16 MB or its throughput."""

    def __init__(self, keep: int, times: int) -> None:
        self.keep, self.times = keep, times

    def __call__(self, parsed: dict[str, Any], **_: Any) -> None:
        if self.times:
            self.times -= 1
            for table, items in parsed["Responses"].items():
                unread = [{name: item[name] for name in ("owner", "id")} for item in items[self.keep :]]
                parsed["UnprocessedKeys"] = {table: {"Keys": unread, "ConsistentRead": True}}
                del items[self.keep :]


def test_what_dynamodb_leaves_unread_is_asked_for_again(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = list(registry_rows.rows(owner, 30))
    client = aws.client("dynamodb")
    registry_rows.write_all(client, MODELS.table, registry_rows.record_items(versions))
    waits: list[float] = []
    monkeypatch.setattr(items.time, "sleep", waits.append)
    for throttled, error in ((Throttled(4, 5), False), (Throttled(0, 4), False), (Throttled(0, 100), True)):
        waits.clear()
        client.meta.events.register("after-call.dynamodb.BatchGetItem", throttled)
        try:
            if error:
                with pytest.raises(Unavailable) as busy:
                    MODELS.get_many(owner, ids(versions))
                assert busy.value.retry_after
            else:
                assert MODELS.get_many(owner, ids(versions)) == versions
        finally:
            client.meta.events.unregister("after-call.dynamodb.BatchGetItem", throttled)
        assert 0 < len(waits) < 8
        assert max(waits) < 5


# ----------------------------------------------------------------------------------------- what is in the index's table


def items_of(owner: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Every item of an owner's in the index, by key."""
    scan = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=os.environ["MODELS_INDEX_TABLE"])
    items = [item for page in scan for item in page["Items"] if item["term"]["S"].startswith(f"{owner}#")]
    return {(item["term"]["S"], item["segment"]["S"]): item for item in items}


def keys_of(owner: str) -> set[str]:
    return {term for term, _ in items_of(owner)}


def lists_of(owner: str, term: str) -> set[str]:
    """The ids on a term's lists."""
    return {
        id for (name, _), item in items_of(owner).items() if name == f"{owner}#{term}" for id in postings.ids_of(item)
    }


def sorted_set(item: dict[str, Any]) -> dict[str, Any]:
    return item | ({"ids": sorted(item["ids"]["SS"])} if "ids" in item else {})
