"""Versions side by side: which figure is best, which parameters differ."""

from typing import Any

from lambdas.models.comparison import compare
from lambdas.models.schemas import ModelVersion, PrimaryMetric, TrainingResults
from lambdas.models.trained import ranges_of


def version(**fields: Any) -> ModelVersion:
    known: dict[str, Any] = {
        "owner": "ada",
        "id": "mdl-1",
        "model_id": "iris",
        "version": "v1",
        "name": "Iris",
        "status": "ready",
    }
    kind: dict[str, Any] = {"framework": "sklearn", "model_type": "classification"}
    return ModelVersion.model_validate(known | kind | fields)


def test_best_is_the_least_loss_and_the_greatest_accuracy():
    found = compare(
        [
            version(metrics={"test_accuracy": 0.9, "test_log_loss": 0.3}),
            version(metrics={"test_accuracy": 0.8, "test_log_loss": 0.2}),
        ]
    )
    assert found.metrics["test_accuracy"].best == 0
    assert found.metrics["test_log_loss"].best == 1
    assert found.metrics["test_log_loss"].direction == "min"


def test_a_primary_metric_says_its_direction_itself():
    primary = PrimaryMetric(name="distance", value=1.0, direction="min")
    found = compare([version(metrics={"distance": 2.0}, primary_metric=primary), version(metrics={"distance": 1.0})])
    assert found.metrics["distance"].best == 1


def test_an_evaluations_metric_says_its_direction_whatever_its_dataset_is_called():
    def evaluated(value: float, name: str, direction: str) -> ModelVersion:
        metric = {"name": name, "value": value, "direction": direction}
        about = {"job_id": "job-1", "dataset_id": "ds-01mse", "dataset_version": 2, "at": "2026-01-01T00:00:00.000Z"}
        return version(evaluations=[about | {"primary_metric": metric, "metrics": {name: value, "test_recall": value}}])

    found = compare([evaluated(0.8, "distance", "min"), evaluated(0.9, "distance", "min")]).metrics
    assert (found["distance on ds-01mse@2"].direction, found["distance on ds-01mse@2"].best) == ("min", 0)
    assert (found["test_recall on ds-01mse@2"].direction, found["test_recall on ds-01mse@2"].best) == ("max", 1)


def test_last_and_best_come_from_what_was_logged():
    history = [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.1}, {"epoch": 3, "loss": 0.4}]
    ranges = ranges_of(TrainingResults(history=history, metrics={"test_accuracy": 0.7}))
    assert set(ranges) == {"loss", "test_accuracy"}
    row = compare([version(metric_ranges=ranges), version()]).metrics["loss"]
    assert row.values[0] is not None
    assert (row.values[0].last, row.values[0].best) == (0.4, 0.1)
    assert row.values[1] is None
    assert row.best == 0


def test_figures_declared_with_an_upload_are_compared_too():
    found = compare([version(training_accuracy=0.98, training_loss=0.2), version(training_accuracy=0.99)])
    assert found.metrics["training_accuracy"].best == 1
    assert found.metrics["training_loss"].best == 0


def test_differing_parameters_come_first():
    found = compare(
        [version(parameters={"alpha": 1, "seed": 7}), version(parameters={"alpha": 1, "seed": 8, "x": None})]
    )
    assert [(name, row.differs) for name, row in found.parameters.items()] == [
        ("seed", True),
        ("alpha", False),
        ("x", False),
    ]
    assert found.parameters["seed"].values == [7, 8]


def test_models_are_in_the_order_asked_for():
    found = compare([version(version="v2"), version(version="v1")])
    assert [model.version for model in found.models] == ["v2", "v1"]
