"""The history of a job's metrics, kept in blocks, so that a plot costs what it shows and not what was printed.

Level 0 holds every progress line, a hundred to an item. Each level above has a point for every ten of the level
below, again a hundred to an item: for each metric its last value, lowest and highest. A plot reads the coarsest
level that has points enough. Adding a line twice, or lines in any order, gives the same blocks: a point is the last,
lowest and highest of a set of lines, whichever way the set came together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import Field

from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.store import Entity, EntityStore
from lambdas.jobs.schemas import Job, MetricPoint
from lambdas.jobs.watched import MetricSeries, SeriesPoint

BLOCK = 100  # points in an item
STEP = 10  # points of a level that become one on the next
LEVELS = 4
MAX_NAMES = 32  # metrics in a block; with names of 64 characters it stays under DynamoDB's 400 KB
# One metric over the lines of a point: [sequence, time in ms, epoch, step, value, low, high].
Sample = list[float | None]


class Lines(Entity):
    """Level 0: the lines of one block by their sequence."""

    points: dict[str, MetricPoint] = Field(default_factory=dict)

    def contents(self) -> dict[str, Any]:
        return {"points": self.points}


class Samples(Entity):
    """A level above: of each metric the samples of one block by their number on the level."""

    level: int
    series: dict[str, dict[str, Sample]] = Field(default_factory=dict)

    def contents(self) -> dict[str, Any]:
        return {"series": self.series}


Block = TypeVar("Block", Lines, Samples)
LINES = EntityStore("JOBS_TABLE", Lines, "block of metrics")
SAMPLES = EntityStore("JOBS_TABLE", Samples, "block of metrics")


def keep(job: Job, lines: Iterable[MetricPoint]) -> int:
    """Add progress lines of a job; return how many of them are new."""
    parts: dict[str, list[MetricPoint]] = defaultdict(list)
    levels: dict[str, int] = {}
    for line in lines:
        for level in range(LEVELS):
            id = block_id(job.id, level, line.sequence // STEP**level // BLOCK)
            parts[id].append(line)
            levels[id] = level
    finest = [Lines(owner=job.owner, id=id) for id, level in levels.items() if level == 0]
    coarser = [Samples(owner=job.owner, id=id, level=level) for id, level in levels.items() if level > 0]
    kept = settle(LINES, finest, lambda block: added(block, parts[block.id]))
    settle(SAMPLES, coarser, lambda block: joined(block, parts[block.id]))
    return sum(len(after.points) - len(before.points) for before, after in kept)


def settle(
    store: EntityStore[Block], blocks: list[Block], change: Callable[[Block], Block]
) -> list[tuple[Block, Block]]:
    """Store a change of every block, empty ones here, whoever else changes them meanwhile; return before and after."""
    done, pending = [], blocks
    while pending:
        known = {block.id: block for block in store.get_many(pending[0].owner, [block.id for block in pending])}
        again = []
        for empty in pending:
            before = known.get(empty.id, empty)
            after = change(before)
            try:
                if empty.id not in known:
                    store.create(after)
                elif after != before:
                    store.update(before, **after.contents())
                done.append((before, after))
            except Conflict:  # somebody else stored it since: add to theirs
                again.append(empty)
        pending = again
    return done


def added(block: Lines, lines: Iterable[MetricPoint]) -> Lines:
    """Return a block with lines in it. A line that a resumed run printed again replaces the first."""
    points = dict(block.points)
    for line in lines:
        known = points.get(str(line.sequence))
        if known is None or (line.time, line.model_dump_json()) > (known.time, known.model_dump_json()):
            points[str(line.sequence)] = line
    return block.model_copy(update={"points": points})


def joined(block: Samples, lines: Iterable[MetricPoint]) -> Samples:
    """Return a block of a level above 0 with lines in its samples."""
    series = {name: dict(samples) for name, samples in block.series.items()}
    for line in lines:
        number = str(line.sequence // STEP**block.level)
        for name, sample in samples_of(line).items():
            samples = series.setdefault(name, {})
            samples[number] = join(samples[number], sample) if number in samples else sample
    return block.model_copy(update={"series": {name: series[name] for name in sorted(series)[:MAX_NAMES]}})


def samples_of(line: MetricPoint) -> dict[str, Sample]:
    """Return a line as a sample of each of its metrics."""
    at = datetime.fromisoformat(line.time).timestamp() * 1000
    return {n: [line.sequence, at, line.epoch, line.step, value, value, value] for n, value in line.metrics.items()}


def join(one: Sample, other: Sample) -> Sample:
    """Return the sample of the lines of both: the later one's value, the range of the two."""

    def order(sample: Sample) -> list[float]:
        return [-1.0 if figure is None else figure for figure in sample]

    later = max(one, other, key=order)
    return [*later[:5], min(one[5], other[5]), max(one[6], other[6])]  # pyright: ignore  # the range is never None


