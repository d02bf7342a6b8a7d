"""Small pictures of the first images of a data set, for people to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = "thumbnails"
MAX_THUMBNAILS = 24
THUMBNAIL = 256  # pixels on the longer side
DIRECT = ("RGB", "L")  # modes that shrink without a copy of the whole image


class Thumbnails:
    """Writes `thumbnails/001.webp` and so on, 256 pixels on the longer side."""

    def __init__(self, output: Path) -> None:
        self._folder = output / FOLDER
        self.count = 0

    @property
    def wanted(self) -> bool:
        """Whether there is room for another."""
        return self.count < MAX_THUMBNAILS

    def add(self, image: Image.Image) -> None:
        """Write a thumbnail."""
        self._folder.mkdir(exist_ok=True)
        self.count += 1
        image.save(self._folder / f"{self.count:03}.webp", "WEBP", quality=80)


def thumbnail(image: Image.Image) -> Image.Image:
    """Return an image as RGB, RGBA or grey, turned as EXIF says, at most 256 pixels on the longer side.

    The image itself becomes small: a copy of a large one would take too much memory.
    """
    if image.mode not in DIRECT:
        # By single pixels first, so that little is converted; four times the size keeps the picture smooth.
        image.thumbnail((4 * THUMBNAIL, 4 * THUMBNAIL), Image.Resampling.NEAREST)
        image = plain(image)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return ImageOps.exif_transpose(image)


def plain(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB or RGBA; of deep grey ones, the darkest is black and the brightest white."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        low, high = values.min(), values.max()
        grey = (values - low) / (high - low or 1) * 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
