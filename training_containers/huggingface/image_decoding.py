"""An image file's bytes as the picture that a person sees: turned as EXIF says, in red, green and blue."""

import io

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 100_000_000
Image.MAX_IMAGE_PIXELS = None  # the limit here is exact and an error; Pillow's own warns first


def decoded(data: bytes) -> Image.Image:
    """Return the picture; raises ValueError, to go on after the image's name, for what is none or is too large."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"has {image.width * image.height:,} pixels; {MAX_PIXELS:,} are possible")
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):  # 16 bits, of which Pillow would keep the lower 8 where they are not full
                turned = Image.fromarray(np.clip(np.asarray(turned) // 256, 0, 255).astype(np.uint8))
            return turned.convert("RGB")
    except ValueError:
        raise
    # Pillow's readers raise whatever the bytes lead them to: OSError, SyntaxError, struct.error, IndexError and more.
    except Exception as error:
        raise ValueError(f"is no image that can be read ({', '.join(FORMATS)})") from error
