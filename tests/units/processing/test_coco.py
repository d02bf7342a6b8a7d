"""COCO annotations against pycocotools, the library that everyone reads them with.

Run: python -m pytest tests/units/processing/test_coco.py
"""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from lambdas.processing import coco, json_document
from lambdas.processing.image_archive import read, read_coco
from lambdas.processing.report import Column, InvalidFile, Report
from tests.units.processing.image_samples import examples_in, picture, zipped

CATEGORIES = ["cat", "dog", "bird", "Zebra ä"]


def column(report: Report, name: str) -> Column:
    """A column of a report."""
    return next(column for column in report.columns if column.name == name)


def defects(report: Report) -> dict[str, tuple[int, list[str]]]:
    """Count and places of the defects."""
    return {defect.code: (defect.count, defect.examples) for defect in report.defects}


def document(images: list[Any], annotations: list[Any], categories: list[Any] | None = None) -> dict[str, Any]:
    """A COCO document."""
    names = [{"id": 10 * n + 1, "name": name, "supercategory": "x"} for n, name in enumerate(CATEGORIES)]
    return {
        "info": {"description": "made"},
        "licenses": [{"id": 1}],
        "images": images,
        "annotations": annotations,
        "categories": names if categories is None else categories,
    }


def image(id: int, name: str | None = None) -> dict[str, Any]:
    """An image as COCO lists it."""
    return {"id": id, "file_name": name or f"{id:012}.png", "width": 40, "height": 30, "license": 1}


def box(id: int, image: int, bbox: list[float], category: int = 1, **more: Any) -> dict[str, Any]:
    """An annotation."""
    return {
        "id": id,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "iscrowd": 0,
    } | more


def generated(seed: int, count: int) -> dict[str, Any]:
    """Annotations with every defect of boxes among them, in an order of their own."""
    source = random.Random(seed)
    images = [image(source.randrange(10**9)) for _ in range(count)]
    boxes: list[dict[str, Any]] = []
    for one in images:
        for _ in range(source.choice([0, 1, 1, 2, 5, 9])):
            x, y, w, h = (round(source.uniform(0, 20), 2) for _ in range(4))
            x, w = (x, -w) if source.random() < 0.1 else (x, w)
            x = x + 30 if source.random() < 0.1 else x
            category = 999 if source.random() < 0.05 else source.choice([1, 1, 1, 11, 21])
            polygon = [round(source.uniform(0, 40), 2) for _ in range(20)]
            boxes.append(box(len(boxes), one["id"], [x, y, w, h], category, segmentation=[polygon]))
    source.shuffle(boxes)
    source.shuffle(images)
    return document(images, boxes)


@pytest.mark.parametrize("order", [None, ["annotations", "categories", "info", "images"]])
def test_figures_are_those_of_pycocotools(order: list[str] | None, tmp_path: Path) -> None:
    whole = generated(5, 80)
    (tmp_path / "annotations.json").write_text(json.dumps(whole))
    theirs = COCO(tmp_path / "annotations.json")
    said = {key: whole[key] for key in order} if order else whole
    entries: dict[str, bytes | str] = {f"images/{one['file_name']}": picture(one["id"]) for one in whole["images"]}
    report = read(
        [zipped({"annotations/instances.json": json.dumps(said, indent=1 if order else None), **entries})], tmp_path
    )

    found = examples_in(tmp_path)
    assert len(found) == report.rows == len(theirs.getImgIds())
    names = {one["id"]: one["name"] for one in theirs.loadCats(theirs.getCatIds())}
    kinds: Counter[str] = Counter()
    usable: Counter[str] = Counter()
    per_image: list[int] = []
    ids = {one["file_name"]: one["id"] for one in theirs.loadImgs(theirs.getImgIds())}
    for example in found:
        wanted: list[tuple[list[float], str]] = []
        annotations = theirs.loadAnns(theirs.getAnnIds(imgIds=[ids[Path(example["file_name"]).name]]))
        for one in annotations:
            x, y, w, h = one["bbox"]
            if one["category_id"] not in names:
                kinds["unknown_category"] += 1
            elif w <= 0 or h <= 0:
                kinds["box_empty"] += 1
            elif x < 0 or y < 0 or x + w > 40 or y + h > 30:
                kinds["box_outside"] += 1
            else:
                wanted.append(([x, y, w, h], names[one["category_id"]]))
        kinds["no_objects"] += not annotations
        usable.update(name for _, name in wanted)
        per_image.append(len(wanted))
        assert sorted(zip(example["objects"]["bbox"], example["objects"]["category"], strict=True)) == sorted(wanted)
    assert {code: count for code, (count, _) in defects(report).items()} == dict(kinds) and len(kinds) == 4

    objects = column(report, "objects")
    assert objects.top is not None and objects.length is not None
    assert {one.value: one.count for one in objects.top} == dict(usable)
    assert objects.balance == min(usable.values()) / max(usable.values())
    assert (objects.length.min, objects.length.max) == (min(per_image), max(per_image))
    assert objects.length.mean == pytest.approx(sum(per_image) / len(per_image))
    assert (objects.type, report.layout) == ("objects", "coco")
    assert [(one.name, one.type) for one in report.columns] == [("file_name", "file"), ("objects", "objects")]


