"""What each training type takes, which image trains it, and what its models are in the registry."""

import json
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lambdas.common.errors import BadRequest, FieldError
from lambdas.jobs.schemas import TrainingType
from lambdas.models.schemas import ModelType

MAX_CUSTOM_CHARACTERS = 16_384


class TabularParameters(BaseModel):
    """Parameters of `tabular`: the same names, ranges and defaults as the container reads (a test compares them)."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(min_length=1, max_length=256, description="The column to predict.")
    algorithm: Literal["lightgbm", "xgboost", "random_forest", "logistic_regression", "linear_regression"] = "lightgbm"
    task: Literal["auto", "classification", "regression"] = "auto"
    test_fraction: float = Field(0.2, ge=0.05, le=0.5, description="Share of the rows held out to measure the model.")
    seed: int = Field(42, ge=0, le=2**31 - 1)
    epochs: int = Field(0, ge=0, le=10_000, description="Steps of training; 0 is the algorithm's own default.")
    checkpoint_every: int = Field(10, ge=1, le=10_000)
    learning_rate: float = Field(0.1, ge=0.0001, le=1)
    num_leaves: int = Field(31, ge=2, le=4096)
    min_rows_in_leaf: int = Field(0, ge=0, le=100_000)
    max_depth: int = Field(0, ge=0, le=64)
    trees_per_epoch: int = Field(10, ge=1, le=1000)
    l2: float = Field(1.0, ge=0, le=1e6)


class CustomParameters(BaseModel):
    """Parameters of `custom`: whatever the script reads; the platform looks at none of them."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def no_files(self) -> Self:
        if len(json.dumps(self.model_extra)) > MAX_CUSTOM_CHARACTERS:
            raise ValueError(f"is more than {MAX_CUSTOM_CHARACTERS:,} characters as JSON: put it into the ZIP")
        return self


@dataclass(frozen=True)
class Training:
    """One training type: its parameters, its image family, and what its models are."""

    parameters: type[BaseModel]
    image_family: str
    model_types: dict[str, ModelType]  # the container's task -> the registry's model_type

    def checked(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as given, once they are valid; raises BadRequest naming each wrong one.

        Defaults are left to the container: it knows which of them its algorithm uses.
        """
        try:
            return self.parameters.model_validate(given).model_dump(exclude_unset=True)
        except ValidationError as error:
            errors: list[FieldError] = [
                {"field": ".".join(("parameters", *map(str, wrong["loc"]))), "message": wrong["msg"]}
                for wrong in error.errors()
            ]
            names = ", ".join(wrong["field"] for wrong in errors)
            raise BadRequest(f"These parameters are not valid: {names}.", errors=errors) from error

    def model_type(self, manifest: dict[str, Any]) -> ModelType:
        """Return what the registry calls a model whose container wrote this manifest."""
        return self.model_types.get(manifest.get("task", ""), "other")


TRAINING_TYPES: dict[TrainingType, Training] = {
    "tabular": Training(
        parameters=TabularParameters,
        image_family="tabular",
        model_types={"classification": "classification", "regression": "regression"},
    ),
    "custom": Training(
        parameters=CustomParameters,
        image_family="tabular",
        model_types={"classification": "classification", "regression": "regression"},
    ),
}
