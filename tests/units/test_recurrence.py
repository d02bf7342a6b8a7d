"""Schedules' expressions: what EventBridge Scheduler takes, and when each is due.

Run: python -m pytest tests/units/test_recurrence.py
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.jobs.recurrence import LEAST, parsed, validated

NOW = datetime(2026, 1, 30, 12, 30, tzinfo=UTC)  # a Friday


def due(expression: str, count: int = 3, now: datetime = NOW) -> list[str]:
    """Return the first times at which an expression is due, as run after run asks for them."""
    rule, times = parsed(expression), []
    at = rule.first(now)
    while at is not None and len(times) < count:
        times.append(f"{at:%Y-%m-%d %H:%M}")
        at = rule.following(at, at)
    return times


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(12 hours)", ["2026-01-30 12:30", "2026-01-31 00:30", "2026-01-31 12:30"]),
        ("rate(1 day)", ["2026-01-30 12:30", "2026-01-31 12:30", "2026-02-01 12:30"]),
        ("cron(0 6 ? * MON-FRI *)", ["2026-02-02 06:00", "2026-02-03 06:00", "2026-02-04 06:00"]),
        ("cron(0 6 ? * 2-6 *)", ["2026-02-02 06:00", "2026-02-03 06:00", "2026-02-04 06:00"]),
        ("cron(0/20 13 * * ? *)", ["2026-01-30 13:00", "2026-01-30 13:20", "2026-01-30 13:40"]),
        ("cron(15,45 */12 * * ? *)", ["2026-01-30 12:45", "2026-01-31 00:15", "2026-01-31 00:45"]),
        ("cron(0 9 L * ? *)", ["2026-01-31 09:00", "2026-02-28 09:00", "2026-03-31 09:00"]),
        ("cron(0 9 1W * ? *)", ["2026-02-02 09:00", "2026-03-02 09:00", "2026-04-01 09:00"]),
        ("cron(0 9 31W * ? *)", ["2026-03-31 09:00", "2026-05-29 09:00", "2026-07-31 09:00"]),
        ("cron(0 9 ? * 6L *)", ["2026-02-27 09:00", "2026-03-27 09:00", "2026-04-24 09:00"]),
        ("cron(0 9 ? * TUE#2 *)", ["2026-02-10 09:00", "2026-03-10 09:00", "2026-04-14 09:00"]),
        ("cron(0 9 ? JAN,jul L 2027)", ["2027-01-02 09:00", "2027-01-09 09:00", "2027-01-16 09:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
    ],
)
def test_when_it_is_due(expression: str, expected: list[str]) -> None:
    assert due(expression) == expected


def test_a_calendar_that_ends_is_due_no_more() -> None:
    assert due("cron(0 0 1 12 ? 2026)") == ["2026-12-01 00:00"]


@pytest.mark.parametrize(
    "expression",
    [
        *("", "daily", "rate(1 week)", "rate(0 days)", "rate(-1 days)", "rate(4 minutes)", "rate(367 days)"),
        *("rate(999999999 days)", "rate(1day)", "at(2026-02-01T00:00:00)", "cron(0 6 * * *)", "cron(0 6 * * * *)"),
        *("cron(0 6 ? * ? *)", "cron(60 6 * * ? *)", "cron(0 24 * * ? *)", "cron(0 6 0 * ? *)", "cron(0 6 32 * ? *)"),
        *("cron(0 6 * 13 ? *)", "cron(0 6 ? * 8 *)", "cron(0 6 ? * MON#6 *)", "cron(0 6 * * ? 1969)"),
        *("cron(* 6 * * ? *)", "cron(0,4 6 * * ? *)", "cron(0/0 6 * * ? *)", "cron(5-1 6 * * ? *)"),
        *(
            "cron(0 6 31 2 ? *)",
            "cron(0 6 * * ? 2001)",
            "cron(0,, 6 * * ? *)",
            "cron(x 6 * * ? *)",
            "cron(0 6 L-3 * ? *)",
        ),
    ],
)
def test_what_is_no_expression_says_so(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is |has |repeats"):
        validated(expression)


@given(st.timedeltas(LEAST, timedelta(days=300)), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_what_was_missed_is_due_once_and_the_step_is_kept(every: timedelta, missed: timedelta) -> None:
    every = timedelta(minutes=every // timedelta(minutes=1))
    rule = parsed(f"rate({every // timedelta(minutes=1)} minutes)")
    following = rule.following(NOW, NOW + missed)
    assert following is not None and NOW + missed < following <= NOW + missed + every
    assert (following - NOW) % every == timedelta(0)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_a_calendars_times_come_after_one_another(now: datetime) -> None:
    times = due("cron(0/5 0-3 ? * MON *)", 20, now)
    assert all(earlier < later for earlier, later in pairwise(times))
