"""Images in ZIPs: every layout becomes the examples it means, and what is wrong with it is found where it is.

Run: python -m pytest tests/units/processing/test_image_archive.py
"""

import csv
import io
import json
import random
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lambdas.processing import image_metadata, image_rows
from lambdas.processing.image_archive import read
from lambdas.processing.process import process
from lambdas.processing.report import Column, Defect, InvalidFile, Report
from tests.units.processing.image_samples import Entries, examples_in, measured, picture, zipped


def column(report: Report, name: str) -> Column:
    """A column of a report."""
    return next(column for column in report.columns if column.name == name)


def defects(report: Report) -> dict[str, tuple[int, list[str]]]:
    """Count and places of the defects."""
    return {defect.code: (defect.count, defect.examples) for defect in report.defects}


def defect(report: Report, code: str) -> Defect:
    """A defect of a report."""
    return next(defect for defect in report.defects if defect.code == code)


def lines(*rows: dict[str, Any]) -> str:
    """JSON Lines."""
    return "\n".join(map(json.dumps, rows))


def table(names: list[str], *rows: Sequence[object]) -> str:
    """A CSV."""
    stream = io.StringIO()
    csv.writer(stream).writerows([names, *rows])
    return stream.getvalue()


def test_class_folders_with_splits(tmp_path: Path) -> None:
    source, entries, wanted = random.Random(4), dict[str, bytes](), list[tuple[str, str, str]]()
    for number in range(60):
        split, label = source.choice(["train", "val", "test"]), source.choice(["cat", "dog", "dog", "frog"])
        name = f"pets/{split}/{label}/{number}.png"
        size = source.randint(1, 40), source.randint(1, 40)
        entries[name] = picture(number, size)
        wanted.append((name, label, {"val": "validation"}.get(split, split)))
    report = read([zipped(entries)], tmp_path)
    found = examples_in(tmp_path)
    assert [(one["file_name"], one["label"], one["split"]) for one in found] == wanted
    assert {one["archive"] for one in found} == {"images.zip"}
    labels = Counter(label for _, label, _ in wanted).most_common()
    top = column(report, "label").top
    assert top is not None and {one.value: one.count for one in top} == dict(labels)
    assert column(report, "label").balance == labels[-1][1] / labels[0][1]
    assert (report.layout, report.rows, report.defects) == ("class_folders", 60, [])
    assert [(one.name, one.type) for one in report.columns] == [
        ("file_name", "file"),
        ("label", "category"),
        ("split", "category"),
    ]


@pytest.mark.parametrize(
    ("names", "layout", "labels", "splits"),
    [
        (["cats/1.png", "dogs/2.png"], "class_folders", ["cats", "dogs"], None),
        (["a/cats/1.png", "b/dogs/2.png"], "class_folders", ["cats", "dogs"], None),
        (["1.png", "2.png"], "files", None, None),
        (["photos/1.png", "photos/2.png"], "files", None, None),
        (["photos/1.png", "2.png"], "files", None, None),
        (["train/1.png", "test/2.png"], "files", None, ["train", "test"]),
        (["x/Train/1.png", "x/Valid/2.png"], "files", None, ["train", "validation"]),
        (["train/cats/1.png", "train/cats/2.png"], "class_folders", ["cats", "cats"], ["train", "train"]),
        (["plane/1.png", "train/2.png"], "class_folders", ["plane", "train"], None),
        (["train/plane/1.png", "test/train/2.png"], "class_folders", ["plane", "train"], ["train", "test"]),
        (["cats/1.png", "dogs/2.png", "3.png"], "class_folders", ["cats", "dogs", None], None),
        (["animals/cats/1.png", "dogs/2.png"], "class_folders", ["cats", "dogs"], None),
    ],
)
def test_what_folders_say(
    names: list[str], layout: str, labels: list[str] | None, splits: list[str] | None, tmp_path: Path
) -> None:
    report = read([zipped({name: picture(seed) for seed, name in enumerate(names)})], tmp_path)
    found = examples_in(tmp_path)
    assert report.layout == layout
    assert [one.get("label") for one in found] == (labels or [None] * len(names))
    assert [one.get("split") for one in found] == (splits or [None] * len(names))
    assert all(("label" in one) == (labels is not None) for one in found)


