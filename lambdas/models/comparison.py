"""Versions side by side: their figures and which is best, the parameters in which they differ. Pure."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lambdas.models.schemas import Evaluation, MetricRange, ModelSummary, ModelVersion

Direction = Literal["max", "min"]
LESS_IS_BETTER = re.compile(r"loss|error|rmse|mse|mae|mape|perplexity|latency")
DECLARED = ("training_accuracy", "validation_accuracy", "test_accuracy", "training_loss")


class MetricValue(BaseModel):
    """What a figure came to in one version: in the end, and at its best while training."""

    last: float
    best: float


class MetricRow(BaseModel):
    """One figure in every version; null where a version does not have it."""

    direction: Direction
    values: list[MetricValue | None]
    best: int | None = None
    """The place in `models` of the version whose last value is the best."""


class ParameterRow(BaseModel):
    """One parameter in every version; null where a version does not have it."""

    differs: bool
    values: list[Any]


class Comparison(BaseModel):
    """Versions in the order asked for; each row has its values in the same order."""

    model_config = ConfigDict(protected_namespaces=())

    models: list[ModelSummary]
    metrics: dict[str, MetricRow]
    parameters: dict[str, ParameterRow]


def compare(versions: list[ModelVersion]) -> Comparison:
    """Return the versions side by side; parameters that differ come first."""
    figures = [figures_of(version) for version in versions]
    known = directions_of(versions)
    metrics = {
        name: metric_row(name, known.get(name), [found.get(name) for found in figures])
        for name in sorted({name for found in figures for name in found})
    }
    parameters = {
        name: parameter_row([version.parameters.get(name) for version in versions])
        for name in sorted({name for version in versions for name in version.parameters})
    }
    differing_first = dict(sorted(parameters.items(), key=lambda row: not row[1].differs))
    return Comparison(
        models=[ModelSummary.of(version) for version in versions], metrics=metrics, parameters=differing_first
    )


def directions_of(versions: list[ModelVersion]) -> dict[str, Direction]:
    """Return which way is better for the figures that the versions, or their evaluations, call primary."""
    trained: dict[str, Direction] = {
        found.name: found.direction for version in versions if (found := version.primary_metric)
    }
    evaluated: dict[str, Direction] = {
        name_of(found.name, evaluation): found.direction
        for version in versions
        for evaluation in version.evaluations
        if (found := evaluation.primary_metric)
    }
    return evaluated | trained


def figures_of(version: ModelVersion) -> dict[str, MetricRange]:
    """Return every figure of a version: logged in training, measured in the end, or declared with an upload."""
    figures = {name: getattr(version, name) for name in DECLARED} | version.metrics
    single = {
        name: MetricRange(last=value, min=value, max=value)
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
    return single | version.metric_ranges | evaluated(version)


def evaluated(version: ModelVersion) -> dict[str, MetricRange]:
    """Return the figures of a version's evaluations; a name says on which dataset, so that like is beside like."""
    return {
        name_of(name, evaluation): MetricRange(last=value, min=value, max=value)
        for evaluation in version.evaluations
        for name, value in evaluation.metrics.items()
    }


def name_of(metric: str, evaluation: Evaluation) -> str:
    """Return what a figure of an evaluation is called beside others."""
    return f"{metric} on {evaluation.dataset_id}@{evaluation.dataset_version}"


def metric_row(name: str, direction: Direction | None, ranges: list[MetricRange | None]) -> MetricRow:
    """Return the row of a figure; without a known direction, its name says which is better."""
    metric = name.partition(" on ")[0]  # a dataset's id may hold any letters
    direction = direction or ("min" if LESS_IS_BETTER.search(metric) else "max")
    values = [
        MetricValue(last=found.last, best=found.min if direction == "min" else found.max) if found else None
        for found in ranges
    ]
    lasts = [(value.last, place) for place, value in enumerate(values) if value]
    better = min if direction == "min" else max
    return MetricRow(direction=direction, values=values, best=better(lasts, key=lambda pair: pair[0])[1])


def parameter_row(values: list[Any]) -> ParameterRow:
    """Return the row of a parameter."""
    return ParameterRow(differs=any(value != values[0] for value in values), values=values)
