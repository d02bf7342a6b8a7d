"""Datapoints that the platform itself records, many of one minute kept as one with a count."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

DIGITS = 3  # that are kept of a value: percentiles need no more, and equal values share a datapoint
DAY = 24 * 3600.0
KEPT_SECONDS = {"AWS/ApiGateway": DAY, "AWS/Lambda": DAY, "AWS/SQS": DAY, "AWS/States": DAY}  # others: 14 days

Key = tuple[str, str, str]  # namespace, metric and dimensions, as CloudWatch's store is kept


class Points(list[dict[str, Any]]):
    """A metric's datapoints. A copy of the store shares them: copying each would stop the platform for seconds."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Points:
        return Points(self)


class Recorder:
    """Adds to a metric's datapoints; any thread may call it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._minute = 0.0
        self._seen: dict[tuple[Key, str, float], dict[str, Any]] = {}  # of this minute

    def add(
        self,
        bucket: Callable[[Key], Points],
        key: Key,
        value: float,
        unit: str,
        dimensions: dict[str, str],
        now: float,
    ) -> None:
        """Count a value, seen at `now` (seconds), in the `bucket` of its metric."""
        value = rounded(value)
        with self.lock:
            minute = now // 60 * 60
            if minute != self._minute:
                self._minute = minute
                self._seen.clear()
            if point := self._seen.get((key, unit, value)):
                point["Count"] += 1
                return
            point = {"Timestamp": now, "Value": value, "Count": 1.0, "Unit": unit, "Dimensions": dimensions}
            self._seen[key, unit, value] = point
            bucket(key).append(point)


def rounded(value: float) -> float:
    """The value to as many digits as are kept."""
    if value == int(value) and abs(value) < 10**DIGITS:
        return float(value)
    return float(f"{value:.{DIGITS}g}")


def kept(namespace: str, points: list[dict[str, Any]], now: float) -> Points:
    """Those of a metric's datapoints that are not too old."""
    since = now - KEPT_SECONDS.get(namespace, 14 * DAY)
    return Points(point for point in points if point["Timestamp"] >= since)
