"""Images as such, one file each, and the figures of any images."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lambdas.processing.examples import Examples
from lambdas.processing.image_file import MAX_FILE, CorruptImage, ImageFile, examine
from lambdas.processing.report import Defects, Images, InvalidFile, Range, Report, counted
from lambdas.processing.source import InputFile
from lambdas.processing.thumbnails import Thumbnails

MAX_IMAGES = 1_000_000


class Figures:
    """Figures of images while they are read, one by one; 40 bytes of memory for each."""

    def __init__(self, output: Path, defects: Defects) -> None:
        self._thumbnails = Thumbnails(output)
        self._defects = defects
        self._formats: Counter[str] = Counter()
        self._modes: Counter[str] = Counter()
        self._width, self._height = Spread(), Spread()
        self._digests = bytearray()
        self._corrupt = 0

    def add(self, place: str, data: bytes) -> ImageFile | None:
        """Take in an image; None for one that cannot be used, which is a defect then.

        Raises InvalidFile when there are more than MAX_IMAGES.
        """
        try:
            image = examine(data, self._thumbnails.wanted)
        except CorruptImage as error:
            self.corrupt(place, str(error))
            return None
        if len(self._digests) == 32 * MAX_IMAGES:
            raise InvalidFile(f"There are more than {MAX_IMAGES:,} images: make several data sets of them.")
        self._formats[image.format] += 1
        self._modes[image.mode] += 1
        self._width.add(image.width)
        self._height.add(image.height)
        self._digests += image.sha256
        if image.thumbnail is not None:
            self._thumbnails.add(image.thumbnail)
        return image

    def corrupt(self, place: str, problem: str) -> None:
        """Count an image that cannot be used."""
        self._corrupt += 1
        message = f"Images cannot be used, the first one, {place}, {problem}. Take them out or save them again."
        self._defects.add("corrupt_image", message, place)

    def result(self) -> Images:
        """Return the figures."""
        count = len(self._digests) // 32
        return Images(
            count=count,
            corrupt=self._corrupt,
            duplicates=count - len(np.unique(np.frombuffer(bytes(self._digests), dtype="V32").view("S32"))),
            formats=counted(self._formats),
            modes=counted(self._modes),
            width=self._width.range(),
            height=self._height.range(),
            thumbnails=self._thumbnails.count,
        )


class Spread:
    """Least, greatest and mean of whole numbers."""

    def __init__(self) -> None:
        self._count = self._sum = self._max = 0
        self._min = 0

    def add(self, value: int) -> None:
        """Take in a number."""
        self._min = min(self._min, value) if self._count else value
        self._max = max(self._max, value)
        self._count, self._sum = self._count + 1, self._sum + value

    def range(self) -> Range | None:
        """Return them; None without a number."""
        return Range(self._min, self._max, self._sum / self._count) if self._count else None


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Read images that are one file each. Raises InvalidFile unless one of them can be used."""
    with Examples(output) as examples:
        figures = Figures(output, examples.defects)
        for file in files:
            if file.size > MAX_FILE:
                figures.corrupt(file.name, f"is {file.size:,} bytes; {MAX_FILE:,} are possible")
                continue
            with file.in_order() as stream:
                data = stream.read()
            if image := figures.add(file.name, data):
                examples.add(file.name, None, image, {})
        return examples.report(figures.result(), "files", [])