def test_boxes_keep_the_order_of_their_annotations(tmp_path: Path) -> None:
    boxes = [box(n, 1, [n, n, 1, 1], 1 + 10 * (n % 2)) for n in range(20)]
    whole = document([image(1, "1.png"), image(2, "2.png")], [*boxes, box(99, 2, [0, 0, 3, 3])])
    read([zipped({"1.png": picture(1), "2.png": picture(2), "_annotations.coco.json": json.dumps(whole)})], tmp_path)
    first, second = examples_in(tmp_path)
    assert first["objects"] == {"bbox": [one["bbox"] for one in boxes], "category": ["cat", "dog"] * 10}
    assert second["objects"] == {"bbox": [[0, 0, 3, 3]], "category": ["cat"]}


def test_a_file_beside_the_images_of_each_split(tmp_path: Path) -> None:
    entries: dict[str, bytes | str] = {}
    for seed, split in enumerate(["train", "valid", "test"]):
        whole = document([image(0, "0.png"), image(1, "1.png")], [box(0, seed % 2, [seed, 0, 5, 5])])
        entries |= {f"{split}/_annotations.coco.json": json.dumps(whole)}
        entries |= {f"{split}/images/{n}.png": picture(10 * seed + n) for n in range(2)}
    report = read([zipped(entries)], tmp_path)
    assert [(one["split"], [first for first, *_ in one["objects"]["bbox"]]) for one in examples_in(tmp_path)] == [
        ("train", [0]),
        ("train", []),
        ("validation", []),
        ("validation", [1]),
        ("test", [2]),
        ("test", []),
    ]
    assert defects(report) == {"no_objects": (3, ["train/images/1.png", "valid/images/0.png", "test/images/1.png"])}


def test_the_zips_of_coco_itself(tmp_path: Path) -> None:
    captions = {"images": [image(1)], "annotations": [{"image_id": 1, "id": 1, "caption": "a cat"}]}
    annotations: dict[str, bytes | str] = {
        "annotations/instances_train2017.json": json.dumps(document([image(1), image(2)], [box(1, 1, [0, 0, 2, 2])])),
        "annotations/instances_val2017.json": json.dumps(document([image(3)], [box(1, 3, [0, 0, 3, 3], 11)])),
        "annotations/captions_train2017.json": json.dumps(captions),
    }
    files = [
        zipped({f"train2017/{n:012}.png": picture(n) for n in (1, 2)}, "train2017.zip"),
        zipped({f"val2017/{n:012}.png": picture(n) for n in (3,)}, "val2017.zip"),
        zipped(annotations, "annotations_trainval2017.zip"),
    ]
    report = read(files, tmp_path)
    assert [(one["archive"], one["split"], one["objects"]["category"]) for one in examples_in(tmp_path)] == [
        ("train2017.zip", "train", ["cat"]),
        ("train2017.zip", "train", []),
        ("val2017.zip", "validation", ["dog"]),
    ]
    assert (column(report, "split").type, set(defects(report))) == ("category", {"no_objects"})


def test_images_without_annotations_and_the_reverse(tmp_path: Path) -> None:
    whole = document([image(1, "1.png"), image(2, "a/2.png"), image(3, "3.png")], [box(1, 1, [0, 0, 1, 1])])
    entries = {"x/1.png": picture(1), "y/a/2.png": b"", "other.png": picture(4), "coco/all.json": json.dumps(whole)}
    report = read([zipped(entries)], tmp_path)
    assert [one["file_name"] for one in examples_in(tmp_path)] == ["x/1.png"]
    assert defects(report) == {
        "corrupt_image": (1, ["y/a/2.png"]),
        "unlisted_file": (1, ["other.png"]),
        "missing_file": (1, ["3.png"]),
    }


