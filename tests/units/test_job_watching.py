"""What is worked out of a running job: the blocks of its history, the time it has left, its silence, what it uses.

Run: python -m pytest tests/units/test_job_watching.py
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.common.items import to_item
from lambdas.jobs import details, history, progress, utilization, watchdog
from lambdas.jobs.schemas import MetricPoint, Progress
from tests.units.test_jobs import job

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMIT = timedelta(minutes=30)


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def line(sequence: int, **metrics: float) -> MetricPoint:
    at = NOW + timedelta(seconds=sequence)
    return MetricPoint(sequence=sequence, time=iso(at), percent=1, epoch=sequence / 10, step=sequence, metrics=metrics)


class TestBlocks:
    @given(
        st.lists(
            st.builds(
                lambda n, s, v: line(n, loss=v).model_copy(update={"time": iso(NOW + timedelta(seconds=s))}),
                st.integers(0, 99),
                st.integers(0, 3),
                st.floats(-1e6, 1e6),
            ),
            max_size=30,
        ),
        st.randoms(),
    )
    def test_any_order_and_any_number_of_deliveries_give_the_same_blocks(self, lines: Any, random: Any) -> None:
        again = [*lines, *random.choices(lines, k=len(lines))] if lines else []
        random.shuffle(again)
        cuts = sorted(random.sample(range(len(again) + 1), min(3, len(again))))
        deliveries = [again[a:b] for a, b in zip([0, *cuts], [*cuts, len(again)], strict=True)]
        empty = history.Lines(owner="ada", id="block")
        once, piecemeal = history.added(empty, lines), empty
        for delivery in deliveries:
            piecemeal = history.added(piecemeal, delivery)
        assert piecemeal == once
        coarse = history.Samples(owner="ada", id="block", level=1)
        once, piecemeal = history.joined(coarse, lines), coarse
        for delivery in deliveries:
            piecemeal = history.joined(piecemeal, delivery)
        assert piecemeal == once

    def test_a_sample_has_the_last_value_and_the_range_of_its_lines(self) -> None:
        lines = [
            line(n, loss=float(value)) for n, value in zip(range(10, 20), [5, 3, 9, 4, 4, 4, 1, 4, 4, 2], strict=True)
        ]
        block = history.joined(history.Samples(owner="ada", id="block", level=1), lines)
        (sample,) = block.series["loss"].values()
        assert (sample[0], *sample[4:]) == (19, 2, 1, 9)

    def test_a_line_that_a_resumed_run_printed_again_replaces_the_first(self) -> None:
        first, again = line(7, loss=1.0), line(7, loss=2.0).model_copy(update={"time": iso(NOW + timedelta(hours=1))})
        for order in ([first, again], [again, first]):
            assert history.added(history.Lines(owner="ada", id="block"), order).points == {"7": again}

    def test_the_largest_block_is_within_dynamodbs_400_kilobytes(self) -> None:
        names = [f"{n:02d}" + "x" * (progress.LONGEST_NAME - 2) for n in range(history.MAX_NAMES)]
        lines = [line(n, **dict.fromkeys(names, -1.2345678901234567e-12)) for n in range(history.BLOCK)]
        blocks = [
            history.added(history.Lines(owner="ada", id="block"), lines),
            history.joined(history.Samples(owner="ada", id="block", level=1), lines),
        ]
        for block in blocks:
            assert size(to_item(block)) < 400 * 1024

    def test_metrics_beyond_what_a_block_holds_are_left_out_in_any_order(self) -> None:
        lines = [line(n, **{f"metric_{n:02d}": 1.0}) for n in range(history.MAX_NAMES + 8)]
        empty = history.Samples(owner="ada", id="block", level=1)
        forwards, backwards = history.joined(empty, lines), history.joined(empty, lines[::-1])
        assert forwards == backwards and len(forwards.series) == history.MAX_NAMES


def size(value: Any) -> int:
    """The bytes of an item, as DynamoDB documents that it counts them."""
    (kind, inner), *rest = value.items() if len(value) == 1 else [("M", value)]
    assert not rest
    if kind == "M":
        return 3 + sum(len(name) + 1 + size(one) for name, one in inner.items())
    if kind == "L":
        return 3 + sum(1 + size(one) for one in inner)
    if kind == "N":
        return 3 + len(Decimal(inner).as_tuple().digits) // 2
    return 1 if kind == "NULL" else len(str(inner).encode())


class TestProgressLines:
    @pytest.mark.parametrize(
        ("change", "valid"),
        [
            ({}, True),
            ({"sequence": -1}, False),
            ({"sequence": 10**9}, False),
            ({"time": "yesterday"}, False),
            ({"time": "2026-01-01T00:00:00"}, False),
            ({"metrics": {"loss": "high"}}, True),
            ({"metrics": ["loss"]}, False),
        ],
    )
    def test_what_is_kept_is_checked(self, change: dict[str, Any], valid: bool) -> None:
        printed = {"slipway": "local", "job_id": "job-1", "sequence": 1, "time": iso(NOW), "percent": 1.0} | change
        assert (progress.parse(json.dumps(printed)) is not None) is valid

    def test_figures_that_are_none_are_left_out(self) -> None:
        printed = '{"slipway": "x", "job_id": "j", "sequence": 1, "time": "%s", "percent": 1, "metrics": %s}'
        metrics = '{"loss": NaN, "rate": 1e999, "text": "x", "yes": 0.5, "%s": 1}' % ("n" * 65)
        seen = progress.parse(printed % (iso(NOW), metrics))
        assert seen is not None and seen.metrics == {"yes": 0.5}


class TestTimeLeft:
    @pytest.mark.parametrize(
        ("percent", "age", "left"),
        [(50, 0, 600), (25, 0, 1800), (50, 100, 500), (99, 3600, 0), (100, 0, 0), (0.5, 0, None)],
    )
    def test_a_job_goes_on_as_it_did(self, percent: float, age: int, left: int | None) -> None:
        seen = NOW - timedelta(seconds=age)
        running = job(
            status="running",
            started_at=iso(seen - timedelta(seconds=600)),
            progress=Progress(sequence=3, time=iso(seen), percent=percent),
        )
        found = details.time_left(running, NOW)
        assert (None if found is None else found.total_seconds()) == left

    def test_a_job_that_does_not_run_has_no_time_left(self) -> None:
        ended = job(status="completed", started_at=iso(NOW), progress=Progress(time=iso(NOW), percent=50))
        assert details.time_left(ended, NOW) is None


class TestWatchdog:
    def test_silence_is_marked_once_and_cleared_when_it_ends(self) -> None:
        running = job(status="running", stage="training")
        spoke = NOW - LIMIT
        changes = watchdog.verdict(running, spoke, NOW, LIMIT)
        assert changes["stalled_since"] == "2026-01-01T11:30:00Z"
        assert "more than 30 minutes, since 2026-01-01T11:30:00Z" in changes["warning"]
        marked = running.model_copy(update=changes)
        assert watchdog.verdict(marked, spoke, NOW + LIMIT, LIMIT) == {}
        assert watchdog.verdict(marked, NOW, NOW + LIMIT / 2, LIMIT) == {"stalled_since": None, "warning": None}

    def test_a_job_that_speaks_is_left_alone(self) -> None:
        running = job(status="running", stage="training")
        assert watchdog.verdict(running, NOW - LIMIT / 2, NOW, LIMIT) == {}
        assert watchdog.verdict(running, None, NOW, LIMIT) == {}

    def test_the_last_sign_on_the_record_is_the_newest(self) -> None:
        begun = job(status="running", started_at=iso(NOW))
        assert watchdog.last_sign(begun) == NOW
        spoken = begun.model_copy(update={"progress": Progress(time=iso(NOW + LIMIT))})
        assert watchdog.last_sign(spoken) == NOW + LIMIT
        assert watchdog.last_sign(job()) is None


class TestUtilization:
    def test_figures_of_any_order_are_read(self) -> None:
        at = [NOW + timedelta(minutes=n) for n in range(3)]
        results = [
            {"Id": "cpu", "Timestamps": at[::-1], "Values": [30.0, 20.0, 100.0]},
            {"Id": "gpu", "Timestamps": [], "Values": []},
        ]
        found = utilization.utilization_of(results, 60)
        assert found is not None and found.cpu and found.gpu is None
        assert (found.cpu.newest, found.cpu.mean, found.cpu.peak, found.minutes) == (30, 50, 100, 3)
        assert utilization.utilization_of([], 60) is None

    @pytest.mark.parametrize(
        ("duration", "period"),
        [(timedelta(0), 60), (timedelta(hours=1), 60), (timedelta(hours=1, seconds=1), 120), (timedelta(days=5), 7200)],
    )
    def test_a_long_run_has_as_many_figures_as_a_short_one(self, duration: timedelta, period: int) -> None:
        assert utilization.period_of(duration) == period
