"""A small dataset of every type and format, written by the formats' own libraries, and what its profile must say."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from local.demo import breast_cancer
from tests.units.processing.recordings import audio, sound, video
from tests.units.processing.sample_datasets import Row, coco, metadata, sentence, write_table, write_zip

CITIES = ("Köln", "Łódź", "Köln", "東京", "Köln", "Łódź")


@dataclass(frozen=True)
class Sample:
    """What is in a dataset: `examples` that training reads, and the part of its profile that follows from them.

    `converted` is the file that trains instead of the one that was uploaded.
    """

    examples: Sequence[Row]
    profile: dict[str, Any]
    converted: str | None = None


Maker = Callable[[Path], Sample]


# ------------------------------------------------------------------------------------------------------- tables


def cancer(name: str, converted: str | None = None) -> Maker:
    """Rows that train a model: 30 measures and a diagnosis."""

    def make(folder: Path) -> Sample:
        rows = breast_cancer()
        write_table(folder / name, SUFFIXES[Path(name).suffix], rows)
        frame = pd.DataFrame(rows)
        columns: dict[str, Any] = {column: numbers(frame[column]) for column in frame.columns[:-1]}
        return Sample(rows, {"columns": columns | {"diagnosis": classes(frame["diagnosis"])}}, converted)

    return make


def reviews(folder: Path) -> Sample:
    """Texts with a label, some of them missing, in a CSV with semicolons."""
    rows = [{"review": sentence(number), "city": CITIES[number % 6]} for number in range(48)]
    written = [row | ({"city": ""} if number % 12 == 11 else {}) for number, row in enumerate(rows)]
    pd.DataFrame(written).to_csv(folder / "reviews.csv", sep=";", index=False)
    cities = Counter(row["city"] for row in written if row["city"])
    columns = {"review": texts("review", rows), "city": {"type": "category", "missing": 4, "top": tops(cities)}}
    return Sample(written, {"columns": columns, "delimiter": ";", "encoding": "utf-8"})


def chats(folder: Path) -> Sample:
    """Chats of two messages, in JSON Lines."""
    rows = [
        {"messages": [{"role": "user", "content": sentence(n)}, {"role": "assistant", "content": sentence(n + 99)}]}
        for n in range(20)
    ]
    write_table(folder / "chats.jsonl", "jsonl", rows)
    return Sample(rows, {"columns": {"messages": {"type": "messages", "missing": 0}}, "defects": []})


def tagged(name: str, converted: str | None = None) -> Maker:
    """Sentences with a tag for each token."""

    def make(folder: Path) -> Sample:
        rows = [
            {"tokens": [*sentence(n, 4 + n % 3).split(), CITIES[n % 6]], "ner_tags": ["O"] * (5 + n % 3) + ["B-LOC"]}
            for n in range(30)
        ]
        write_table(folder / name, SUFFIXES[Path(name).suffix], rows)
        lengths = spread([len(row["tokens"]) for row in rows])
        tags = Counter(tag for row in rows for tag in row["ner_tags"])
        columns = {
            "tokens": {"type": "list", "items": "text", "missing": 0, "length": lengths},
            "ner_tags": {"type": "list", "items": "text", "length": lengths, "top": tops(tags)},
        }
        return Sample(rows, {"columns": columns, "defects": []}, converted)

    return make


def lines(folder: Path) -> Sample:
    """Two files of lines, one of them blank."""
    rows = [{"text": f"{sentence(n)} {CITIES[n % 6]}"} for n in range(40)]
    write_table(folder / "first.txt", "txt", [*rows[:15], {"text": ""}, *rows[15:25]])
    write_table(folder / "second.txt", "txt", rows[25:])
    return Sample(rows, {"columns": {"text": texts("text", rows)}})


SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".xlsx": "excel", ".json": "json", ".jsonl": "jsonl"} | {
    ".conll": "conll"
}


def numbers(values: Any) -> dict[str, Any]:
    """What pandas says of a column of numbers."""
    figures = {name: pytest.approx(values.agg(name)) for name in ("min", "max", "mean", "std")}
    return {"type": "number", "missing": 0, "distinct": values.nunique()} | figures


def classes(values: Any) -> dict[str, Any]:
    return {"type": "category", "missing": 0, "distinct": values.nunique(), "top": tops(Counter(values))}


def texts(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {"type": "text", "missing": 0, "length": spread([len(row[name]) for row in rows])}


def tops(counts: Counter[str]) -> dict[str, Any]:
    return {value: {"count": count} for value, count in counts.items()}


def spread(values: Sequence[float]) -> dict[str, Any]:
    found = {"min": min(values), "max": max(values), "mean": float(np.mean(values))}
    return {name: pytest.approx(value) for name, value in found.items()}


# ------------------------------------------------------------------------------------------------------- images


def pictures(names: Sequence[str], size: tuple[int, int] | None = None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Images of noise, of many sizes unless one is given, and their figures."""
    files, sizes, formats = dict[str, bytes](), list[tuple[int, int]](), Counter[str]()
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed)
        width, height = size or map(int, noise.integers(8, 300, 2))
        content, kind = io.BytesIO(), "PNG" if name.endswith("png") else "JPEG"
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(content, kind)
        files[name] = content.getvalue()
        sizes.append((width, height))
        formats[kind] += 1
    return files, {
        "count": len(files), "corrupt": 0, "duplicates": 0, "formats": dict(formats), "modes": {"RGB": len(files)},
        "width": spread([width for width, _ in sizes]), "height": spread([height for _, height in sizes]),
        "thumbnails": len(files),
    }  # fmt: skip


