"""Small datasets in every format, written by the libraries that people write them with, always the same."""

import csv
import io
import json
import random
import zipfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image

Row = dict[str, Any]
RATE = 8000  # samples a second


def write_table(path: Path, format: str, rows: list[Row]) -> None:
    """Write rows as a file of a format; what CSV and Excel cannot hold is written as Python prints it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if format == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    elif format == "excel":
        cells = [{name: value if is_cell(value) else str(value) for name, value in row.items()} for row in rows]
        pd.DataFrame(cells, columns=names).to_excel(path, index=False)
    elif format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif format == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif format == "parquet":
        pq.write_table(pa.Table.from_pylist([dict.fromkeys(names) | row for row in rows]), path)
    elif format == "txt":
        path.write_text("".join(row["text"] + "\n" for row in rows))
    else:
        pairs = [zip(row["tokens"], row["ner_tags"], strict=True) for row in rows]
        path.write_text("\n".join("".join(f"{token} {tag}\n" for token, tag in one) for one in pairs))


def is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def picture(number: int, size: tuple[int, int] = (32, 24)) -> bytes:
    """A PNG like no other."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def metadata(format: str, rows: list[Row]) -> bytes:
    """A table of images, as metadata.csv or metadata.jsonl hold it."""
    if format == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def coco(rows: list[Row], categories: Iterable[str]) -> bytes:
    """The annotations of images in COCO's JSON: `objects` of each row become annotations."""
    ids = {name: number for number, name in enumerate(categories, start=1)}
    images = [
        {"id": number, "file_name": row["file_name"], "width": 32, "height": 24} for number, row in enumerate(rows)
    ]
    boxes = [
        (number, box, category)
        for number, row in enumerate(rows)
        for box, category in zip(row["objects"]["bbox"], row["objects"]["category"], strict=True)
    ]
    annotations = [
        {
            "id": id,
            "image_id": image,
            "category_id": ids.get(category, 99),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for id, (image, box, category) in enumerate(boxes)
    ]
    named = [{"id": number, "name": name} for name, number in ids.items()]
    return json.dumps({"images": images, "annotations": annotations, "categories": named}).encode()


def write_sound(path: Path, format: str) -> None:
    """Half a second of a tone, as WAV, FLAC or MP3."""
    tone = np.sin(np.arange(RATE // 2) * 2 * np.pi * 440 / RATE)
    soundfile.write(path, tone, RATE, format=format.upper())


def write_film(path: Path) -> None:
    """Half a second of MPEG-4 video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(5):
            picture = np.full((32, 32, 3), number * 50, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def sentence(seed: int, words: int = 6) -> str:
    """Some words, the same for a seed."""
    chosen = random.Random(seed)
    vocabulary = ("river", "house", "walks", "slowly", "green", "under", "seven", "paper", "sings", "cold", "bright")
    return " ".join(chosen.choice(vocabulary) for _ in range(words)) + f" {seed}"