def test_several_zips_are_one_set_of_classes(tmp_path: Path) -> None:
    files = [zipped({f"{name}/1.png": picture(seed)}, f"{name}.zip") for seed, name in enumerate(["cats", "dogs"])]
    assert read(files, tmp_path).layout == "class_folders"
    assert [(one["archive"], one["file_name"], one["label"]) for one in examples_in(tmp_path)] == [
        ("cats.zip", "cats/1.png", "cats"),
        ("dogs.zip", "dogs/1.png", "dogs"),
    ]


def test_damaged_images_are_left_out(tmp_path: Path) -> None:
    entries = {
        "a/1.png": picture(1),
        "a/2.png": picture(2)[:-50],
        "b/3.png": b"",
        "b/4.png": picture(4),
        "b/copy.png": picture(4),
        "b/notes.pdf": b"%PDF",
        "inner.zip": b"PK\x05\x06" + bytes(18),
    }
    report = read([zipped(entries)], tmp_path)
    assert [one["file_name"] for one in examples_in(tmp_path)] == ["a/1.png", "b/4.png", "b/copy.png"]
    assert defects(report) == {"corrupt_image": (2, ["a/2.png", "b/3.png"])}
    assert report.images is not None
    assert (report.images.count, report.images.corrupt, report.images.duplicates) == (3, 2, 1)
    assert report.notes == ["2 files in the ZIPs are no images that can be read, and were left out."]


def test_metadata_as_csv(tmp_path: Path) -> None:
    rows = [[f"{n}.png", ["cat", "dog"][n % 3 == 0], f"A photo, number {n}", n / 4, ""] for n in range(20)]
    entries: dict[str, bytes | str] = {f"set/{n}.png": picture(n) for n in range(20)}
    entries["set/metadata.csv"] = table(["file_name", "label", "text", "weight", "note"], *rows)
    report = read([zipped(entries)], tmp_path)
    found = examples_in(tmp_path)
    assert [(one["label"], one["text"], float(one["weight"]), one["note"]) for one in found] == [
        (label, text, weight, None) for _, label, text, weight, _ in rows
    ]
    assert (report.layout, report.defects) == ("metadata", [])
    assert {one.name: one.type for one in report.columns} == {
        "file_name": "file",
        "label": "category",
        "text": "text",
        "weight": "number",
        "note": "text",
    }
    assert (column(report, "weight").max, column(report, "note").missing) == (4.75, 20)
    top = column(report, "label").top
    assert top is not None and {one.value: one.count for one in top} == Counter(row[1] for row in rows)


def test_metadata_as_json_lines(tmp_path: Path) -> None:
    objects = {"bbox": [[1, 2, 3, 4], [0.5, 0.5, 10, 10]], "categories": [0, 1]}
    rows = [
        {"file_name": "a/1.png", "label": 3, "text": "one", "objects": objects, "tags": ["x", "y"], "width": 999},
        {"file_name": "a/2.png", "label": None, "text": "two", "objects": {"bbox": [], "category": []}},
        {"file_name": "b/3.png", "label": "z", "text": None, "objects": [{"bbox": [0, 0, 40, 30], "category": "q"}]},
    ]
    entries: Entries = {
        "metadata.jsonl": "\ufeff" + lines(*rows),
        **{f"{name}.png": picture(seed) for seed, name in enumerate(["a/1", "a/2", "b/3"])},
    }
    report = read([zipped(entries)], tmp_path)
    found = examples_in(tmp_path)
    assert [one["label"] for one in found] == ["3", None, "z"]
    assert [one["objects"] for one in found] == [
        {"bbox": [[1, 2, 3, 4], [0.5, 0.5, 10, 10]], "category": ["0", "1"]},
        {"bbox": [], "category": []},
        {"bbox": [[0, 0, 40, 30]], "category": ["q"]},
    ]
    assert (found[0]["tags"], found[0]["width"]) == (["x", "y"], 40)
    assert defects(report) == {"no_objects": (1, ["a/2.png"])}
    assert {one.name: one.type for one in report.columns} == {
        "file_name": "file",
        "label": "category",
        "text": "text",
        "objects": "objects",
        "tags": "list",
    }
    lengths = column(report, "objects").length
    assert lengths is not None and (lengths.min, lengths.max, lengths.mean) == (0, 2, 1)
    assert "objects" in report.preview.columns


