"""Small images to train on, drawn by rule: striped ones for classes, squares and discs for boxes."""

import io
import json
import zipfile
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tests.containers.jobs import Job

STRIPES = ("across", "down", "squares")
SHAPES = ("disc", "square")
Line = dict[str, Any]


def striped_images(count: int, side: int = 32) -> list[tuple[Line, Image.Image]]:
    """Return images with lines as the platform lists them: stripes of two colours; how they run is the label."""
    generator = np.random.default_rng(3)
    examples = []
    for number in range(count):
        label = STRIPES[number % len(STRIPES)]
        ys, xs = np.indices((side, side)) // 2 % 2
        pattern = {"across": ys, "down": xs, "squares": ys ^ xs}[label]
        dark, light = generator.integers(0, 100, 3), generator.integers(140, 256, 3)
        pixels = np.where(pattern[..., None], light, dark) + generator.integers(-20, 20, (side, side, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        examples.append((line(f"{label}/{number}.png", image, label=label), image))
    return examples


def shape_images(count: int, side: int = 64) -> list[tuple[Line, Image.Image]]:
    """Return images with lines as the platform lists them: none to two shapes of any colour, each in its half."""
    generator = np.random.default_rng(5)
    examples = []
    for number in range(count):
        image = Image.fromarray(generator.integers(0, 60, (side, side, 3)).astype(np.uint8))
        objects: Line = {"bbox": [], "category": []}
        for half in generator.permutation(2)[: generator.integers(1, 3) if number % 10 else 0]:
            category = SHAPES[generator.integers(2)]
            size = int(generator.integers(18, 28))
            x, y = int(half * side // 2 + generator.integers(0, side // 2 - size)), int(generator.integers(side - size))
            draw = ImageDraw.Draw(image)
            colour = tuple(map(int, generator.integers(120, 256, 3)))
            (draw.ellipse if category == "disc" else draw.rectangle)((x, y, x + size - 1, y + size - 1), fill=colour)
            objects["bbox"].append([x, y, size, size])
            objects["category"].append(category)
        examples.append((line(f"{number}.png", image, objects=objects), image))
    return examples


def line(name: str, image: Image.Image, **columns: Any) -> Line:
    """Return an example as the platform lists it."""
    return {"file_name": name, "archive": "images.zip", "width": image.width, "height": image.height, **columns}


def png(image: Image.Image) -> bytes:
    """Return an image's file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def zipped(examples: list[tuple[Line, Image.Image]], folder: str = "") -> bytes:
    """Return a ZIP of the images."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for listed, image in examples:
            archive.writestr(folder + listed["file_name"], png(image))
    return file.getvalue()


def put_images(job: Job, examples: list[tuple[Line, Image.Image]]) -> None:
    """Put images where SageMaker puts a dataset of the platform: the ZIP, and the list of what is in it."""
    job.put("input/data/train/images.zip", zipped(examples))
    job.put("input/data/examples/examples.jsonl", "".join(json.dumps(listed) + "\n" for listed, _ in examples))


def shuffled(examples: list[tuple[Line, Image.Image]], column: str) -> list[tuple[Line, Image.Image]]:
    """Return the same images with what is known of them dealt out at random."""
    order = np.random.default_rng(0).permutation(len(examples))
    return [
        ({**listed, column: examples[other][0][column]}, image)
        for (listed, image), other in zip(examples, order, strict=True)
    ]
