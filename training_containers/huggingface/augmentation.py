"""Images as they might have been taken too: mirrored, cut, in other light. Python's `random` decides, which Trainer
seeds, also in each process that loads examples, and restores with a checkpoint."""

import random
from collections.abc import Sequence

from PIL import Image, ImageEnhance, ImageOps

Box = list[float]  # x, y, width, height in pixels

SMALLEST = 0.7  # share of each side that a cut keeps at least
LIGHT = 0.2  # brightness, contrast and colour change by up to so much


def varied(image: Image.Image) -> Image.Image:
    """Return a variation of an image."""
    return varied_with_boxes(image, [])[0]


def varied_with_boxes(image: Image.Image, boxes: Sequence[Box]) -> tuple[Image.Image, list[Box]]:
    """Return a variation of an image in which every box is whole, and the boxes in it."""
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
        boxes = [[image.width - x - width, y, width, height] for x, y, width, height in boxes]
    left, right = cut(image.width, [(x, x + width) for x, _, width, _ in boxes])
    top, bottom = cut(image.height, [(y, y + height) for _, y, _, height in boxes])
    image = image.crop((left, top, right, bottom))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(random.uniform(1 - LIGHT, 1 + LIGHT))
    return image, [[x - left, y - top, width, height] for x, y, width, height in boxes]


def cut(length: int, kept: list[tuple[float, float]]) -> tuple[int, int]:
    """Return where a side is cut so that what is to be kept lies within."""
    size = max(1, round(length * random.uniform(SMALLEST, 1)))
    start = random.randint(0, length - size)
    first, last = min((low for low, _ in kept), default=length), max((high for _, high in kept), default=0)
    return min(start, int(first)), max(start + size, min(length, -int(-last // 1)))