def test_objects_in_a_csv(tmp_path: Path) -> None:
    good = json.dumps({"bbox": [[1, 2, 3, 4]], "category": ["cat"]})
    entries: dict[str, bytes | str] = {f"{n}.png": picture(n) for n in range(4)}
    rows = [["0.png", good], ["1.png", "not JSON"], ["2.png", ""], ["3.png", good + " more"]]
    entries["metadata.csv"] = table(["file_name", "objects"], *rows)
    report = read([zipped(entries)], tmp_path)
    assert [one["objects"] for one in examples_in(tmp_path)] == [
        {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": ["cat"]},
        None,
        None,
        None,
    ]
    assert defects(report) == {"invalid_metadata": (2, ["1.png", "3.png"])}
    assert (column(report, "objects").type, column(report, "objects").missing) == ("objects", 3)


@pytest.mark.parametrize(
    "objects",
    [
        {"bbox": [[1, 2, 3]], "category": ["a"]},
        {"bbox": [[1, 2, 3, "4"]], "category": ["a"]},
        {"bbox": [[1, 2, 3, True]], "category": ["a"]},
        {"bbox": [[1, 2, 3, 4]], "category": []},
        {"bbox": [[1, 2, 3, 4]]},
        {"bbox": "x", "category": ["a"]},
        {"bbox": [[1, 2, 3, 1e300]], "category": ["a"]},
        {"bbox": [[1, 2, 3, 4]], "category": [["a"]]},
        [[1, 2, 3, 4]],
        7,
    ],
)
def test_objects_that_are_none_are_found(objects: object, tmp_path: Path) -> None:
    row = {"file_name": "1.png", "objects": objects}
    report = read([zipped({"1.png": picture(1), "metadata.jsonl": lines(row)})], tmp_path)
    assert defects(report) == {"invalid_metadata": (1, ["1.png"])}
    assert examples_in(tmp_path)[0]["objects"] is None


def test_boxes_that_cannot_be_trained_on_are_left_out(tmp_path: Path) -> None:
    boxes = [
        [0, 0, 40, 30],
        [30, 20, 11, 5],
        [-1, 0, 5, 5],
        [5, 5, 0, 5],
        [5, 5, 5, -2],
        [0, 0, 40.005, 30],
        [1, 1, 2, 2],
    ]
    objects = {"bbox": boxes, "category": ["a", "b", "c", "d", "e", "f", None]}
    entries = {"1.png": picture(1), "metadata.jsonl": lines({"file_name": "1.png", "objects": objects})}
    report = read([zipped(entries)], tmp_path)
    assert examples_in(tmp_path)[0]["objects"] == {"bbox": [boxes[0], boxes[5]], "category": ["a", "f"]}
    assert {code: count for code, (count, _) in defects(report).items()} == {
        "box_outside": 2,
        "box_empty": 2,
        "unknown_category": 1,
    }
    assert "[30, 20, 11, 5] in 1.png, which is 40x30 pixels" in defect(report, "box_outside").message
    assert all(one.columns == ["objects"] for one in report.defects)


def test_images_and_rows_without_each_other_are_found(tmp_path: Path) -> None:
    names = ["1.png", "gone.png", "../outside.png", "/etc/passwd", "bad.png"]
    entries: Entries = {
        "metadata.csv": table(["file_name", "label"], *([name, "x"] for name in names), ["", "y"], ["1.png"]),
        "1.png": picture(1),
        "2.png": picture(2),
        "bad.png": b"",
    }
    report = read([zipped(entries)], tmp_path)
    assert [one["file_name"] for one in examples_in(tmp_path)] == ["1.png"]
    assert defects(report) == {
        "invalid_metadata": (2, ["metadata.csv, line 7", "metadata.csv, line 8"]),
        "unlisted_file": (1, ["2.png"]),
        "corrupt_image": (1, ["bad.png"]),
        "missing_file": (3, ["gone.png", "../outside.png", "/etc/passwd"]),
    }


def test_an_image_may_have_several_rows(tmp_path: Path) -> None:
    rows = [{"file_name": "1.png", "text": text} for text in ("first", "second")]
    report = read([zipped({"metadata.jsonl": lines(*rows), "1.png": picture(1)})], tmp_path)
    assert [one["text"] for one in examples_in(tmp_path)] == ["first", "second"]
    assert report.images is not None and (report.rows, report.images.count, report.images.duplicates) == (2, 1, 0)


def test_metadata_in_each_split_and_accents_either_way(tmp_path: Path) -> None:
    entries: Entries = {
        "train/metadata.csv": table(["file_name", "label"], ["ä.png", "x"], ["./b/2.png", "y"]),
        "train/a\u0308.png": picture(1),
        "train/b/2.png": picture(2),
        "test/metadata.csv": table(["file_name", "label"], ["2.png", "x"]),
        "test/2.png": picture(3),
    }
    report = read([zipped(entries)], tmp_path)
    assert [(one["label"], one["split"]) for one in examples_in(tmp_path)] == [
        ("x", "train"),
        ("y", "train"),
        ("x", "test"),
    ]
    assert report.defects == []


def test_metadata_of_several_zips(tmp_path: Path) -> None:
    files = [
        zipped({"1.png": picture(1), "metadata.csv": table(["file_name", "label"], ["1.png", "a"])}, "a.zip"),
        zipped({"1.png": picture(2), "metadata.csv": table(["file_name", "label"], ["1.png", "b"])}, "b.zip"),
        zipped({"x/3.png": picture(3)}, "c.zip"),
        zipped({"metadata.csv": table(["file_name", "label"], ["x/3.png", "c"])}, "d.zip"),
    ]
    report = read(files, tmp_path)
    assert [(one["archive"], one["label"]) for one in examples_in(tmp_path)] == [
        ("a.zip", "a"),
        ("b.zip", "b"),
        ("c.zip", "c"),
    ]
    assert report.defects == []


REFUSED: list[tuple[str, Entries, str]] = [
    (
        "both kinds",
        {"a/metadata.csv": "file_name\n1.png\n", "a/metadata.jsonl": lines({"file_name": "1.png"})},
        "metadata.csv and metadata.jsonl in the folder 'a'",
    ),
    ("no file_name", {"metadata.csv": "image,label\n1.png,x\n"}, "one of them file_name"),
    ("a column twice", {"metadata.csv": "file_name,a,a\n1.png,x,y\n"}, "each once"),
    ("empty", {"metadata.csv": ""}, "one of them file_name"),
    ("not UTF-8", {"metadata.csv": b"file_name,label\n1.png,\xff\n"}, "Line 2 is not UTF-8"),
    ("an open quote", {"metadata.csv": 'file_name,label\n1.png,"x\n'}, "check its quotes"),
    ("a huge cell", {"metadata.csv": "file_name,label\n1.png," + "x" * 200_000}, "check its quotes"),
    ("NUL", {"metadata.csv": "file_name,label\n1.png,\0\n"}, "NUL character"),
    ("no JSON", {"metadata.jsonl": "{"}, "Line 1"),
    ("JSON but no object", {"metadata.jsonl": "[1]"}, "Line 1 is not an object"),
    ("NaN", {"metadata.jsonl": '{"file_name": "1.png", "weight": NaN}'}, "NaN"),
    ("infinity", {"metadata.jsonl": '{"file_name": "1.png", "weight": 1e999}'}, "outside ±1.8e308"),
    ("infinity below", {"metadata.jsonl": '{"file_name": "1.png", "weights": [{"a": -1e999}]}'}, "outside ±1.8e308"),
    ("deep", {"metadata.jsonl": '{"file_name": "1.png", "x": ' + "[" * 5000 + "]" * 5000 + "}"}, "deep"),
    ("half a character", {"metadata.jsonl": '{"file_name": "1.png", "x": "\\ud83d"}'}, "surrogate"),
    ("many columns", {"metadata.jsonl": lines({"file_name": "1.png"} | {f"c{n}": 1 for n in range(1100)})}, "1,000"),
    ("no image", {"readme.md": "none"}, "no image that can be used"),
]


@pytest.mark.parametrize(("entries", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_read_is_refused(entries: Entries, reason: str, tmp_path: Path) -> None:
    images = {} if "readme.md" in entries else {"1.png": picture(1), "a/1.png": picture(2)}
    with pytest.raises(InvalidFile, match=reason):
        read([zipped({**images, **entries})], tmp_path)


def test_too_much_metadata_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image_metadata, "MAX_METADATA", 100)
    with pytest.raises(InvalidFile, match="have 110 bytes; 100 are possible"):
        read([zipped({"1.png": picture(1), "metadata.csv": "file_name,a\n1.png," + "x" * 92})], tmp_path)


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image_rows, "MAX_ROWS", 2)
    with pytest.raises(InvalidFile, match="More than 2 images are annotated"):
        read([zipped({"1.png": picture(1), "metadata.csv": "file_name\n1.png\n2.png\n3.png\n"})], tmp_path)


def test_captions_in_text_files(tmp_path: Path) -> None:
    entries: Entries = {
        "a.txt": "\ufeffA cat. \n",
        "a.png": picture(1),
        "b.png": picture(2),
        "b.txt": "Ein Hund\n",
        "c.png": picture(3),
        "d.png": picture(4),
        "d.txt": b"\xff\xfe\xff",
        "e.png": b"",
        "e.txt": "of nothing",
        "readme.txt": "not a caption",
    }
    report = read([zipped(entries)], tmp_path)
    found = {one["file_name"]: one["text"] for one in examples_in(tmp_path)}
    assert found == {"a.png": "A cat.", "b.png": "Ein Hund", "c.png": None, "d.png": None}
    assert (report.layout, column(report, "text").type, column(report, "text").missing) == ("files", "text", 2)
    assert defects(report) == {"invalid_metadata": (1, ["d.txt"]), "corrupt_image": (1, ["e.png"])}


def test_the_way_in_gives_the_same_and_hashes_the_file(tmp_path: Path) -> None:
    file = zipped({"cats/1.png": picture(1), "dogs/2.jpg": picture(2, format="JPEG")})
    report = process([file], "image", "zip", tmp_path)
    assert (report.refused, report.rows, report.layout, report.files[0].sha256) == (
        None,
        2,
        "class_folders",
        file.sha256,
    )
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "thumbnails", "report.json", "preview.json"}


@pytest.mark.slow
def test_five_thousand_images_take_no_more_memory_than_five_hundred(tmp_path: Path) -> None:
    peaks: list[int] = []
    for count in (500, 5000):
        path, output = tmp_path / f"{count}.zip", tmp_path / str(count)
        output.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number % 7}/{number}.jpg", picture(number, (120, 90), format="JPEG"))
        rows, memory = measured(path, "zip", output)
        assert rows == count
        peaks.append(memory)
    assert peaks[1] < 256 * 1024 * 1024
    assert peaks[1] - peaks[0] < 24 * 1024 * 1024
