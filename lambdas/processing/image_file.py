"""One image from a stranger: decoded to its last row within a fixed share of memory, or said to be unusable."""

import hashlib
import io
from dataclasses import dataclass, replace

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from lambdas.processing.thumbnails import THUMBNAIL, thumbnail

MAX_PIXELS = 100_000_000
MAX_MEMORY = 352_000_000  # bytes, for a file and what it decodes to
MAX_FILE = 256 * 1024 * 1024  # bytes
MAX_SCANS = 100  # of a JPEG; honest ones have a dozen, and each may cost a pass over the whole image
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags

# The second belt: Pillow itself refuses twice as many, and warns from here on.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class CorruptImage(Exception):
    """The image cannot be used; the message says why, to go on after its name."""


@dataclass(frozen=True)
class ImageFile:
    """An image that can be read; width and height in pixels, as EXIF turns it."""

    format: str
    mode: str
    width: int
    height: int
    sha256: bytes
    thumbnail: Image.Image | None

    def without_thumbnail(self) -> "ImageFile":
        """Return what may wait in memory."""
        return replace(self, thumbnail=None)


def examine(data: bytes, with_thumbnail: bool = False) -> ImageFile:
    """Decode an image by what it is, whatever its name. Raises CorruptImage for what training could not use."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            refuse_large(image, len(data))
            if image.format == "PNG":
                verify_checksums(data)
            return decoded(image, data, with_thumbnail)
    except CorruptImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CorruptImage(f"has more than {MAX_PIXELS:,} pixels: make it smaller") from error
    # Pillow's readers raise whatever the bytes lead them to: OSError, SyntaxError, struct.error, IndexError and more.
    except Exception as error:
        raise CorruptImage(reason(error)) from error


def refuse_large(image: Image.Image, size: int) -> None:
    """Raise CorruptImage for an image that would take too much memory or time, before it is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CorruptImage(f"is {width}x{height} pixels, more than {MAX_PIXELS:,} in all: make it smaller")
    if needed(image, size) > MAX_MEMORY:
        raise CorruptImage(f"is {width}x{height} pixels, too many for its format ({image.format}): make it smaller")


def needed(image: Image.Image, size: int) -> int:
    """Return how many bytes of memory decoding takes at most, with the file of `size` bytes itself."""
    pixels = image.width * image.height
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # Decoded at an eighth of its size, but progressive ones keep two bytes for every sample.
        across, down = max(layer[1] for layer in image.layer), max(layer[2] for layer in image.layer)
        samples = sum(layer[1] * layer[2] for layer in image.layer)
        return size + 2 * pixels * samples // (across * down)
    if image.format == "WEBP":
        return 3 * size + 16 * pixels  # two canvases, their copy and the image
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = int(image.tag_v2.get(TILE_WIDTH, 0)) * int(image.tag_v2.get(TILE_LENGTH, 0))
        return 2 * size + 4 * (pixels + tile)
    return size + (1 if image.mode in ("1", "L", "P") else 2 if image.mode == "I;16" else 4) * pixels


def verify_checksums(data: bytes) -> None:
    """Check the checksums in a PNG, which decoding passes over; raises what Pillow does."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()


def decoded(image: Image.Image, data: bytes, with_thumbnail: bool) -> ImageFile:
    """Decode an image whole and return what is known of it then."""
    width, height = image.size
    mode, format = image.mode, image.format or ""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        if data.count(b"\xff\xda") > MAX_SCANS:
            raise CorruptImage(f"has more than {MAX_SCANS} scans: save it again")
        image.draft(None, (THUMBNAIL, THUMBNAIL))  # every byte is decoded, every eighth pixel made
        format = "JPEG"  # also of those with a second picture in them (MPO)
    image.load()
    if image.getexif().get(ORIENTATION) in TURNED:
        width, height = height, width
    small = thumbnail(image) if with_thumbnail else None
    return ImageFile(format, mode, width, height, hashlib.sha256(data).digest(), small)


def reason(error: Exception) -> str:
    """Return why Pillow could not read an image, in a few words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"is none of {', '.join(FORMATS)}"
    said = str(error).split("\n")[0]
    return f"cannot be decoded ({said[:80] or type(error).__name__})"
