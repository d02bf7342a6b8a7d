"""Image classification: an image, and the class it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    Trainer,
    ViTImageProcessorPil,
    set_seed,
)

from training_containers.common.parameters import parameter
from training_containers.huggingface import augmentation, evaluating, evaluation, examples, images, pretrained, trainer
from training_containers.huggingface.parameters import TrainingParameters
from training_containers.huggingface.run import Report, Run

# Vision transformers from smallest to largest: layers and width. All but the first are those of DeiT.
ARCHITECTURES = {"vit-mini": (4, 128), "vit-tiny": (12, 192), "vit-small": (12, 384), "vit-base": (12, 768)}


@dataclass(frozen=True)
class Parameters(TrainingParameters):
    """What a job may set."""

    architecture: str = parameter(
        "What to train where there is no base model.", "vit-tiny", choices=tuple(ARCHITECTURES)
    )
    image_size: int = parameter(
        "Width and height in pixels that images are resized to; a base model keeps its own.", 224, 16, 2048
    )
    augmentation: bool = parameter(
        "Vary the images: mirrored, cut, in other light. Not where left and right matter, as in writing.", True
    )


def vit(name: str, side: int) -> dict[str, Any]:
    """Return the configuration of a vision transformer; small images are cut into smaller patches."""
    layers, width = ARCHITECTURES[name]
    return {
        "model_type": "vit",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
        "image_size": side,
        "patch_size": min(16, side // 8),
    }


def collator(processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Return what makes a batch of images and their classes."""

    def batch(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pixels = processor([row["image"] for row in rows], return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "labels": torch.tensor([row["label"] for row in rows])}

    return batch


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    data = images.load(run, "label")
    data, labels = examples.with_classes(data, "label")
    training, test = examples.split(run, data, stratify="label")

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run)
    names = pretrained.label_names(labels)
    if base:
        processor = AutoImageProcessor.from_pretrained(base, backend="pil")
        model = AutoModelForImageClassification.from_pretrained(
            base, num_labels=len(labels), **names, ignore_mismatched_sizes=True
        )
    else:
        side = given.image_size
        processor = ViTImageProcessorPil(size={"height": side, "width": side})
        shape = vit(given.architecture, side)
        model = AutoModelForImageClassification.from_config(
            AutoConfig.for_model(**shape, num_labels=len(labels), **names)
        )
    model.accepts_loss_kwargs = False  # Trainer itself then averages the batches of a step, also across devices

    # ----------------------------------------------------------------------------------------------------- training
    files = images.ImageFiles(run.paths.channel("train"))

    def read(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"image": [files.image(place) for place in rows["image"]], "label": rows["label"]}

    def read_varied(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = read(rows)
        return rows | {"image": [augmentation.varied(image) for image in rows["image"]]}

    training_loop = Trainer(
        model=model,
        args=trainer.arguments(run, remove_unused_columns=False),
        train_dataset=training.with_transform(read_varied if given.augmentation else read),
        eval_dataset=test.with_transform(read),
        data_collator=collator(processor),
        processing_class=processor,
        compute_metrics=lambda answers: evaluation.accuracy(answers.predictions, answers.label_ids),
    )
    trainer.train(run, training_loop)

    # --------------------------------------------------------------------------------------------------- evaluation
    answers = training_loop.predict(test.with_transform(read))
    figures, plots = evaluation.classification(answers.predictions, answers.label_ids, labels, training["label"])

    # ------------------------------------------------------------------------------------------------------- export
    trainer.export(run, training_loop)
    return Report(
        task="image-classification",
        primary_metric="test_accuracy",
        direction="max",
        metrics=figures,
        plots=plots,
        manifest={
            "architecture": model.config.model_type,
            "labels": labels,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model about every image of the data."""
    folder, manifest = evaluating.trained_model(run)
    labels = manifest["labels"]
    data = evaluating.with_known_classes(images.load(run, "label"), "label", labels)
    files = images.ImageFiles(run.paths.channel("train"))
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")

    def read(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"image": [files.image(place) for place in rows["image"]], "label": rows["label"]}

    asked = Trainer(
        model=AutoModelForImageClassification.from_pretrained(folder),
        args=trainer.arguments(run, eval_strategy="no", remove_unused_columns=False),
        data_collator=collator(processor),
        processing_class=processor,
    )
    answers = asked.predict(data.with_transform(read))
    return evaluating.classification("image-classification", answers.predictions, answers.label_ids, labels)
