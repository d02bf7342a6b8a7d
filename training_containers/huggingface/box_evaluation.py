"""How good the boxes of a detector are: average precision as COCO defines it, beside boxes that look at no image."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

MOST = 100  # boxes of an image that count

Objects = dict[str, list[Any]]
"""`bbox` as [[x, y, width, height]] in pixels, `category` with the name of each."""


def annotations(number: int, objects: Objects, classes: Mapping[str, int]) -> dict[str, Any]:
    """Return the objects of an image as COCO writes them, with its number."""
    found = [
        {"bbox": bbox, "category_id": classes[category], "area": bbox[2] * bbox[3], "iscrowd": 0}
        for bbox, category in zip(objects["bbox"], objects["category"], strict=True)
    ]
    return {"image_id": number, "annotations": found}


def measure(boxes: np.ndarray, truth: Iterable[dict[str, Any]], names: list[str]) -> tuple[dict[str, float], list[Any]]:
    """Return mean average precision (`map`, -1 where no image has an object) with its kin, and what each class has.

    `boxes` has a row for each: number of the image, x, y, width, height, score, class. `truth` are annotations.
    """
    truth = list(truth)
    objects = [{**one, "image_id": image["image_id"]} for image in truth for one in image["annotations"]]
    dataset = COCO(
        {
            "images": [{"id": image["image_id"]} for image in truth],
            "annotations": [{**one, "id": number} for number, one in enumerate(objects, 1)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        }
    )
    evaluation = COCOeval_faster(dataset, dataset.loadRes(boxes), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    # Overlaps 0.5 to 0.95 x recalls x classes x sizes (all, small, medium, large) x most boxes (1, 10, 100).
    precision = evaluation.eval["precision"][..., -1]
    recall = evaluation.eval["recall"][..., -1]
    figures = {
        "map": mean(precision[..., 0]),
        "map_50": mean(precision[0, ..., 0]),
        "map_75": mean(precision[5, ..., 0]),
        "recall": mean(recall[..., 0]),
    }
    sizes = {name: mean(precision[..., size]) for size, name in enumerate(("map_small", "map_medium", "map_large"), 1)}
    figures |= {name: value for name, value in sizes.items() if value >= 0}
    support = np.bincount([one["category_id"] for one in objects], minlength=len(names))
    each = [
        {
            "label": name,
            "average_precision": mean(precision[:, :, number, 0]),
            "average_precision_50": mean(precision[0, :, number, 0]),
            "support": int(support[number]),
        }
        for number, name in enumerate(names)
        if support[number]
    ]
    return figures, each


def mean(values: np.ndarray) -> float:
    """Return the mean of what is known; -1 where nothing is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def rows(answers: Any, numbers: Any) -> np.ndarray:
    """Return predicted boxes as `measure` wants them; `answers` are scores, classes and corners of each image."""
    scores, classes, corners = (np.asarray(part, np.float64) for part in answers)
    images = np.broadcast_to(np.asarray(numbers, np.float64)[:, None], scores.shape)
    origin, extent = corners[..., :2], corners[..., 2:] - corners[..., :2]
    columns = [images[..., None], origin, extent, scores[..., None], classes[..., None]]
    return np.concatenate(columns, axis=-1).reshape(-1, 7)


def blind(learned: Iterable[dict[str, Any]], images: list[int]) -> np.ndarray:
    """Return the same boxes for every image: each class's mean box, as sure as there are many of the class."""
    by_class: dict[int, list[Any]] = {}
    for image in learned:
        for one in image["annotations"]:
            by_class.setdefault(one["category_id"], []).append(one["bbox"])
    total = sum(map(len, by_class.values()))
    guesses = [[*np.mean(boxes, axis=0), len(boxes) / total, number] for number, boxes in by_class.items()]
    return np.array([[image, *guess] for image in images for guess in guesses], np.float64)
