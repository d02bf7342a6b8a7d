"""Advice for jobs that are slow or learn poorly, from what was measured of them. Pure: figures in, hints out."""

from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from lambdas.common.instances import has_gpu
from lambdas.jobs.watched import Hint, SeriesPoint, Utilization

ENOUGH_MINUTES = 5  # of utilization before it says anything: the first ones are downloads and imports
ENOUGH_POINTS = 10  # of a loss
IDLE_GPU, FREE_GPU_MEMORY, SCARCE_MEMORY, SCARCE_DISK = 30.0, 40.0, 90.0, 90.0  # percent
TINY_BATCH = 4
STILL = 0.01  # a loss that fell by less than this share has not fallen
RISEN = 0.2  # a loss that rose by this share over its lowest value has risen
GAP = 0.15  # between what a model scores on its training data and on data it has not seen
FIFTH = 5


@dataclass(frozen=True)
class Signals:
    """What is known of a job: its request, and the figures measured since."""

    instance_type: str
    parameters: dict[str, Any]  # with their defaults
    utilization: Utilization | None = None
    metrics: dict[str, list[SeriesPoint]] = field(default_factory=dict)
    time_left_seconds: int | None = None
    runtime_left_seconds: int | None = None  # until max_runtime_seconds


def hints(signals: Signals) -> list[Hint]:
    """Return the hints that the figures support, the costliest first."""
    rules = (runs_out_of_time, memory_is_scarce, disk_is_scarce, gpu_is_idle, batch_is_tiny, no_mixed_precision)
    learning = (loss_is_rising, loss_is_not_falling, test_is_far_below_train, test_loss_is_rising)
    return [hint for rule in (*rules, *learning) if (hint := rule(signals)) is not None]


# -------------------------------------------------------------------------------------------------- slow


def runs_out_of_time(signals: Signals) -> Hint | None:
    """It will be stopped before it is done."""
    needed, left = signals.time_left_seconds, signals.runtime_left_seconds
    if needed is None or left is None or needed <= left:
        return None
    return Hint(
        code="runs_out_of_time",
        message=f"It needs about {minutes(needed)} more, and is stopped in {minutes(max(left, 0))}.",
        fix="Stop it and run it again with a higher max_runtime_seconds, or with fewer epochs.",
    )


def memory_is_scarce(signals: Signals) -> Hint | None:
    """It is close to being killed for its memory."""
    used = _measured(signals, "memory")
    if used is None or used.peak < SCARCE_MEMORY:
        return None
    return Hint(
        code="memory_is_scarce",
        message=f"It has used up to {used.peak:.0f} % of the instance's memory.",
        fix="Reduce the batch size, or take an instance type with more memory.",
    )


def disk_is_scarce(signals: Signals) -> Hint | None:
    """Its disk is nearly full."""
    used = _measured(signals, "disk")
    if used is None or used.peak < SCARCE_DISK:
        return None
    return Hint(
        code="disk_is_scarce",
        message=f"It has filled up to {used.peak:.0f} % of the instance's disk.",
        fix="Write fewer checkpoints, or use less data.",
    )


def gpu_is_idle(signals: Signals) -> Hint | None:
    """The GPU waits, for data most often."""
    used = _measured(signals, "gpu")
    if used is None or not has_gpu(signals.instance_type) or used.mean >= IDLE_GPU:
        return None
    return Hint(
        code="gpu_is_idle",
        message=f"The GPU was busy {used.mean:.0f} % of the time, over {_span(signals)}.",
        fix="Raise the batch size, prepare the data beforehand (smaller images, shorter texts), or take a cheaper "
        "instance type: this one is paid for and waits.",
    )


def batch_is_tiny(signals: Signals) -> Hint | None:
    """A larger batch would fit, and a GPU is for large ones."""
    batch, used = signals.parameters.get("batch_size"), _measured(signals, "gpu_memory")
    if not isinstance(batch, int) or batch > TINY_BATCH or used is None or used.peak >= FREE_GPU_MEMORY:
        return None
    return Hint(
        code="batch_is_tiny",
        message=f"batch_size is {batch}, and at most {used.peak:.0f} % of the GPU's memory was used.",
        fix=f"Raise batch_size, to {batch * 2} first; the learning rate may rise with it.",
    )


