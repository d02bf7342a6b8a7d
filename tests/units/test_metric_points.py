"""Datapoints that the local cloud records itself.  `pytest tests/units/test_metric_points.py`"""

import copy
import threading

import pytest

from local.metric_points import DAY, Points, Recorder, kept, rounded

KEY = ("AWS/Lambda", "Duration", "FunctionName=f")
NOW = 1_800_000_000.0


def test_equal_values_of_a_minute_are_one_point_with_a_count():
    points, recorder = Points(), Recorder()
    for value, at in ((5, 0), (5, 10), (7, 20), (5, 70), (5, 80)):
        recorder.add(lambda key: points, KEY, value, "Count", {}, NOW // 60 * 60 + at)
    assert [(point["Value"], point["Count"]) for point in points] == [(5, 2), (7, 1), (5, 2)]


def test_many_threads_lose_no_count():
    points, recorder = Points(), Recorder()

    def count() -> None:
        for _ in range(1000):
            recorder.add(lambda key: points, KEY, 1, "Count", {}, NOW)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [point["Count"] for point in points] == [8000]


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (999, 999), (1234, 1230), (12345.6, 12300), (0.12345, 0.123)])
def test_three_digits_are_kept(value: float, expected: float):
    assert rounded(value) == expected


def test_what_the_platform_records_is_kept_for_a_day_and_other_metrics_for_two_weeks():
    points = [{"Timestamp": NOW - age * DAY} for age in (0.5, 2, 13, 15)]
    assert len(kept("AWS/ApiGateway", points, NOW)) == 1
    assert len(kept("Slipway", points, NOW)) == 3


def test_a_copy_of_the_store_is_one_of_lists_only():
    points = Points([{"Timestamp": NOW}])
    copied = copy.deepcopy({"metric": points})["metric"]
    assert copied == points and copied is not points and copied[0] is points[0]
