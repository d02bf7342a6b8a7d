"""The versions that registries are compared by, and the items that our tables hold for them."""

import datetime
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from lambdas.common.ids import CROCKFORD, earliest_id
from lambdas.common.items import Item, to_item
from lambdas.models.postings import SEGMENT, posting_key, segment_key
from lambdas.models.schemas import ModelVersion
from lambdas.models.search_terms import terms_of

BEGAN = 1_767_225_600_000  # the first version's time, in milliseconds
APART = 1000  # milliseconds between two
VERSIONS_PER_MODEL = 10
AREAS = ["churn", "fraud", "vision", "speech", "pricing", "ranking", "routing", "weather", "energy", "retail"]
KINDS = ["forest", "transformer", "boosting", "regression", "clustering"]
TEAMS = ["atlas", "borealis", "cygnus", "draco", "eridanus", "fornax", "gemini", "hydra", "indus", "lyra"]


def rows(owner: str, count: int) -> Iterator[ModelVersion]:
    """Yield versions as a team would have them: ten of each model, three tags each, oldest first.

    What a version is depends on its number alone, so that one stretch of rows is much like any other.
    """
    chance = random.Random(7)
    for number in range(count):
        model, nth = divmod(number, VERSIONS_PER_MODEL)
        area, kind = AREAS[model % 10], KINDS[model // 10 % 5]
        milliseconds = BEGAN + number * APART
        created = f"{moment(milliseconds)}.000Z"
        unique = "".join(chance.choices(CROCKFORD, k=9))
        yield ModelVersion(
            owner=owner,
            id=earliest_id("mdl", milliseconds)[:-9] + unique,
            model_id=f"{area}-{kind}-{model:05d}",
            name=f"{area.capitalize()} {kind} {model:05d}",
            version=f"v{nth + 1}",
            ordinal=number + 1,
            indexed=True,
            description=f"Predicts {area} with a {kind} for the team {TEAMS[model % 7]}.",
            framework="sklearn" if model % 2 else "pytorch",
            model_type="classification",
            tags=[f"area-{area}", f"stage-{nth % 4}", f"team-{TEAMS[chance.randrange(10)]}"],
            status="ready",
            verdict="clean",
            file_count=2,
            size_bytes=1_000_000 + number,
            test_accuracy=0.9,
            created_at=created,
            updated_at=created,
        )


def moment(milliseconds: int) -> str:
    """Return a time as ISO 8601 to the second."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def record_items(versions: Iterable[ModelVersion]) -> Iterator[Item]:
    """Yield what the table of models holds: records and the pointers to them."""
    latest: dict[str, ModelVersion] = {}
    for version in versions:
        yield to_item(version)
        yield pointer(version.owner, f"name#{version.model_id}#{version.version}", version.id)
        latest[version.model_id] = version
    for version in latest.values():
        number = {"number": {"N": version.version.removeprefix("v")}}
        yield pointer(version.owner, f"latest#{version.model_id}", version.id) | number


def pointer(owner: str, id: str, target: str) -> Item:
    """Return a pointer item."""
    return {"owner": {"S": owner}, "id": {"S": id}, "target": {"S": target}}


def index_items(versions: Iterable[ModelVersion]) -> Iterator[Item]:
    """Yield what the index holds once the versions, all of one owner and in order, have been added to it."""
    lists: dict[str, list[str]] = defaultdict(list)
    version = None
    for version in versions:
        segment, place = divmod(version.ordinal, SEGMENT)
        if place == 0:
            yield from list_items(version.owner, segment - 1, lists)
            lists.clear()
            yield {
                "term": {"S": f"{version.owner}#segments"},
                "segment": {"S": version.id[:-9] + "0" * 9},
                "number": {"N": str(segment)},
            }
        for term in terms_of(version):
            lists[term].append(version.id)
    if version:
        yield from list_items(version.owner, version.ordinal // SEGMENT, lists)
        yield posting_key(version.owner, "ordinals", 0) | {"number": {"N": str(version.ordinal)}}


def list_items(owner: str, segment: int, lists: dict[str, list[str]]) -> Iterator[Item]:
    """Yield the lists of one segment."""
    for term, ids in lists.items():
        yield {"term": {"S": f"{owner}#{term}"}, "segment": {"S": segment_key(segment)}, "ids": {"SS": ids}}


def write_all(client: Any, table: str, items: Iterable[Item]) -> int:
    """Write items 25 at a time; return how many."""
    count, batch = 0, []
    for item in items:
        batch.append({"PutRequest": {"Item": item}})
        count += 1
        if len(batch) == 25:
            write(client, table, batch)
            batch = []
    if batch:
        write(client, table, batch)
    return count


def write(client: Any, table: str, batch: list[Item]) -> None:
    """Write one batch; raises when anything of it is left."""
    answer = client.batch_write_item(RequestItems={table: batch})
    assert not answer["UnprocessedItems"], answer["UnprocessedItems"]
