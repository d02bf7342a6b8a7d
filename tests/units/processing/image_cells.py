"""ZIPs of images for every training type that learns from them, in every layout it takes, each with one defect."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lambdas.datasets.column_mapping import TrainingType
from tests.units.processing.readiness_cells import COUNT, Cell, Change, Rows, first, put, sound, without
from tests.units.processing.sample_datasets import coco, metadata, picture, sentence, write_zip

Members = dict[str, bytes]
Damage = Callable[[Members], Members]
Layouts = tuple[Callable[[Rows], Members], ...]
PICTURES: Members = {f"{number:03}.png": picture(number) for number in range(COUNT)}
SEVERED = picture(1)[:200]  # the beginning of an image


def labelled() -> Rows:
    return [{"file_name": name, "label": ("cat", "dog")[number % 2]} for number, name in enumerate(PICTURES)]


def captioned() -> Rows:
    return [{"file_name": name, "text": f"A picture of {sentence(number)}"} for number, name in enumerate(PICTURES)]


def boxed() -> Rows:
    """Images of 32 x 24 pixels with two boxes each."""
    objects = {"bbox": [[1, 2, 10, 12], [20.5, 4, 8, 8]], "category": ["cat", "dog"]}
    return [{"file_name": name, "objects": {key: [*values] for key, values in objects.items()}} for name in PICTURES]


def objects(*boxes: list[float], category: str = "cat") -> dict[str, Any]:
    return {"bbox": [*boxes], "category": [category] * len(boxes)}


def folders(rows: Rows) -> Members:
    """Class folders: a row's label is its image's folder."""
    return {f"{row['label']}/{row['file_name']}": PICTURES[row["file_name"]] for row in rows}


def metadata_csv(rows: Rows) -> Members:
    return {"metadata.csv": metadata("csv", rows)} | PICTURES


def metadata_jsonl(rows: Rows) -> Members:
    return {"metadata.jsonl": metadata("jsonl", rows)} | PICTURES


def caption_files(rows: Rows) -> Members:
    """A text file beside each image that has a text."""
    texts = {row["file_name"].replace(".png", ".txt"): row["text"].encode() for row in rows if "text" in row}
    return texts | {row["file_name"]: PICTURES[row["file_name"]] for row in rows}


def annotations(rows: Rows) -> Members:
    data = coco(rows, ("cat", "dog"))
    return {"annotations/instances.json": data} | {f"images/{name}": data for name, data in PICTURES.items()}


def same(members: Members) -> Members:
    return members


def severed(count: int) -> Damage:
    """The first images of an archive lose their ends."""

    def change(members: Members) -> Members:
        names = [name for name in members if name.endswith(".png")][:count]
        return members | dict.fromkeys(names, SEVERED)

    return change


def lacking(count: int) -> Damage:
    """The first images are taken out of the archive."""

    def change(members: Members) -> Members:
        names = [name for name in members if name.endswith(".png")][:count]
        return {name: data for name, data in members.items() if name not in names}

    return change


def copied(members: Members) -> Members:
    """One image has the bytes of another."""
    one, other, *_ = [name for name in members if name.endswith(".png")]
    return members | {other: members[one]}


def in_splits(members: Members) -> Members:
    """A quarter of the images lies in `test`, the others in `train`."""
    return {f"{('test', *['train'] * 3)[n // 2 % 4]}/{name}": data for n, (name, data) in enumerate(members.items())}


def garbled(members: Members) -> Members:
    """The first caption is not UTF-8."""
    name = next(name for name in members if name.endswith(".txt"))
    return members | {name: "Mützen".encode("cp1252")}


NO_BOX: dict[str, Any] = {"bbox": [], "category": []}
NAMELESS = {"bbox": [[1, 2, 3, 4]], "category": []}
COW = objects([2, 2, 9, 9], category="cow")
WITH_LABELS = (folders, metadata_csv, metadata_jsonl)
WITH_METADATA = (metadata_csv, metadata_jsonl)
WITH_CAPTIONS = (*WITH_METADATA, caption_files)
WITH_BOXES = (metadata_jsonl, annotations)
IMAGES: dict[TrainingType, list[tuple[Layouts, Callable[[], Rows], str, Change, Damage, str]]] = {
    "image_classification": [
        (WITH_LABELS, labelled, "sound", sound, same, "ready"),
        ((folders,), labelled, "one class", put("label", "cat"), same, "missing_column"),
        (WITH_METADATA, labelled, "one class", put("label", "cat"), same, "one_class"),
        (WITH_LABELS, labelled, "a class with one image", put("label", "odd", 3), same, "rare_class"),
        (WITH_LABELS, labelled, "images cut off", sound, severed(2), "ready (corrupt_images)"),
        (WITH_LABELS, labelled, "all images cut off", sound, severed(COUNT), "refused"),
        (WITH_LABELS, labelled, "an image twice", sound, copied, "ready (duplicate_images)"),
        ((folders,), labelled, "nine images", first(9), same, "too_few_rows"),
        (WITH_METADATA, labelled, "nine images listed", first(9), same, "too_few_rows (unlisted_file)"),
        (WITH_METADATA, labelled, "no labels", without("label"), same, "missing_column"),
        (WITH_METADATA, labelled, "a label is missing", put("label", None, 3), same, "missing_values"),
        ((metadata_jsonl,), labelled, "an empty label", put("label", "", 3), same, "empty_values"),
        (WITH_METADATA, labelled, "labels all differ", put("label", lambda n: f"class {n}"), same, "too_many_classes"),
        (
            WITH_METADATA,
            labelled,
            "a row without file",
            put("file_name", "", 3),
            same,
            "invalid_metadata (unlisted_file)",
        ),
        ((folders,), labelled, "sound, in splits", sound, in_splits, "ready"),
        (WITH_METADATA, labelled, "files are missing", sound, lacking(2), "missing_file"),
        ((caption_files,), captioned, "captions for labels", sound, same, "missing_column"),
    ],
    "object_detection": [
        (WITH_BOXES, boxed, "sound", sound, same, "ready"),
        (WITH_BOXES, boxed, "a box outside", put("objects", objects([20, 2, 20, 12]), 3), same, "box_outside"),
        (WITH_BOXES, boxed, "a box at negative x", put("objects", objects([-2, 2, 10, 12]), 3), same, "box_outside"),
        (WITH_BOXES, boxed, "a box without width", put("objects", objects([2, 2, 0, 12]), 3), same, "box_empty"),
        (WITH_BOXES, boxed, "no boxes at all", put("objects", NO_BOX), same, "no_objects"),
        (WITH_BOXES, boxed, "images without boxes", put("objects", NO_BOX, 3, 4), same, "ready (images_without_boxes)"),
        ((annotations,), boxed, "an unknown category", put("objects", COW, 3), same, "unknown_category"),
        (
            (metadata_jsonl,),
            boxed,
            "a category with one box",
            put("objects", COW, 3),
            same,
            "ready (rare_class)",
        ),
        (
            (metadata_jsonl,),
            boxed,
            "boxes without category",
            put("objects", NAMELESS, 3),
            same,
            "invalid_metadata missing_values",
        ),
        ((metadata_jsonl,), boxed, "objects are missing", put("objects", None, 3), same, "missing_values"),
        (
            (metadata_jsonl,),
            boxed,
            "a row without file",
            put("file_name", "", 3),
            same,
            "invalid_metadata (unlisted_file)",
        ),
        (WITH_BOXES, boxed, "files are missing", sound, lacking(2), "missing_file"),
        (WITH_BOXES, boxed, "images cut off", sound, severed(2), "ready (corrupt_images)"),
        (WITH_LABELS, labelled, "labels for boxes", sound, same, "missing_column"),
    ],
    "diffusion": [
        (WITH_CAPTIONS, captioned, "sound", sound, same, "ready"),
        (WITH_METADATA, captioned, "no captions", without("text"), same, "missing_column"),
        (WITH_METADATA, captioned, "a caption is missing", put("text", None, 3), same, "missing_values"),
        ((metadata_jsonl, caption_files), captioned, "an empty caption", put("text", "", 3), same, "empty_values"),
        ((caption_files,), captioned, "two images", first(2), same, "too_few_rows"),
        (WITH_METADATA, captioned, "two images listed", first(2), same, "too_few_rows (unlisted_file)"),
        ((caption_files,), captioned, "a caption not in UTF-8", sound, garbled, "invalid_metadata missing_values"),
        (WITH_METADATA, captioned, "files are missing", sound, lacking(2), "missing_file"),
        (WITH_CAPTIONS, captioned, "images cut off", sound, severed(2), "ready (corrupt_images)"),
        (WITH_CAPTIONS, captioned, "a long caption", put("text", "long " * 100, 3), same, "ready (long_texts)"),
    ],
}


def image_cells() -> Iterator[Cell]:
    for training_type, cells in IMAGES.items():
        for layouts, rows, defect, change, damage, expected in cells:
            for layout in layouts:
                format = "coco" if layout is annotations else "zip"
                write = writer(layout, rows, change, damage)
                yield Cell(training_type, "image", format, layout.__name__, defect, write, expected)


def writer(
    layout: Callable[[Rows], Members], rows: Callable[[], Rows], change: Change, damage: Damage
) -> Callable[[Path], None]:
    return lambda path: write_zip(path, damage(layout(change(rows()))))
