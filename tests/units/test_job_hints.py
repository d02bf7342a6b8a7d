"""Which hints which figures give, and that each names its figure.  `pytest tests/units/test_job_hints.py`"""

from collections.abc import Iterable
from typing import Any

import pytest

from lambdas.common.instances import has_gpu
from lambdas.jobs import hints
from lambdas.jobs.watched import ResourceUse, SeriesPoint, Utilization

GPU, CPU = "ml.g5.xlarge", "ml.m5.large"


def used(minutes: int = 30, **percent: float) -> Utilization:
    return Utilization(**{n: ResourceUse(newest=p, mean=p, peak=p) for n, p in percent.items()}, minutes=minutes)  # type: ignore


def points(values: Iterable[float]) -> list[SeriesPoint]:
    return [
        SeriesPoint(sequence=n, time="2026-01-01T00:00:00Z", epoch=float(n), step=n, value=v, low=v, high=v)
        for n, v in enumerate(values, 1)
    ]


def falling(count: int = 50, start: float = 2.0, end: float = 0.2) -> list[float]:
    return [start * (end / start) ** (n / count) for n in range(count)]


def codes(**signals: Any) -> list[str]:
    given = {"instance_type": GPU, "parameters": {}} | signals
    return [hint.code for hint in hints.hints(hints.Signals(**given))]


@pytest.mark.parametrize(
    ("signals", "expected", "figure"),
    [
        ({"utilization": used(gpu=12)}, "gpu_is_idle", "12 %"),
        ({"utilization": used(gpu=95, gpu_memory=20), "parameters": {"batch_size": 2}}, "batch_is_tiny", "20 %"),
        ({"parameters": {"mixed_precision": "no"}}, "no_mixed_precision", "ml.g5.xlarge"),
        ({"utilization": used(memory=96)}, "memory_is_scarce", "96 %"),
        ({"utilization": used(disk=97)}, "disk_is_scarce", "97 %"),
        ({"time_left_seconds": 7200, "runtime_left_seconds": 600}, "runs_out_of_time", "2.0 hours"),
        ({"metrics": {"train_loss": points([0.693] * 50)}}, "loss_is_not_falling", "0.693"),
        ({"metrics": {"loss": points([2.30, 2.29] * 20)}}, "loss_is_not_falling", "2.29"),
        ({"metrics": {"loss": points([1.0] * 20 + [9.0] * 20)}}, "loss_is_rising", "9"),
        (
            {"metrics": {"train_accuracy": points([0.5, 0.99]), "test_accuracy": points([0.5, 0.7])}},
            "test_is_far_below_train",
            "0.7",
        ),
        (
            {"metrics": {"loss": points(falling()), "eval_loss": points([1.0, 0.5, 0.6, 0.8, 1.0])}},
            "test_loss_is_rising",
            "epoch 2",
        ),
    ],
)
def test_figures_that_give_a_hint(signals: dict[str, Any], expected: str, figure: str) -> None:
    given = {"instance_type": GPU, "parameters": {}} | signals
    (found,) = hints.hints(hints.Signals(**given))
    assert found.code == expected
    assert figure in found.message
    assert found.fix


@pytest.mark.parametrize(
    "signals",
    [
        {},
        {"utilization": used(gpu=85, gpu_memory=80, memory=50, disk=20), "parameters": {"batch_size": 16}},
        {"utilization": used(gpu=0, minutes=2)},  # it has only begun
        {"utilization": used(cpu=5), "instance_type": CPU},
        {"utilization": used(gpu=0), "instance_type": CPU},
        {"parameters": {"mixed_precision": "no"}, "instance_type": CPU},
        {"parameters": {"mixed_precision": "auto"}},
        {"utilization": used(gpu=90, gpu_memory=70), "parameters": {"batch_size": 1}},  # a large model
        {"time_left_seconds": 600, "runtime_left_seconds": 7200},
        {"metrics": {"train_loss": points(falling())}},
        {"metrics": {"train_loss": points([0.7] * 5)}},  # too few to tell
        {"metrics": {"train_loss": points([0.1] * 50)}, "parameters": {"algorithm": "random_forest"}},
        {"metrics": {"train_accuracy": points([0.9]), "test_accuracy": points([0.85])}},
        {"metrics": {"train_log_loss": points([9.0]), "test_log_loss": points([0.1])}},
        {"metrics": {"loss": points(falling()), "eval_loss": points([1.0, 0.8, 0.6, 0.55, 0.56])}},
    ],
)
def test_figures_that_give_none(signals: dict[str, Any]) -> None:
    assert codes(**signals) == []


def test_a_hint_about_the_learning_rate_names_it() -> None:
    metrics = {"loss": points([1.0] * 20 + [9.0] * 20)}
    (found,) = hints.hints(hints.Signals(GPU, {"learning_rate": 0.05}, metrics=metrics))
    assert "(0.05)" in found.fix


def test_a_loss_that_is_not_a_number_gives_no_hint_and_no_error() -> None:
    assert codes(metrics={"loss": points([float("nan")] * 20)}) == []


@pytest.mark.parametrize(
    ("instance_type", "gpu"),
    [("ml.g4dn.xlarge", True), ("ml.g6e.2xlarge", True), ("ml.p5.48xlarge", True), ("ml.m5.large", False),
     ("ml.c7i.xlarge", False), ("ml.trn1.2xlarge", False)],
)  # fmt: skip
def test_which_instances_have_gpus(instance_type: str, gpu: bool) -> None:
    assert has_gpu(instance_type) is gpu
