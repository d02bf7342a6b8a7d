"""Figures of images against Pillow and numpy, and images that no decoder should be given.

Run: python -m pytest tests/units/processing/test_images.py
"""

import io
import struct
import tracemalloc
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambdas.processing import image_file, images, thumbnails
from lambdas.processing.image_file import CorruptImage, examine
from lambdas.processing.images import read
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile, local_file
from tests.units.processing.image_samples import examples_in, held, measured, picture

KINDS = [
    ("RGB", "PNG"), ("RGBA", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"),
    ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("P", "GIF"),
    ("RGB", "BMP"), ("L", "BMP"), ("RGB", "TIFF"), ("F", "TIFF"), ("I;16", "TIFF"), ("LAB", "TIFF"),
]  # fmt: skip


def image_of(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """An image of noise in a mode."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.new(mode, size, 7) if mode == "LAB" else Image.fromarray(noise).convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it is so large, and is not."""
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def resized_header(data: bytes, at: int, layout: str, *size: int) -> bytes:
    """An image that says another size in its header."""
    new = struct.pack(layout, *size)
    return data[:at] + new + data[at + len(new) :]


def test_figures_are_those_of_pillow_and_numpy(tmp_path: Path) -> None:
    files: list[InputFile] = []
    folder, output = tmp_path / "files", tmp_path / "output"
    folder.mkdir()
    output.mkdir()
    random = np.random.default_rng(3)
    for number, (mode, format) in enumerate(KINDS * 3):
        path = folder / f"{number:03}.{format.lower()}"
        size = int(random.integers(1, 600)), int(random.integers(1, 600))
        image_of(mode, size, number).save(path, format)
        files.append(local_file(path))
    for number in (4, 9):
        copy = folder / f"copy-{number}.png"
        copy.write_bytes((folder / files[number].name).read_bytes())
        files.append(local_file(copy))
    (folder / "cut.png").write_bytes(picture(1)[:-40])
    files.append(local_file(folder / "cut.png"))

    report = read(files, output)

    opened: list[tuple[str | None, str, tuple[int, int]]] = []
    for file in files[:-1]:
        with Image.open(folder / file.name) as image:
            opened.append((image.format, image.mode, image.size))
    widths, heights = np.array([size for _, _, size in opened]).T
    found = report.images
    assert found is not None and found.width is not None and found.height is not None
    assert (found.count, found.corrupt, found.duplicates) == (len(opened), 1, 2)
    assert found.formats == Counter(format for format, _, _ in opened)
    assert found.modes == Counter(mode for _, mode, _ in opened)
    assert (found.width.min, found.width.max, found.width.mean) == (widths.min(), widths.max(), widths.mean())
    assert (found.height.min, found.height.max, found.height.mean) == (heights.min(), heights.max(), heights.mean())
    assert [(one["file_name"], one["width"], one["height"]) for one in examples_in(output)] == [
        (file.name, *size) for file, (_, _, size) in zip(files, opened, strict=False)
    ]
    assert (report.rows, report.layout, report.duplicates) == (len(opened), "files", 2)
    assert [(column.name, column.type) for column in report.columns] == [("file_name", "file")]
    assert [(one.code, one.count, one.examples) for one in report.defects] == [("corrupt_image", 1, ["cut.png"])]
    assert all(file.sha256 for file in files)


@pytest.mark.parametrize(("mode", "format"), KINDS)
def test_every_kind_has_a_thumbnail(mode: str, format: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    image_of(mode, (600, 280), 1).save(stream, format)
    report = read([held(stream.getvalue(), "one")], tmp_path)
    with Image.open(tmp_path / "thumbnails" / "001.webp") as small:
        small.load()
        assert (small.format, max(small.size)) == ("WEBP", 256)
        assert small.size[1] == pytest.approx(256 * 280 / 600, abs=1)
    assert report.images is not None and report.images.thumbnails == 1


def test_a_thumbnail_looks_like_its_image(tmp_path: Path) -> None:
    half = Image.new("RGB", (1000, 500), (250, 10, 10))
    half.paste((10, 10, 250), (500, 0, 1000, 500))
    for mode, format in [("RGB", "PNG"), ("RGB", "JPEG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP")]:
        stream = io.BytesIO()
        half.convert(mode).save(stream, format)
        (tmp_path / format / mode).mkdir(parents=True)
        read([held(stream.getvalue(), "one")], tmp_path / format / mode)
        with Image.open(tmp_path / format / mode / "thumbnails" / "001.webp") as image:
            small = image.convert("RGB")
        pixels = np.asarray(small, dtype=int)
        for x, wanted in [(64, (250, 10, 10)), (192, (10, 10, 250))]:
            assert np.abs(pixels[64, x] - wanted).max() < 40, (mode, format)


def test_a_deep_grey_image_keeps_its_contrast() -> None:
    deep = np.linspace(30_000, 31_000, 64 * 64).reshape(64, 64).astype(np.uint16)
    small = np.asarray(thumbnails.thumbnail(Image.fromarray(deep)).convert("L"))
    assert (small.min(), small.max()) == (0, 255)


def test_exif_turns_size_and_thumbnail(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [held(picture(1, (400, 300), format="JPEG", exif=exif), "turned.jpg")]
    read(files, tmp_path)
    assert [(one["width"], one["height"]) for one in examples_in(tmp_path)] == [(300, 400)]
    with Image.open(tmp_path / "thumbnails" / "001.webp") as small:
        assert small.size == (192, 256)


def test_the_first_24_readable_images_have_thumbnails(tmp_path: Path) -> None:
    files = [held(b"no image", "bad.png"), *(held(picture(seed), f"{seed}.png") for seed in range(30))]
    report = read(files, tmp_path)
    assert report.images is not None and report.images.thumbnails == 24
    assert sorted(path.name for path in (tmp_path / "thumbnails").iterdir()) == [f"{n:03}.webp" for n in range(1, 25)]
    with Image.open(tmp_path / "thumbnails" / "001.webp") as first:
        wanted = np.asarray(Image.open(io.BytesIO(picture(0))), dtype=float)
        assert np.abs(np.asarray(first.convert("RGB"), dtype=float) - wanted).mean() < 60  # noise, and WebP loses some


def flipped(data: bytes, at: int) -> bytes:
    """Bytes with a wrong one."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


JPEG = picture(1, format="JPEG")
LARGE = [
    ("png", lambda: png_header(65535, 65535), "pixels"),
    ("png above", lambda: png_header(10_001, 10_000), "is 10001x10000 pixels, more than 100,000,000"),
    ("png of a line", lambda: png_header(2**31 - 1, 1), "pixels"),
    ("jpeg", lambda: resized_header(JPEG, JPEG.index(b"\xff\xc0") + 5, ">2H", 65535, 65535), "pixels"),
    ("gif", lambda: resized_header(picture(1, mode="P", format="GIF"), 6, "<2H", 65535, 65535), "pixels"),
    ("bmp", lambda: resized_header(picture(1, format="BMP"), 18, "<2I", 65535, 65535), "pixels"),
    ("webp canvas", lambda: canvas(12_000, 12_000), "pixels"),
    ("webp memory", lambda: canvas(5_000, 5_000), "too many for its format"),
    ("png memory", lambda: png_header(9_900, 9_900), "too many for its format"),
    ("tiff of a huge tile", lambda: tiled(16, 30_000), "too many for its format"),
]  # fmt: skip


def tiled(size: int, tile: int) -> bytes:
    """A grey TIFF in one deflated tile, which may be larger than the image."""
    data = zlib.compress(bytes(100))
    tags = {256: size, 257: size, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 200, 325: len(data)}
    entries = b"".join(struct.pack("<2H2I", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return header.ljust(200, b"\0") + data


def canvas(width: int, height: int) -> bytes:
    """A WebP whose canvas is larger than the picture on it."""
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    data = stream.getvalue()
    at = data.index(b"VP8X") + 12
    return data[:at] + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3] + data[at + 6 :]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in LARGE], ids=[row[0] for row in LARGE])
def test_headers_of_huge_images_cost_nothing(make: Callable[[], bytes], reason: str) -> None:
    data = make()
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in production, where Pillow's warning goes to the log
            with pytest.raises(CorruptImage, match=reason):
                examine(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


DAMAGED = [
    ("nothing", b""),
    ("text", b"no image"),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
    ("ppm", b"P6 1 1 255\n\0\0\0"),
    ("png cut", picture(1)[:-200]),
    ("png without end", picture(1)[:1500]),
    ("png wrong byte", flipped(picture(1), 1000)),
    ("png bad text", png_header(10, 10, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000))))),
    ("jpeg cut", picture(1, (300, 300), format="JPEG")[:-3000]),
    ("jpeg of scans", picture(1, (300, 300), format="JPEG", progressive=True).replace(b"\xff\xd9", b"\xff\xda" * 200)),
    ("webp cut", picture(1, format="WEBP")[:-100]),
    ("gif cut", picture(1, mode="P", format="GIF")[:-500]),
    ("bmp cut", picture(1, format="BMP")[:-500]),
    ("tiff cut", picture(1, format="TIFF")[:1000]),
]


@pytest.mark.parametrize("data", [data for _, data in DAMAGED], ids=[name for name, _ in DAMAGED])
def test_damaged_images_are_said_to_be_so(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorruptImage, match=r"cannot be decoded|is none of PNG, JPEG|scans"):
        examine(data)
    report = read([held(data, "bad.png"), held(picture(5), "good.png")], tmp_path)
    assert [(one.code, one.examples) for one in report.defects] == [("corrupt_image", ["bad.png"])]
    assert [one["file_name"] for one in examples_in(tmp_path)] == ["good.png"]


@pytest.mark.parametrize("quality", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_a_jpeg_cut_anywhere_is_damaged(quality: dict[str, Any]) -> None:
    data = picture(1, (900, 700), format="JPEG", **quality)
    examine(data)
    for end in range(len(data) // 10, len(data) - 2, len(data) // 10):
        with pytest.raises(CorruptImage):
            examine(data[:end])


def test_the_name_says_nothing(tmp_path: Path) -> None:
    report = read([held(picture(1, format="JPEG"), "photo.png")], tmp_path)
    assert report.images is not None and report.images.formats == {"JPEG": 1}


def test_a_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    stream = io.BytesIO()
    first = Image.open(io.BytesIO(picture(1, format="JPEG")))
    first.save(stream, "MPO", save_all=True, append_images=[Image.open(io.BytesIO(picture(2, format="JPEG")))])
    assert examine(stream.getvalue()).format == "JPEG"


def test_a_file_too_large_to_be_read_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "MAX_FILE", 10_000)
    report = read([held(picture(1, (200, 200)), "large.png"), held(picture(1), "small.png")], tmp_path)
    assert [(one.code, one.examples) for one in report.defects] == [("corrupt_image", ["large.png"])]


def test_without_a_usable_image_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"no image that can be used.*bad\.png, is none of PNG"):
        read([held(b"x", "bad.png")], tmp_path)


def test_too_many_images_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "MAX_IMAGES", 2)
    with pytest.raises(InvalidFile, match="more than 2 images"):
        read([held(picture(seed), f"{seed}.png") for seed in range(3)], tmp_path)


def test_pillow_is_left_as_strict_as_it_is() -> None:
    from PIL import ImageFile, PngImagePlugin

    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert PngImagePlugin.MAX_TEXT_CHUNK <= 2**20 and PngImagePlugin.MAX_TEXT_MEMORY <= 2**26
    assert Image.MAX_IMAGE_PIXELS == image_file.MAX_PIXELS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "size", "format", "options"),
    [
        ("RGB", 9_300, "PNG", {}),
        ("RGBA", 9_300, "PNG", {}),
        ("P", 10_000, "PNG", {}),
        ("RGB", 7_600, "JPEG", {"progressive": True, "subsampling": 0}),
        ("RGB", 10_000, "JPEG", {}),
        ("RGB", 4_680, "WEBP", {"method": 0}),
    ],
)
def test_the_largest_images_fit_into_memory(
    mode: str, size: int, format: str, options: dict[str, Any], tmp_path: Path
) -> None:
    Image.new(mode, (size, size)).save(tmp_path / "large", format, **options)
    (tmp_path / "output").mkdir()
    rows, memory = measured(tmp_path / "large", "png", tmp_path / "output")
    assert rows == 1 and memory < 512_000_000