def page(job: Job, limit: int, cursor: str | None) -> Page[MetricPoint]:
    """Return a page of the lines, newest first; raises BadRequest for a cursor that is none."""
    before = _position(cursor) if cursor else None
    start = None if before is None else encode_cursor(block_id(job.id, 0, before // BLOCK + 1))
    blocks = LINES.list(job.owner, level_prefix(job.id, 0), 1 + -(-limit // BLOCK), start)
    points = [point for block in blocks.items for point in block.points.values()]
    points = sorted((point for point in points if before is None or point.sequence < before), key=lambda p: -p.sequence)
    more = len(points) > limit or blocks.next_cursor is not None
    shown = points[:limit]
    return Page(items=shown, next_cursor=encode_cursor(str(shown[-1].sequence)) if more and shown else None)


def series(job: Job, points: int) -> MetricSeries:
    """Return every metric in at most `points` points, reading about a tenth as many items at the most."""
    newest = LINES.list(job.owner, level_prefix(job.id, 0), 1, None).items
    lines = max((point.sequence for block in newest for point in block.points.values()), default=0)
    level = max((n for n in range(LEVELS) if lines // STEP**n >= points), default=0)
    width = -(-(lines + 1) // points)  # lines to a point
    found: dict[str, dict[int, Sample]] = defaultdict(dict)
    for name, sample in _read(job, level):
        thinned, number = found[name], int(sample[0] or 0) // width
        thinned[number] = join(thinned[number], sample) if number in thinned else sample
    shown = {name: [_point(samples[number]) for number in sorted(samples)] for name, samples in sorted(found.items())}
    return MetricSeries(lines=lines, lines_per_point=width, series=shown)


def delete(owner: str, id: str) -> None:
    """Delete what is kept of a job's metrics."""
    blocks = EntityStore("JOBS_TABLE", Entity, "block of metrics")
    while found := blocks.list(owner, f"metric#{id}#", 100, None).items:
        for block in found:
            blocks.delete(block)


def block_id(job_id: str, level: int, number: int) -> str:
    """Return the id of a block; its blocks sort by level, then by time."""
    return f"{level_prefix(job_id, level)}{number:08d}"


def level_prefix(job_id: str, level: int) -> str:
    """Return what the ids of a level's blocks begin with."""
    return f"metric#{job_id}#{level}#"


def _read(job: Job, level: int) -> Iterable[tuple[str, Sample]]:
    """Yield the samples of a level by the names of their metrics."""
    cursor, more = None, True
    while more:
        if level:
            samples = SAMPLES.list(job.owner, level_prefix(job.id, level), 100, cursor)
            for block in samples.items:
                yield from ((name, sample) for name, kept in block.series.items() for sample in kept.values())
            cursor = samples.next_cursor
        else:
            lines = LINES.list(job.owner, level_prefix(job.id, 0), 100, cursor)
            for block in lines.items:
                yield from (pair for point in block.points.values() for pair in samples_of(point).items())
            cursor = lines.next_cursor
        more = cursor is not None


def _point(sample: Sample) -> SeriesPoint:
    sequence, at, epoch, step, *value = sample
    time = datetime.fromtimestamp((at or 0) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {"sequence": sequence, "time": time, "epoch": epoch, "step": step}
    return SeriesPoint.model_validate(known | dict(zip(("value", "low", "high"), value, strict=True)))


def _position(cursor: str) -> int:
    try:
        return int(decode_cursor(cursor))
    except ValueError as error:
        wrong = "The cursor is not one this API made; start again without it."
        raise BadRequest(wrong, errors=[{"field": "cursor", "message": "not a cursor"}]) from error