def class_folders(folder: Path) -> Sample:
    rows = [{"file_name": f"{label}/{n}.{'png' if n % 2 else 'jpg'}", "label": label} for n, label in labelled()]
    files, figures = pictures([row["file_name"] for row in rows])
    write_zip(folder / "pets.zip", files)
    return Sample(rows, {"layout": "class_folders", "images": figures, "columns": {"label": label_figures()}})


def captions(folder: Path) -> Sample:
    rows = [{"file_name": f"train/{n}.png", "text": sentence(n)} for n, _ in labelled()]
    files, figures = pictures([row["file_name"] for row in rows])
    within = [row | {"file_name": row["file_name"].removeprefix("train/")} for row in rows]
    write_zip(folder / "styles.zip", files | {"train/metadata.jsonl": metadata("jsonl", within)})
    profile = {"layout": "metadata", "images": figures, "columns": {"text": texts("text", rows)}, "defects": []}
    return Sample(rows, profile)


def boxes(folder: Path) -> Sample:
    objects = {"bbox": [[1.0, 2.0, 10.0, 12.0], [20.5, 4.0, 8.0, 8.0]], "category": ["cat", "dog"]}
    rows = [{"file_name": f"images/{n}.jpg", "objects": objects} for n, _ in labelled()]
    files, figures = pictures([row["file_name"] for row in rows], size=(32, 24))  # what `coco` writes
    named = [row | {"file_name": row["file_name"].removeprefix("images/")} for row in rows]
    write_zip(folder / "street.zip", files | {"annotations/instances_train.json": coco(named, ("cat", "dog"))})
    found = {"type": "objects", "missing": 0, "top": tops(Counter(cat=len(rows), dog=len(rows)))}
    return Sample(rows, {"layout": "coco", "images": figures, "columns": {"objects": found}, "defects": []})


def loose(suffix: str) -> Maker:
    """Images that are one file each."""

    def make(folder: Path) -> Sample:
        files, figures = pictures([f"{n}{suffix}" for n in range(5)])
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return Sample([{"file_name": name} for name in files], {"layout": "files", "images": figures})

    return make


def labelled() -> list[tuple[int, str]]:
    return [(number, "cat" if number % 3 else "dog") for number in range(12)]


def label_figures() -> dict[str, Any]:
    counts = Counter(label for _, label in labelled())
    return {"type": "category", "missing": 0, "distinct": 2, "top": tops(counts), "balance": 0.5}


# --------------------------------------------------------------------------------------------------- recordings


