"""Object detection: an image, and boxes around the objects in it, each with its class."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    EvalPrediction,
    RTDetrImageProcessorPil,
    Trainer,
    set_seed,
)

from training_containers.common.contract import TrainingError
from training_containers.common.parameters import parameter
from training_containers.huggingface import (
    augmentation,
    box_evaluation,
    evaluating,
    examples,
    images,
    pretrained,
    trainer,
)
from training_containers.huggingface.parameters import TrainingParameters
from training_containers.huggingface.run import Report, Run

STRIDES = (8, 16, 32)  # pixels between the places that are looked at, at three scales


def rt_detr(depth: int, widths: list[int], hidden: int, queries: int, decoder_layers: int) -> dict[str, Any]:
    """Return the configuration of an RT-DETRv2: a ResNet of four stages, the last three of which are looked at."""
    return {
        "model_type": "rt_detr_v2",
        "backbone_config": {
            "model_type": "rt_detr_resnet",
            "layer_type": "basic",
            "depths": [depth] * 4,
            "embedding_size": widths[0],
            "hidden_sizes": widths,
            "out_indices": [2, 3, 4],
        },
        "freeze_backbone_batch_norms": False,  # they know nothing yet
        "encoder_in_channels": widths[1:],
        "encoder_hidden_dim": hidden,
        "encoder_ffn_dim": 4 * hidden,
        "d_model": hidden,
        "decoder_in_channels": [hidden] * 3,
        "decoder_ffn_dim": 4 * hidden,
        "decoder_layers": decoder_layers,
        "num_queries": queries,
        "num_denoising": queries // 3,
        "hidden_expansion": 0.5,
    }


# A model finds at most as many objects in an image as it has queries, the fourth figure. The second is RT-DETRv2-R18.
ARCHITECTURES = {
    "rtdetrv2-tiny": rt_detr(1, [16, 32, 64, 128], 64, 50, 2),
    "rtdetrv2-small": rt_detr(2, [64, 128, 256, 512], 256, 300, 3),
}


@dataclass(frozen=True)
class Parameters(TrainingParameters):
    """What a job may set."""

    architecture: str = parameter(
        "What to train where there is no base model.", "rtdetrv2-tiny", choices=tuple(ARCHITECTURES)
    )
    image_size: int = parameter("Width and height in pixels that images are resized to.", 640, 32, 2048)
    augmentation: bool = parameter("Vary the images: mirrored, cut around the objects, in other light.", True)
    score_threshold: float = parameter("How sure an object must be for the served model to tell it.", 0.5, 0.0, 1.0)


class DetectionTrainer(Trainer):
    """A Trainer that predicts the surest boxes of each image, and takes an image's number for its label.

    So all processes have tensors of one size to exchange; how many boxes there are differs from image to image.
    """

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, Any, torch.Tensor | None]:
        """Return the loss, the boxes as (scores, classes, corners in pixels), and the numbers of the images."""
        inputs = self._prepare_inputs(inputs)
        labels: list[dict[str, torch.Tensor]] = inputs["labels"]
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        sizes = torch.stack([label["orig_size"] for label in labels])
        found = self.processing_class.post_process_object_detection(outputs, threshold=-1, target_sizes=sizes)
        surest = [one["scores"].topk(min(box_evaluation.MOST, len(one["scores"]))).indices for one in found]
        told = tuple(
            torch.stack([one[part][rows].float() for one, rows in zip(found, surest, strict=True)])
            for part in ("scores", "labels", "boxes")
        )
        return outputs.loss, told, torch.cat([label["image_id"] for label in labels])


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    data = images.load(run, "objects")
    labels = sorted({str(name) for one in data["objects"] for name in one["category"]}, key=examples.natural)
    if not labels:
        raise TrainingError("No image has an object: there is nothing to find.")
    numbers = {name: number for number, name in enumerate(labels)}
    annotated = [box_evaluation.annotations(row, one, numbers) for row, one in enumerate(data["objects"])]
    training, test = examples.split(run, data.remove_columns("objects").add_column("row", np.arange(len(data))))
    learned, truth = ([annotated[row] for row in part["row"]] for part in (training, test))
    if not any(image["annotations"] for image in truth):
        raise TrainingError("No image that is held out has an object: there is nothing to measure by.")

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run)
    names = pretrained.label_names(labels)
    side = given.image_size
    size = {"height": side, "width": side}
    if base:
        processor = AutoImageProcessor.from_pretrained(base, backend="pil", size=size)
        model = AutoModelForObjectDetection.from_pretrained(
            base, num_labels=len(labels), **names, ignore_mismatched_sizes=True
        )
    else:
        processor = RTDetrImageProcessorPil(size=size)
        shape = ARCHITECTURES[given.architecture]
        places = sum(math.ceil(side / stride) ** 2 for stride in STRIDES)
        shape = shape | {"num_queries": min(shape["num_queries"], places)}  # a query begins at a place
        model = AutoModelForObjectDetection.from_config(AutoConfig.for_model(**shape, num_labels=len(labels), **names))
    model.accepts_loss_kwargs = False  # Trainer itself then averages the batches of a step, also across devices

    # ----------------------------------------------------------------------------------------------------- training
    files = images.ImageFiles(run.paths.channel("train"))

    def read(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pictures = [files.image(place) for place in rows["image"]]
        return {"image": pictures, "annotations": [annotated[row] for row in rows["row"]]}

    def read_varied(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = read(rows)
        pairs = [varied(*pair) for pair in zip(rows["image"], rows["annotations"], strict=True)]
        return {"image": [image for image, _ in pairs], "annotations": [one for _, one in pairs]}

    def measured(answers: EvalPrediction) -> dict[str, float]:
        boxes = box_evaluation.rows(answers.predictions, answers.label_ids)
        return box_evaluation.measure(boxes, truth, labels)[0]

    training_loop = DetectionTrainer(
        model=model,
        # Gradients are cut as in RT-DETR's own training: its losses are large at first.
        args=trainer.arguments(run, remove_unused_columns=False, max_grad_norm=0.1),
        train_dataset=training.with_transform(read_varied if given.augmentation else read),
        eval_dataset=test.with_transform(read),
        data_collator=collator(processor),
        processing_class=processor,
        compute_metrics=measured,
    )
    trainer.train(run, training_loop)

    # --------------------------------------------------------------------------------------------------- evaluation
    answers = training_loop.predict(test.with_transform(read))
    boxes = box_evaluation.rows(answers.predictions, answers.label_ids)
    figures, each = box_evaluation.measure(boxes, truth, labels)
    blind = box_evaluation.blind(learned, [image["image_id"] for image in truth])
    figures["baseline_map"] = box_evaluation.measure(blind, truth, labels)[0]["map"]

    # ------------------------------------------------------------------------------------------------------- export
    trainer.export(run, training_loop)
    return Report(
        task="object-detection",
        primary_metric="test_map",
        direction="max",
        metrics={f"test_{name}": value for name, value in figures.items()},
        plots={"per_class": each},
        manifest={
            "architecture": model.config.model_type,
            "labels": labels,
            "score_threshold": given.score_threshold,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def varied(image: Image.Image, annotations: dict[str, Any]) -> tuple[Image.Image, dict[str, Any]]:
    """Return a variation of an image, and where its objects are then."""
    objects = annotations["annotations"]
    image, boxes = augmentation.varied_with_boxes(image, [one["bbox"] for one in objects])
    moved = [{**one, "bbox": bbox} for one, bbox in zip(objects, boxes, strict=True)]
    return image, {**annotations, "annotations": moved}


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model about every image of the data."""
    folder, manifest = evaluating.trained_model(run)
    labels = manifest["labels"]
    data = images.load(run, "objects")
    evaluating.refuse_unknown("objects", {str(name) for one in data["objects"] for name in one["category"]}, labels)
    numbers = {name: number for number, name in enumerate(labels)}
    truth = [box_evaluation.annotations(row, one, numbers) for row, one in enumerate(data["objects"])]
    if not any(image["annotations"] for image in truth):
        raise TrainingError("No image has an object: there is nothing to measure by.")
    files = images.ImageFiles(run.paths.channel("train"))

    def read(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pictures = [files.image(place) for place in rows["image"]]
        return {"image": pictures, "annotations": [truth[row] for row in rows["row"]]}

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    asked = DetectionTrainer(
        model=AutoModelForObjectDetection.from_pretrained(folder),
        args=trainer.arguments(run, eval_strategy="no", remove_unused_columns=False),
        data_collator=collator(processor),
        processing_class=processor,
    )
    rows = data.remove_columns("objects").add_column("row", np.arange(len(data)))
    answers = asked.predict(rows.with_transform(read))
    figures, each = box_evaluation.measure(box_evaluation.rows(answers.predictions, answers.label_ids), truth, labels)
    # Boxes that look at no image are made from these very ones: those that trained the model are not here.
    blind = box_evaluation.blind(truth, [image["image_id"] for image in truth])
    figures["baseline_map"] = box_evaluation.measure(blind, truth, labels)[0]["map"]
    return Report(
        task="object-detection",
        primary_metric="test_map",
        direction="max",
        metrics={f"test_{name}": value for name, value in figures.items()},
        plots={"per_class": each},
        manifest={"rows": {"test": len(data)}},
    )


def collator(processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return what makes a batch of images with their objects."""

    def batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
        pictures, targets = [row["image"] for row in rows], [row["annotations"] for row in rows]
        made = processor(pictures, annotations=targets, return_tensors="pt")
        return {**made, "labels": [dict(label) for label in made["labels"]]}

    return batch
