"""The parameters of jobs as the API states and checks them; `tests/containers/test_parameters.py` compares them with
the containers'.

Run: pytest tests/units/test_job_parameters.py
"""

from typing import Any, get_args

import pytest

from lambdas.common.errors import BadRequest
from lambdas.jobs.routes import list_training_types
from lambdas.jobs.schemas import TrainingType
from lambdas.jobs.training_types import TRAINING_TYPES

CHECKED_BY_THE_PLATFORM = [name for name in TRAINING_TYPES if name != "custom"]  # a script's are its own


def test_every_training_type_is_described() -> None:
    listed = list_training_types(None).items  # pyright: ignore[reportArgumentType]  anybody may
    assert {found.training_type for found in listed} == set(get_args(TrainingType))
    for found in listed:
        assert found.description.endswith(".")
        assert found.dataset.layout
        if found.training_type != "custom":
            assert found.primary_metrics
            assert found.dataset.takes and found.dataset.columns


@pytest.mark.parametrize("name", CHECKED_BY_THE_PLATFORM)
def test_every_parameter_has_help_and_every_number_a_range(name: TrainingType) -> None:
    for parameter, stated in TRAINING_TYPES[name].parameters.model_json_schema()["properties"].items():
        assert stated["description"].endswith("."), parameter
        if stated["type"] in ("integer", "number"):
            assert {"minimum", "maximum", "default"} <= set(stated), parameter


@pytest.mark.parametrize("name", [name for name in CHECKED_BY_THE_PLATFORM if name != "tabular"])
def test_the_usual_defaults_are_those_of_the_manual(name: TrainingType) -> None:
    stated = TRAINING_TYPES[name].parameters.model_json_schema()["properties"]
    usual = {"learning_rate": 2e-5, "batch_size": 16, "epochs": 3, "seed": 42, "test_fraction": 0.2}
    assert {parameter: stated[parameter]["default"] for parameter in usual} == usual


def test_what_was_not_given_is_left_to_the_container() -> None:
    assert TRAINING_TYPES["llm"].checked({"method": "lora"}) == {"method": "lora"}


@pytest.mark.parametrize(
    ("name", "given", "wrong"),
    [
        ("tabular", {"target": "y", "epochs": -1, "speed": 3}, {"epochs", "speed"}),
        ("tabular", {}, {"target"}),
        ("llm", {"method": "qlora", "lora_r": 0}, {"method", "lora_r"}),
        ("diffusion", {"resolution": 7}, {"resolution"}),
        ("ner", {"mixed_precision": "fp8", "max_length": 1}, {"mixed_precision", "max_length"}),
        ("object_detection", {"score_threshold": 2, "image_size": "large"}, {"score_threshold", "image_size"}),
        ("image_classification", {"augmentation": "maybe"}, {"augmentation"}),
        ("text_classification", {"target": "label"}, {"target"}),
    ],
)
def test_every_wrong_parameter_is_named(name: Any, given: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(BadRequest) as raised:
        TRAINING_TYPES[name].checked(given)
    assert {error["field"] for error in raised.value.errors or []} == {f"parameters.{field}" for field in wrong}
