"""When something that repeats is due next: expressions as EventBridge Scheduler takes them, in UTC. Pure.

`rate(12 hours)`, or `cron(minutes hours day-of-month month day-of-week year)` with `*`, `?`, lists, ranges and steps,
`L` and `W` among days of the month, `L` and `#` among days of the week, of which 1 is Sunday.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

LEAST = timedelta(minutes=5)  # what is due is looked for this often
MOST = timedelta(days=366)
YEARS_AHEAD = 10  # the 29th of February comes within eight
RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)s?\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
MONTHS = {name: number for number, name in enumerate(re.findall("...", "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"), 1)}
DAYS = {name: number for number, name in enumerate(re.findall("...", "SUNMONTUEWEDTHUFRISAT"), 1)}
SATURDAY = 7

OfDay = Callable[[date], bool]


@dataclass(frozen=True)
class Rate:
    """Again and again after the same time."""

    every: timedelta

    def first(self, now: datetime) -> datetime:
        """Return when it is due for the first time: at once."""
        return now

    def following(self, due: datetime, now: datetime) -> datetime | None:
        """Return the first time after now that is in step with `due`."""
        return due + self.every * max(1, (now - due) // self.every + 1)


@dataclass(frozen=True)
class Cron:
    """At times of the calendar."""

    minutes: list[int]
    hours: list[int]
    months: list[int]
    years: list[int]
    of_day: OfDay

    def first(self, now: datetime) -> datetime | None:
        """Return when it is due for the first time, None if never."""
        return self.following(now, now)

    def following(self, due: datetime, now: datetime) -> datetime | None:
        """Return the first time after now; None if there is none in ten years."""
        return next((time for time in self.times(now.date()) if time > now), None)

    def times(self, day: date) -> Iterator[datetime]:
        """Yield the times from a day on."""
        end = day.replace(year=day.year + YEARS_AHEAD, day=1)
        while day < end:
            if day.year in self.years and day.month in self.months and self.of_day(day):
                midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
                for hour in self.hours:
                    yield from (midnight.replace(hour=hour, minute=minute) for minute in self.minutes)
            day += timedelta(days=1)


def validated(expression: str) -> str:
    """Return an expression that is due some time; raises ValueError for any other."""
    if parsed(expression).first(datetime.now(UTC)) is None:
        raise ValueError("is never due")
    return expression


def parsed(expression: str) -> Rate | Cron:
    """Return what an expression says; raises ValueError for one that is none, or comes too often."""
    if rate := RATE.fullmatch(expression):
        number, unit = int(rate[1]), rate[2]
        if not LEAST <= (every := timedelta(**{f"{unit}s": number})) <= MOST:
            raise ValueError("is due every five minutes at most, and at least once in 366 days")
        return Rate(every)
    if cron := CRON.fullmatch(expression):
        return cron_of(*cron.groups())
    if expression.startswith("at("):
        raise ValueError("repeats: what is wanted once is POST /jobs/evaluations")
    raise ValueError("is rate(12 hours), or cron(0 6 ? * MON-FRI *): minutes, hours, day, month, weekday, year")


def cron_of(minutes: str, hours: str, day: str, month: str, weekday: str, year: str) -> Cron:
    """Return what the six fields of a cron expression say; raises ValueError naming the one that is wrong."""
    if (day == "?") == (weekday == "?"):
        raise ValueError("has ? either as day of the month or as day of the week")
    found = numbers("minutes", minutes, 0, 59)
    if any(later - earlier < LEAST.seconds // 60 for earlier, later in pairwise(found)):
        raise ValueError("is due every five minutes at most")
    return Cron(
        minutes=found,
        hours=numbers("hours", hours, 0, 23),
        months=numbers("month", month, 1, 12, MONTHS),
        years=numbers("year", year, 1970, 2199),
        of_day=day_of_month(day) if weekday == "?" else day_of_week(weekday),
    )


def numbers(field: str, text: str, least: int, most: int, names: dict[str, int] | None = None) -> list[int]:
    """Return the numbers that a field of lists, ranges and steps stands for, in order; raises ValueError."""

    def number(word: str) -> int:
        value = (names or {}).get(word.upper(), int(word) if re.fullmatch(r"\d{1,4}", word) else -1)
        if not least <= value <= most:
            raise ValueError(f"has {field} that are none: {text}")
        return value

    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if slash and not re.fullmatch(r"[1-9]\d{0,3}", step):
            raise ValueError(f"has {field} that are none: {text}")
        start = least if first == "*" else number(first)
        end = number(last) if dash else (most if slash or first == "*" else start)
        if end < start:
            raise ValueError(f"has {field} that are none: {text}")
        found.update(range(start, end + 1, int(step) if slash else 1))
    return sorted(found)


def day_of_month(text: str) -> OfDay:
    """Return the test for days that the third field asks for; raises ValueError."""
    if text == "L":
        return lambda day: day.day == last_of(day)
    if nearest := re.fullmatch(r"(\d{1,2})W", text):
        (wanted,) = numbers("day of the month", nearest[1], 1, 31)
        return lambda day: day == nearest_weekday(day, wanted)
    days = numbers("day of the month", text, 1, 31)
    return lambda day: day.day in days


def nearest_weekday(day: date, wanted: int) -> date | None:
    """Return the weekday nearest to the wanted day of a day's month, within that month; None where it has none."""
    if wanted > last_of(day):
        return None
    target = day.replace(day=wanted)
    if target.isoweekday() == 6:
        return target + timedelta(days=-1 if wanted > 1 else 2)
    if target.isoweekday() == 7:
        return target + timedelta(days=1 if wanted < last_of(day) else -2)
    return target


def day_of_week(text: str) -> OfDay:
    """Return the test for days that the fifth field asks for; raises ValueError."""
    if text == "L":
        return lambda day: weekday(day) == SATURDAY
    if last := re.fullmatch(r"(\w+)L", text):
        (wanted,) = numbers("days of the week", last[1], 1, 7, DAYS)
        return lambda day: weekday(day) == wanted and day.day > last_of(day) - 7
    if nth := re.fullmatch(r"(\w+)#([1-5])", text):
        (wanted,) = numbers("days of the week", nth[1], 1, 7, DAYS)
        return lambda day: weekday(day) == wanted and (day.day - 1) // 7 + 1 == int(nth[2])
    days = numbers("days of the week", text, 1, 7, DAYS)
    return lambda day: weekday(day) in days


def weekday(day: date) -> int:
    """Return the day of the week as expressions count it: 1 is Sunday."""
    return day.isoweekday() % 7 + 1


def last_of(day: date) -> int:
    """Return the number of the last day of a day's month."""
    return monthrange(day.year, day.month)[1]
