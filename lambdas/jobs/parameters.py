"""The parameters of each training type, as people may give them: names, ranges, defaults and help.

The containers state the same in dataclasses, and check again; a test compares the two. A container knows better what
its algorithm takes when nothing is given, so what was not given is not sent.
"""

import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_CUSTOM_CHARACTERS = 16_384
MixedPrecision = Literal["auto", "no", "fp16", "bf16"]
Encoder = Literal["bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base", "distilbert-base"]
Method = Literal["full", "lora"]


class Parameters(BaseModel):
    """Parameters of any training type: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")


class TabularParameters(Parameters):
    """Parameters of `tabular`."""

    target: str = Field(min_length=1, max_length=256, description="The column to predict.")
    algorithm: Literal["lightgbm", "xgboost", "random_forest", "logistic_regression", "linear_regression"] = Field(
        "lightgbm", description="What to train."
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="What kind of column the target is; auto looks at its values."
    )
    test_fraction: float = Field(0.2, ge=0.05, le=0.5, description="Share of the rows held out to measure the model.")
    seed: int = Field(
        42, ge=0, le=2**31 - 1, description="Seed of the split and of the algorithm: same seed, same model."
    )
    epochs: int = Field(0, ge=0, le=10_000, description="Steps of training; 0 is the algorithm's own default.")
    checkpoint_every: int = Field(10, ge=1, le=10_000, description="Epochs between two checkpoints.")
    learning_rate: float = Field(
        0.1, ge=0.0001, le=1, description="How much each boosting round corrects (lightgbm, xgboost)."
    )
    num_leaves: int = Field(31, ge=2, le=4096, description="Leaves of each boosted tree (lightgbm).")
    min_rows_in_leaf: int = Field(
        0, ge=0, le=100_000, description="Rows that a leaf needs (trees); 0 is the algorithm's own default."
    )
    max_depth: int = Field(0, ge=0, le=64, description="Depth of a tree; 0 is no limit.")
    trees_per_epoch: int = Field(10, ge=1, le=1000, description="Trees the forest grows per epoch (random_forest).")
    l2: float = Field(1.0, ge=0, le=1e6, description="Strength of the L2 penalty (the linear ones); 0 is none.")


class HuggingFaceParameters(Parameters):
    """What the types that train with the Hugging Face libraries have in common."""

    learning_rate: float = Field(2e-5, ge=1e-8, le=1, description="How far each step moves the weights.")
    batch_size: int = Field(16, ge=1, le=4096, description="Examples per step and device.")
    epochs: int = Field(3, ge=1, le=10_000, description="Times to go through the training examples.")
    max_steps: int = Field(
        0, ge=0, le=100_000_000, description="End after so many steps, whatever the epochs; 0 is no such end."
    )
    gradient_accumulation: int = Field(1, ge=1, le=1024, description="Batches that are summed up into one step.")
    warmup_ratio: float = Field(
        0.0, ge=0, le=1, description="Share of the steps over which the learning rate rises from 0."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="How strongly weights are pulled towards 0.")
    mixed_precision: MixedPrecision = Field(
        "auto",
        description="Number format of the arithmetic; auto takes bf16 where the GPU has it, fp16 on older GPUs.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: slower, and in less memory."
    )
    test_fraction: float = Field(
        0.2, ge=0.01, le=0.5, description="Share of the examples held out to measure, unless the data names splits."
    )
    checkpoint_every: int = Field(
        0, ge=0, le=1_000_000, description="Steps between two checkpoints; 0 is after each epoch."
    )
    seed: int = Field(
        42, ge=0, le=2**31 - 1, description="Seed of the split, the weights and the order: same seed, same model."
    )


class LoraParameters(HuggingFaceParameters):
    """What the types that can train adapters have in common."""

    method: Method = Field(
        "full",
        description="full trains every weight; lora a small adapter of a base model, at about ten times the learning "
        "rate.",
    )
    lora_r: int = Field(16, ge=1, le=512, description="Rank of the adapter: more can learn more.")
    lora_alpha: int = Field(32, ge=1, le=1024, description="Scale of the adapter; twice the rank is usual.")
    gradient_checkpointing: bool = Field(
        True, description="Compute activations twice instead of keeping them: slower, and in less memory."
    )


class LlmParameters(LoraParameters):
    """Parameters of `llm`."""

    architecture: Literal["qwen3-tiny", "qwen3-0.6b", "qwen3-1.7b"] = Field(
        "qwen3-tiny", description="What to train where there is no base model."
    )
    max_length: int = Field(1024, ge=8, le=131_072, description="Tokens of an example; what is longer is cut.")
    packing: bool = Field(True, description="Fill rows with several examples, where flash attention keeps them apart.")


class DiffusionParameters(LoraParameters):
    """Parameters of `diffusion`."""

    architecture: Literal["stable-diffusion-tiny"] = Field(
        "stable-diffusion-tiny", description="What to train where there is no base model."
    )
    resolution: int = Field(
        512, ge=8, le=2048, description="Side of the square cut from the middle of each image, in pixels."
    )
    flip: bool = Field(False, description="Mirror half of the images, where captions do not say left or right.")
    autoencoder_steps: int = Field(
        1000,
        ge=1,
        le=10**8,
        description="Steps in which a fresh autoencoder learns the images, before the steps of epochs or max_steps.",
    )


class TextParameters(HuggingFaceParameters):
    """What the types that read text with an encoder have in common."""

    architecture: Encoder = Field(
        "bert-mini", description="What to train from fresh weights; a base model brings its own."
    )
    max_length: int = Field(256, ge=8, le=8192, description="Tokens of an example; what is longer is cut.")


class TextClassificationParameters(TextParameters):
    """Parameters of `text_classification`."""


class NerParameters(TextParameters):
    """Parameters of `ner`."""

    max_length: int = Field(256, ge=8, le=8192, description="Tokens read at a time; longer texts are read in parts.")


class ImageClassificationParameters(HuggingFaceParameters):
    """Parameters of `image_classification`."""

    architecture: Literal["vit-mini", "vit-tiny", "vit-small", "vit-base"] = Field(
        "vit-tiny", description="What to train from fresh weights; a base model brings its own."
    )
    image_size: int = Field(
        224,
        ge=16,
        le=2048,
        description="Width and height in pixels that images are brought to; a base model keeps its own.",
    )
    augmentation: bool = Field(
        True, description="Show each image a little changed every time, cut and mirrored, while training."
    )


class ObjectDetectionParameters(HuggingFaceParameters):
    """Parameters of `object_detection`."""

    architecture: Literal["rtdetrv2-tiny", "rtdetrv2-small"] = Field(
        "rtdetrv2-tiny", description="What to train from fresh weights; a base model brings its own."
    )
    image_size: int = Field(640, ge=32, le=2048, description="Width and height in pixels that images are brought to.")
    augmentation: bool = Field(True, description="Show each image a little changed every time, while training.")
    score_threshold: float = Field(
        0.5, ge=0, le=1, description="How sure the model must be of a box for an endpoint to answer it."
    )


class CustomParameters(BaseModel):
    """Parameters of `custom`: whatever the script reads; the platform looks at none of them."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def no_files(self) -> Self:
        if len(json.dumps(self.model_extra)) > MAX_CUSTOM_CHARACTERS:
            raise ValueError(f"is more than {MAX_CUSTOM_CHARACTERS:,} characters as JSON: put it into the ZIP")
        return self
