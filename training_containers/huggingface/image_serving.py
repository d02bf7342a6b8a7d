"""Answers of image classifiers and of models that find objects."""

import base64
import binascii
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, AutoModelForObjectDetection

from training_containers.common.batching import BadRequest
from training_containers.huggingface.image_decoding import decoded
from training_containers.huggingface.serving import Predict

BATCH = 16  # images that are in memory, decoded, at once

Answers = Callable[[list[Image.Image]], list[dict[str, Any]]]


def load(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return predictions of {label, score, scores} for each image, or of {objects: [{label, score, bbox}]}.

    A box is [x, y, width, height] in pixels of the image. `score_threshold` among a request's parameters sets which
    objects are told.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    finds_objects = manifest["task"] == "object-detection"
    kind = AutoModelForObjectDetection if finds_objects else AutoModelForImageClassification
    model = kind.from_pretrained(folder).to(device).eval()

    def predict(instances: list[Any], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        threshold = threshold_of(parameters, manifest) if finds_objects else 0.0
        found = []
        for images in batches(instances):
            inputs = processor(images, return_tensors="pt").to(device)
            with torch.inference_mode():
                outputs = model(**inputs)
            if finds_objects:
                sizes = [(image.height, image.width) for image in images]
                results = processor.post_process_object_detection(outputs, threshold, sizes)
                found += [
                    {"objects": objects(result, image, model.config.id2label)}
                    for result, image in zip(results, images, strict=True)
                ]
            else:
                scores = outputs.logits.float().softmax(-1).tolist()
                found += [classes(row, model.config.id2label) for row in scores]
        return found

    return predict


def threshold_of(parameters: dict[str, Any], manifest: dict[str, Any]) -> float:
    """Return the score that objects must reach; raises BadRequest for what is none."""
    threshold = parameters.get("score_threshold", manifest["score_threshold"])
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise BadRequest("score_threshold must be a number from 0 to 1.")
    return float(threshold)


def batches(instances: list[Any]) -> Iterator[list[Image.Image]]:
    """Yield the images, a few at a time; raises BadRequest naming the first instance that is none."""
    for start in range(0, len(instances), BATCH):
        numbered = enumerate(instances[start : start + BATCH], start)
        yield [image_of(number, instance) for number, instance in numbered]


def image_of(number: int, instance: Any) -> Image.Image:
    """Return the image of an instance: base64, or an object with it as `image`; raises BadRequest."""
    text = instance.get("image") if isinstance(instance, dict) else instance
    if not isinstance(text, str):
        raise BadRequest(f'Instance {number} must be an image in base64, or {{"image": "..."}}.')
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)  # what a browser calls a data URL has a comma
    except binascii.Error as error:
        raise BadRequest(f"Instance {number} is not base64: {error}.") from error
    try:
        return decoded(data)
    except ValueError as error:
        raise BadRequest(f"Instance {number} {error}.") from error


def classes(scores: list[float], names: dict[int, str]) -> dict[str, Any]:
    """Return the likeliest class, and how likely each is."""
    best = max(range(len(scores)), key=scores.__getitem__)
    each = {names[number]: score for number, score in enumerate(scores)}
    return {"label": names[best], "score": scores[best], "scores": each}


def objects(found: dict[str, torch.Tensor], image: Image.Image, names: dict[int, str]) -> list[dict[str, Any]]:
    """Return the objects in an image, the surest first, with the part of each box that lies in the image."""
    corners = (
        found["boxes"].clamp(min=0).minimum(torch.tensor([image.width, image.height] * 2, device=found["boxes"].device))
    )
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
    each = zip(found["labels"].tolist(), found["scores"].tolist(), boxes.tolist(), strict=True)
    told = [{"label": names[label], "score": score, "bbox": bbox} for label, score, bbox in each]
    return sorted(told, key=lambda one: -one["score"])
