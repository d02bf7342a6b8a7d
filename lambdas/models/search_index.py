"""Which versions match a search, without reading the others.

Each version is on the posting lists of its terms (search_terms, postings). It is put there before its record has the
term and taken away after the record has lost it: the index may know more than the records, never less, and what it
says is checked against them.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from lambdas.common.errors import BadRequest
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.models.postings import (
    note_segment,
    put_into,
    read_newest,
    read_segments,
    segment_at,
    segment_key,
    take_from,
)
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion
from lambdas.models.search_terms import Filter, ids_within, matches, terms_for, terms_of

FIRST_READ, MOST_READ = 2, 32  # segments of the leading term that one request reads, doubling
MAX_SEGMENTS = 256  # of the leading term that one page reads
MAX_LOADS = 10  # requests for records that one page makes
MAX_SKIP = 10_000
LAST_SEGMENT = 999_999_999
CLOCKS = timedelta(minutes=1)  # more than the clocks of two functions ever differ by
POSITION = re.compile(r"([0-9]{9})(mdl-[0-9a-z]{19})?")

Load = Callable[[str, list[str]], list[ModelVersion]]


def add(version: ModelVersion) -> None:
    """Let searches find a version; again is no error."""
    note_segment(version)
    put_into(terms_of(version), version)


def extend(before: ModelVersion, after: ModelVersion) -> None:
    """Let searches find a version by what it is about to become; then store that, then `retract`."""
    put_into(terms_of(after) - terms_of(before), after)


def retract(before: ModelVersion, after: ModelVersion) -> None:
    """Let searches no longer find a version by what it was, now that what it became is stored.

    Another writer may be giving back what we take away. If its record is stored before we look, we see that and put
    the version back; if after, the other's own `retract` does, which adds again what its `extend` had added.
    """
    old, new = terms_of(before), terms_of(after)
    put_into(new - old, after)
    take_from(old - new, before)
    for current in MODELS.get_many(after.owner, [after.id]) if old - new else []:
        put_into(terms_of(current) & (old - new), current)


def remove(version: ModelVersion) -> None:
    """Let searches no longer find a version whose record is gone; again is no error."""
    take_from(terms_of(version), version)


def search(
    owner: str, filter: Filter, limit: int, cursor: str | None = None, skip: int = 0, load: Load = MODELS.get_many
) -> Page[ModelVersion]:
    """Return a page of the owner's versions that match, newest first, past the first `skip` (10,000 at most).

    What is skipped is counted by the index alone. A page comes back with fewer than `limit` and a next one where
    filling it would take more than MAX_SEGMENTS or MAX_LOADS.
    """
    walk = Walk(owner, filter, position_in(cursor) if cursor else None)
    walk.take(min(skip, MAX_SKIP))
    found: list[ModelVersion] = []
    for _ in range(MAX_LOADS):
        ids = walk.take(limit - len(found))
        found += [version for version in load(owner, ids) if matches(version, filter)] if ids else []
        if not ids or len(found) == limit:
            break
    return Page(items=found, next_cursor=walk.cursor())


class Position(NamedTuple):
    """A place in the order of an owner's versions, newest first; without an id, the end of a segment."""

    segment: int
    id: str


class Walk:
    """The ids on all the lists of a filter's terms, from the newest, read as far as they are asked for.

    One term leads: its lists are queried, and of the other terms only the lists of the same segments. Where another
    one turns out to have few lists there, it leads from then on.
    """

    def __init__(self, owner: str, filter: Filter, start: Position | None) -> None:
        self.owner = owner
        self.terms = terms_for(filter)
        self.least_id, self.bound = ids_within(filter)
        self.lowest, self.unread = segments_within(owner, filter)  # `unread` is the newest segment not read yet
        if start:
            self.unread = min(self.unread, start.segment if start.id else start.segment - 1)
        self.start = self.taken = start
        self.ready: list[Position] = []
        self.reads, self.segments_left = FIRST_READ, MAX_SEGMENTS

    def take(self, count: int) -> list[str]:
        """Return the next `count` ids; fewer at the end, and when this walk has read what it may."""
        self.read(count)
        taken, self.ready = self.ready[:count], self.ready[count:]
        self.taken = taken[-1] if taken else self.taken
        return [position.id for position in taken]

    def cursor(self) -> str | None:
        """Return where to go on after what was taken, or None when that was all."""
        self.read(1)
        if not self.ready and self.unread < self.lowest:
            return None
        after = self.taken if self.ready and self.taken else Position(self.unread + 1, "")
        return encode_cursor(segment_key(after.segment) + after.id)

    def read(self, count: int) -> None:
        """Read on until `count` ids are ready, if there are as many."""
        while len(self.ready) < count and self.unread >= self.lowest and self.segments_left > 0:
            for segment, ids in self.next_segments():
                self.ready += [Position(segment, id) for id in sorted(ids, reverse=True) if self.wants(segment, id)]

    def wants(self, segment: int, id: str) -> bool:
        """Return whether an id is of the right time and comes after the start."""
        passed = self.start is not None and segment == self.start.segment and id >= self.start.id
        return not passed and self.least_id <= id < self.bound

    def next_segments(self) -> list[tuple[int, set[str]]]:
        """Read the next segments; return what is on all lists of each, newest first."""
        leading, *others = self.terms
        count = min(self.reads, self.segments_left)
        lists, more = read_newest(self.owner, leading, self.lowest, self.unread, count)
        self.reads = min(self.reads * 2, MOST_READ)
        self.segments_left -= len(lists)
        self.unread = min(lists) - 1 if more else self.lowest - 1
        found = read_segments(self.owner, others, lists)
        rarest = min(others, key=lambda term: len(found[term]), default=leading)
        if others and 2 * len(found[rarest]) < len(lists):
            self.terms = [rarest, *(term for term in self.terms if term != rarest)]
        return [
            (segment, ids.intersection(*(found[term].get(segment, ()) for term in others)))
            for segment, ids in lists.items()
        ]


def segments_within(owner: str, filter: Filter) -> tuple[int, int]:
    """Return the lowest and highest segment in which there can be a version that the filter's times allow.

    The first version of a segment may be about to be added still, or never come: hence one more at the end.
    """
    after, before = filter.created_after, filter.created_before
    lowest = segment_at(owner, after, -CLOCKS) if after else 0
    return lowest, segment_at(owner, before, CLOCKS) + 1 if before else LAST_SEGMENT


def position_in(cursor: str) -> Position:
    """Return the position in a cursor of `search`; raises BadRequest for anything else."""
    found = POSITION.fullmatch(decode_cursor(cursor))
    if found is None:
        errors: Any = [{"field": "cursor", "message": "not a cursor"}]
        raise BadRequest("The cursor is not one this API made; start again without it.", errors=errors)
    return Position(int(found[1]), found[2] or "")
