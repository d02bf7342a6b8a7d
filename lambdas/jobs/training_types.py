"""What each training type takes, which image trains it, and what its models are in the registry."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from lambdas.common.errors import BadRequest, FieldError
from lambdas.jobs import parameters
from lambdas.jobs.schemas import TrainingType
from lambdas.models.schemas import Framework, ModelType


@dataclass(frozen=True)
class Metric:
    """The figure by which models of a type are compared; `task` where a type's containers tell several apart."""

    name: str
    direction: Literal["max", "min"]
    task: str | None = None


@dataclass(frozen=True)
class Training:
    """One training type: its parameters, its image family, and what its models are."""

    description: str
    parameters: type[BaseModel]
    image_family: str
    model_type: ModelType
    framework: Framework
    primary_metrics: tuple[Metric, ...] = ()  # none: the container says which
    base_model: bool = True
    max_instances: int = 8
    task_types: dict[str, ModelType] = field(default_factory=dict)  # the container's task -> the registry's model_type

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

    def model_type_of(self, manifest: dict[str, Any]) -> ModelType:
        """Return what the registry calls a model whose container wrote this manifest."""
        return self.task_types.get(manifest.get("task", ""), self.model_type)


TRAINING_TYPES: dict[TrainingType, Training] = {
    "llm": Training(
        description="A language model that answers or writes: chats, prompts with completions, or plain text.",
        parameters=parameters.LlmParameters,
        image_family="huggingface",
        model_type="nlp",
        framework="pytorch",
        primary_metrics=(Metric("test_perplexity", "min"),),
    ),
    "diffusion": Training(
        description="A model that paints a picture from a sentence.",
        parameters=parameters.DiffusionParameters,
        image_family="huggingface",
        model_type="computer_vision",
        framework="pytorch",
        primary_metrics=(Metric("test_loss", "min"),),
    ),
    "text_classification": Training(
        description="A model that gives a text one of several labels.",
        parameters=parameters.TextClassificationParameters,
        image_family="huggingface",
        model_type="nlp",
        framework="pytorch",
        primary_metrics=(Metric("test_accuracy", "max"),),
    ),
    "ner": Training(
        description="A model that finds names, places and the like in a text, word by word.",
        parameters=parameters.NerParameters,
        image_family="huggingface",
        model_type="nlp",
        framework="pytorch",
        primary_metrics=(Metric("test_f1", "max"),),
    ),
    "image_classification": Training(
        description="A model that gives an image one of several labels.",
        parameters=parameters.ImageClassificationParameters,
        image_family="huggingface",
        model_type="computer_vision",
        framework="pytorch",
        primary_metrics=(Metric("test_accuracy", "max"),),
    ),
    "object_detection": Training(
        description="A model that draws a box around every thing it knows in an image.",
        parameters=parameters.ObjectDetectionParameters,
        image_family="huggingface",
        model_type="computer_vision",
        framework="pytorch",
        primary_metrics=(Metric("test_map", "max"),),
    ),
    "tabular": Training(
        description="A model that predicts one column of a table from the others.",
        parameters=parameters.TabularParameters,
        image_family="tabular",
        model_type="other",
        framework="sklearn",
        primary_metrics=(
            Metric("test_accuracy", "max", "classification"),
            Metric("test_rmse", "min", "regression"),
        ),
        base_model=False,
        max_instances=1,
        task_types={"classification": "classification", "regression": "regression"},
    ),
    "custom": Training(
        description="A script of your own, which reads anything and says itself what it made.",
        parameters=parameters.CustomParameters,
        image_family="huggingface",
        model_type="other",
        framework="other",
        task_types={"classification": "classification", "regression": "regression"},
    ),
}