def no_mixed_precision(signals: Signals) -> Hint | None:
    """The GPU computes in 32 bits, though it is several times faster in 16."""
    if signals.parameters.get("mixed_precision") != "no" or not has_gpu(signals.instance_type):
        return None
    return Hint(
        code="no_mixed_precision",
        message=f"mixed_precision is `no` on {signals.instance_type}, whose GPU is faster in 16 bits.",
        fix="Set mixed_precision to `auto`.",
    )


# -------------------------------------------------------------------------------------------------- poor


def loss_is_rising(signals: Signals) -> Hint | None:
    """It diverges."""
    losses = _series(signals, "train_loss", "loss")
    if len(losses) < ENOUGH_POINTS:
        return None
    first, last = _ends(losses)
    if not last > first + RISEN * abs(first):
        return None
    return Hint(
        code="loss_is_rising",
        message=f"The training loss has risen from {first:.4g} to {last:.4g}.",
        fix=f"Lower the learning rate{_rate(signals)}, to a tenth first, or warm up longer.",
    )


def loss_is_not_falling(signals: Signals) -> Hint | None:
    """It does not learn."""
    losses = _series(signals, "train_loss", "loss")
    # A forest's trees do not build on each other: its loss need not fall.
    if len(losses) < ENOUGH_POINTS or signals.parameters.get("algorithm") == "random_forest":
        return None
    first, last = _ends(losses)
    if not first - STILL * abs(first) < last <= first + RISEN * abs(first):
        return None
    return Hint(
        code="loss_is_not_falling",
        message=f"The training loss was {first:.4g} at first and is {last:.4g} after {len(losses)} measurements.",
        fix=f"Change the learning rate{_rate(signals)}, tenfold either way, check that the labels belong to the "
        "inputs, or try another architecture.",
    )


def test_is_far_below_train(signals: Signals) -> Hint | None:
    """It knows its training data by heart."""
    for name, points in signals.metrics.items():
        score = name.removeprefix("train_")
        if score == name or _is_loss(score):
            continue
        unseen = _series(signals, f"test_{score}", f"eval_{score}")
        if points and unseen and points[-1].value - unseen[-1].value > GAP:
            return Hint(
                code="test_is_far_below_train",
                message=f"{score} is {points[-1].value:.3g} on the training data and {unseen[-1].value:.3g} on unseen.",
                fix="More training data helps most; else augmentation, fewer epochs, or a smaller model.",
            )
    return None


def test_loss_is_rising(signals: Signals) -> Hint | None:
    """It goes on learning its training data by heart."""
    unseen, losses = _series(signals, "test_loss", "eval_loss"), _series(signals, "train_loss", "loss")
    if len(unseen) < FIFTH or not losses:
        return None
    best = min(unseen, key=lambda point: point.low)
    last = unseen[-1].value
    if last <= best.low + RISEN * abs(best.low) or losses[-1].value > losses[0].value:
        return None
    when = f"epoch {best.epoch:g}" if best.epoch is not None else f"step {best.step}"
    return Hint(
        code="test_loss_is_rising",
        message=f"The loss on unseen data was lowest at {when}, {best.low:.4g}, and is {last:.4g} now.",
        fix="Train for fewer epochs, with more data, or with a higher weight_decay.",
    )


def minutes(seconds: int) -> str:
    """Return a duration in words."""
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} hours"


def _measured(signals: Signals, resource: str) -> Any:
    found = signals.utilization
    return getattr(found, resource) if found is not None and found.minutes >= ENOUGH_MINUTES else None


def _span(signals: Signals) -> str:
    return minutes(signals.utilization.minutes * 60) if signals.utilization else ""


def _series(signals: Signals, *names: str) -> list[SeriesPoint]:
    return next((signals.metrics[name] for name in names if signals.metrics.get(name)), [])


def _ends(points: list[SeriesPoint]) -> tuple[float, float]:
    """The mean of the first fifth and of the last."""
    count = max(1, len(points) // FIFTH)
    return fmean(point.value for point in points[:count]), fmean(point.value for point in points[-count:])


def _is_loss(name: str) -> bool:
    return "loss" in name or name in {"rmse", "mae", "mse", "perplexity"}


def _rate(signals: Signals) -> str:
    rate = signals.parameters.get("learning_rate")
    return f" ({rate:g})" if isinstance(rate, int | float) else ""