def test_annotations_that_say_too_little_are_found(tmp_path: Path) -> None:
    images = [image(1, "1.png"), {"id": 2}, {"file_name": "2.png"}, {"id": True, "file_name": "2.png"}, 7]
    boxes = [
        box(1, 1, [0, 0, 1, 1]),
        box(2, 9, [0, 0, 1, 1]),
        {"id": 3, "image_id": 1, "category_id": 1},
        {"id": 4, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1]},
        {"id": 5, "image_id": 1, "category_id": "cat", "bbox": [0, 0, 1, 1]},
        {"id": 6, "image_id": 2**70, "category_id": 1, "bbox": [0, 0, 1, 1]},
        "none",
    ]
    report = read([zipped({"1.png": picture(1), "a.json": json.dumps(document(images, boxes))})], tmp_path)
    assert examples_in(tmp_path)[0]["objects"]["bbox"] == [[0, 0, 1, 1]]
    count, places = defects(report)["invalid_metadata"]
    assert count == 4 + 5 + 1
    assert places == ["a.json"] * 4 + ["a.json, annotation 3"]


REFUSED: list[tuple[str, str, str]] = [
    ("cut off", '{"images": [], "categories": [], "annotations": [{"id": 1}', "a.json in images.zip: Line 1 ends"),
    ("no comma", '{"images": [], "annotations": [] "categories": []}', "goes on with '\"'"),
    ("not JSON", '{"images": [x], "annotations": [], "categories": []}', "not valid JSON"),
    ("NaN", '{"images": [], "categories": [], "annotations": [{"bbox": [NaN]}]}', "NaN"),
    ("a category twice", json.dumps(document([], [], [{"id": 1, "name": "a"}] * 2)), "Two categories have the id 1"),
    ("a category without a name", json.dumps(document([], [], [{"id": 1}])), "A category has no name"),
    ("deep", '{"images": [], "categories": [], "annotations": [' + "[" * 9000 + "]" * 9000 + "]}", "deep"),
]


@pytest.mark.parametrize(("text", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_read_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=reason):
        read([zipped({"1.png": picture(1), "a.json": text})], tmp_path)


def test_an_image_in_two_files_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(document([image(1, "1.png")], []))
    with pytest.raises(InvalidFile, match=r"b.json in images.zip: The image '1.png' is listed in another"):
        read([zipped({"1.png": picture(1), "a.json": whole, "b.json": whole})], tmp_path)


def test_too_many_boxes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coco, "MAX_BOXES", 3)
    whole = document([image(1, "1.png")], [box(n, 1, [0, 0, 1, 1]) for n in range(4)])
    with pytest.raises(InvalidFile, match="more than 3 boxes"):
        read([zipped({"1.png": picture(1), "a.json": json.dumps(whole)})], tmp_path)


def test_other_json_is_no_annotation(tmp_path: Path) -> None:
    entries = {"cats/1.png": picture(1), "dogs/2.png": picture(2), "package.json": '{"images": [}'}
    assert read([zipped(entries)], tmp_path).layout == "class_folders"


def test_exif_turns_the_image_that_boxes_lie_in(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 8
    whole = document([image(1, "1.jpg")], [box(1, 1, [0, 0, 30, 40]), box(2, 1, [0, 0, 40, 30])])
    turned = picture(1, format="JPEG", exif=exif)
    report = read([zipped({"1.jpg": turned, "a.json": json.dumps(whole)})], tmp_path)
    assert examples_in(tmp_path)[0]["objects"]["bbox"] == [[0, 0, 30, 40]]
    assert defects(report) == {"box_outside": (1, ["1.jpg"])}


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_document_is_the_same_in_whatever_pieces_it_comes(
    piece: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(json_document, "PIECE", piece)
    whole = {"version": 1.25e-7, "year": 2017, "flag": True} | document([image(1, "1.png")], [box(1, 1, [1, 2, 3, 4])])
    read([zipped({"1.png": picture(1), "a.json": json.dumps(whole | {"last": 12345})})], tmp_path)
    assert examples_in(tmp_path)[0]["objects"] == {"bbox": [[1, 2, 3, 4]], "category": ["cat"]}


def test_a_coco_dataset_without_a_coco_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no COCO file"):
        read_coco([zipped({"cats/1.png": picture(1), "dogs/2.png": picture(2)})], tmp_path)