def sounds(names: Sequence[str]) -> tuple[dict[str, bytes], list[float], dict[str, Any]]:
    """Sounds of several rates, their seconds and figures, as libsndfile says."""
    kinds = [(8000, 1, 0.5), (16000, 2, 0.75), (16000, 1, 1.0)]
    files = {
        name: audio(Path(name).suffix[1:].upper(), sound(seconds, rate, channels), rate)
        for name, (rate, channels, seconds) in zip(names, kinds, strict=True)
    }
    infos = [soundfile.info(io.BytesIO(content)) for content in files.values()]
    return files, [one.duration for one in infos], {
        "formats": {one.format: 3 for one in infos}, "sample_rates": {"16000": 2, "8000": 1},
        "channels": {"1": 2, "2": 1},
    }  # fmt: skip


def films(folder: Path, names: Sequence[str]) -> tuple[dict[str, bytes], list[float], dict[str, Any]]:
    """Videos of two sizes, their seconds and figures, as FFmpeg says."""
    kinds = [{"rate": "25", "frames": 12}, {"rate": "30000/1001", "frames": 15, "size": (80, 64), "layout": "mono"}]
    files = {name: video(folder, **kind) for name, kind in zip(names, kinds, strict=True)}
    (folder / "made.mp4").unlink()
    seconds: list[float] = []
    for content in files.values():
        with av.open(io.BytesIO(content), "r") as opened:
            stream = opened.streams.video[0]
            assert stream.duration and stream.time_base
            seconds.append(float(stream.duration * stream.time_base))
    figures = {"formats": {"MP4": 2}, "frame_rates": {"25": 1, "29.97": 1}, "sizes": {"64x48": 1, "80x64": 1}}
    return files, seconds, figures


def recordings(names: Sequence[str], packed: str | None = None) -> Maker:
    """Recordings, in class folders of a ZIP or one file each."""

    def make(folder: Path) -> Sample:
        files, seconds, figures = films(folder, names) if names[0].endswith("mp4") else sounds(names)
        counted = {"count": len(files), "corrupt": 0, "duplicates": 0, "seconds": pytest.approx(sum(seconds))}
        if packed:
            write_zip(folder / packed, files)
        else:
            for name, content in files.items():
                (folder / name).write_bytes(content)
        rows = [{"file_name": name, "seconds": pytest.approx(one)} for name, one in zip(files, seconds, strict=True)]
        labels = [{"label": name.split("/")[0]} if packed else {} for name in names]
        media = figures | counted | {"duration": spread(seconds)}
        layout = "class_folders" if packed else "files"
        found = [row | label for row, label in zip(rows, labels, strict=True)]
        return Sample(found, {"layout": layout, "media": media, "defects": []})

    return make


# Type, format and, where there are several, layout -> what writes the files into a folder.
SAMPLES: dict[str, Maker] = {
    "tabular csv": cancer("rows.csv"),
    "tabular parquet": cancer("rows.parquet"),
    "tabular excel": cancer("rows.xlsx", "rows.csv"),
    "tabular json": cancer("rows.json", "rows.jsonl"),
    "tabular jsonl": cancer("rows.jsonl"),
    "text csv": reviews,
    "text json": tagged("sentences.json", "sentences.jsonl"),
    "text jsonl": chats,
    "text txt": lines,
    "text parquet": tagged("sentences.parquet"),
    "text conll": tagged("sentences.conll", "sentences.jsonl"),
    "image zip of class folders": class_folders,
    "image zip with metadata": captions,
    "image coco": boxes,
    "image png": loose(".png"),
    "image jpg": loose(".jpg"),
    "audio wav": recordings(["1.wav", "2.wav", "3.wav"]),
    "audio flac": recordings(["1.flac", "2.flac", "3.flac"]),
    "audio mp3": recordings(["1.mp3", "2.mp3", "3.mp3"]),
    "audio zip": recordings(["yes/1.wav", "no/2.wav", "yes/3.wav"], "words.zip"),
    "video mp4": recordings(["1.mp4", "2.mp4"]),
    "video zip": recordings(["walk/1.mp4", "run/2.mp4"], "films.zip"),
}
