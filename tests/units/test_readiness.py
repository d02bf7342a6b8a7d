"""Every need of every training type: sound examples are ready, each defect is told with its code, numbers and places.

Run: python -m pytest tests/units/test_readiness.py
"""

from typing import Any

import pandas as pd
import pytest

from lambdas.datasets import tabular_checks
from lambdas.datasets.class_checks import MAX_CLASSES
from lambdas.datasets.column_mapping import ROLES, TrainingType
from lambdas.datasets.formats import FORMATS
from lambdas.datasets.profile import Column, ColumnType, Profile, ValueCount
from lambdas.datasets.readiness import NEEDS, Readiness, readiness
from tests.units.profiles import column, defect, images_of, profile
from training_containers.tabular import data as container

TEXT = column("text", "text", 20)
LABEL = column("label", "category", counts={"good": 12, "bad": 8})
TOKENS = column("tokens", "list", 20, items="text", counts={"Bonn": 20, "is": 20})
TAGS = column("ner_tags", "list", items="text", counts={"O": 40, "B-LOC": 20, "I-LOC": 10})
FILE = column("file_name", "file", 20)
OBJECTS = column("objects", "objects", counts={"cat": 20, "dog": 15})
SIZE = column("size", "number", 18)
SOUND: dict[TrainingType, tuple[str, str, Profile]] = {
    "text_classification": ("text", "csv", profile(20, TEXT, LABEL)),
    "ner": ("text", "jsonl", profile(20, TOKENS, TAGS)),
    "llm": ("text", "jsonl", profile(20, column("messages", "messages"))),
    "image_classification": ("image", "zip", profile(20, FILE, LABEL, images=images_of(20))),
    "object_detection": ("image", "coco", profile(20, FILE, OBJECTS, images=images_of(20))),
    "diffusion": ("image", "zip", profile(20, FILE, column("text", "text", 20), images=images_of(20))),
    "tabular": ("tabular", "csv", profile(20, SIZE, column("target", "category", counts={"a": 10, "b": 10}))),
    "custom": ("audio", "zip", profile(1)),
}


def changed(column: Column, **figures: object) -> Column:
    return column.model_copy(update=figures)


def asked(training_type: TrainingType, of: Profile, format: str | None = None) -> Readiness:
    type, usual, _ = SOUND[training_type]
    return readiness(of, type, format or usual, training_type, {})


def codes(answer: Readiness) -> tuple[list[str], list[str]]:
    return [problem.code for problem in answer.problems], [warning.code for warning in answer.warnings]


@pytest.mark.parametrize("training_type", SOUND)
def test_sound_examples_are_ready(training_type: TrainingType) -> None:
    type, format, examples = SOUND[training_type]
    answer = readiness(examples, type, format, training_type, {})
    assert (answer.ready, answer.problems, answer.warnings) == (True, [], [])


def reviews(text: Column = TEXT, label: Column = LABEL, rows: int = 20, **figures: Any) -> Profile:
    return profile(rows, text, label, **figures)


def tagged(tokens: Column = TOKENS, tags: Column = TAGS, rows: int = 20, **figures: Any) -> Profile:
    return profile(rows, tokens, tags, **figures)


def pictures(*columns: Column, count: int = 20, images: dict[str, int] | None = None, **figures: Any) -> Profile:
    return profile(count, FILE, *columns, images=images_of(count, **(images or {})), **figures)


def houses(target: Column, rows: int = 20) -> Profile:
    return profile(rows, SIZE, target)


def classes(name: str = "label", /, **counts: int) -> Column:
    return column(name, "category", counts=counts)


def tags(**counts: int) -> Column:
    """Tags with `_` for `-`."""
    return column("ner_tags", "list", items="text", counts={tag.replace("_", "-"): n for tag, n in counts.items()})


def prompt(**figures: int) -> Column:
    return column("prompt", "text", 20, **figures)


def completion(**figures: int) -> Column:
    return column("completion", "text", 20, **figures)


def target(type: ColumnType, distinct: int = 0, **figures: int) -> Column:
    return column("target", type, distinct, **figures)


TOP_WITH_EMPTY = [ValueCount(value=value, count=count) for value, count in (("a", 15), ("b", 4), ("", 1))]
MESSAGES = column("messages", "messages")
BARE = defect("no_objects", 4, "objects")
OUTSIDE = defect("box_outside", 3, "objects", first="1.png")
UNEQUAL = defect("unequal_lengths", 2, "tokens", "ner_tags")
LOST = defect("missing_file", 2, first="cats/7.png")
LATE = defect("invalid_tags", 6, "ner_tags", first="line 9: I-LOC after O")
NOTHING = (column("a", "number", 1), column("b", "number", missing=100), column("c", "text", 90))
PROBLEMS: dict[TrainingType, list[tuple[Profile, str, str]]] = {
    "text_classification": [
        (reviews(rows=9), "too_few_rows", "The dataset has 9 examples; at least 10 are needed."),
        (reviews(changed(TEXT, missing=3)), "missing_values", "'text' has no value in 3 of 20 examples."),
        (reviews(changed(TEXT, empty=1)), "empty_values", "'text' is empty in 1 of 20 examples."),
        (reviews(label=changed(LABEL, missing=2)), "missing_values", "'label' has no value in 2 of 20 examples."),
        (reviews(label=column("label", "category", missing=20)), "missing_values", "no value in 20 of 20"),
        (reviews(label=classes(good=20)), "one_class", "The column 'label' has only one class: 'good'."),
        (reviews(label=column("label", "number", 1)), "one_class", "has only one class."),
        (reviews(label=classes(a=19, b=1)), "rare_class", "The class 'b' in 'label' has only one example."),
        (reviews(label=classes(a=18, b=1, c=1)), "rare_class", "Each of the 2 classes 'b', 'c' in 'label'"),
        # 300 classes, of which only the most frequent 100 are listed: `balance` knows the rarest
        (reviews(label=changed(LABEL, distinct=300, balance=1 / 12), rows=3000), "rare_class", "A class in 'label'"),
        (reviews(label=column("label", "text", 11)), "too_many_classes", "11 different values in 20 examples"),
        (reviews(label=column("label", "number", 1001), rows=10_000), "too_many_classes", "1,001 different values"),
        (reviews(label=changed(LABEL, type="list")), "wrong_column_type", "of type list, where label needs one class."),
        # an empty label is no class of its own
        (
            reviews(label=changed(classes(a=15, b=4), empty=1, top=TOP_WITH_EMPTY, distinct=3)),
            "empty_values",
            "1 of 20",
        ),
    ],
    "ner": [
        (tagged(rows=5), "too_few_rows", "at least 10"),
        (tagged(tags=changed(TAGS, missing=1)), "missing_values", "'ner_tags' has no value in 1 of 20"),
        (tagged(changed(TOKENS, empty=2)), "empty_values", "'tokens' is empty in 2 of 20"),
        (tagged(defects=[UNEQUAL]), "unequal_lengths", "more tokens than tags or fewer: 2 (first in row 3)."),
        (tagged(defects=[defect("mixed_items", 4, "ner_tags")]), "mixed_items", "items of several types: 4"),
        (tagged(defects=[LATE]), "invalid_tags", "not BIO: 6 (first in line 9: I-LOC after O)."),
        (tagged(tags=tags(O=9, PER=5, LOC=3)), "invalid_tags", "Tags in 'ner_tags' that are not BIO: 'PER', 'LOC'."),
        (tagged(tags=changed(tags(**{"0": 9, "_1": 5}), items="number")), "invalid_tags", "that are not BIO: '-1'."),
        (tagged(tags=tags(O=9)), "one_class", "The lists in 'ner_tags' hold only one tag: 'O'."),
        (
            tagged(tags=changed(TAGS, type="text")),
            "wrong_column_type",
            "is of type text, where tags needs a list of tags.",
        ),
    ],
    "llm": [
        (profile(1, TEXT), "too_few_rows", "The dataset has 1 example; at least 2 are needed."),
        (profile(20, changed(MESSAGES, missing=1)), "missing_values", "'messages' has no value"),
        (
            profile(20, MESSAGES, defects=[defect("invalid_messages", 7, "messages")]),
            "invalid_messages",
            "learned from: 7",
        ),
        (profile(20, prompt(empty=2), completion()), "empty_values", "'prompt' is empty"),
        (profile(20, prompt(), completion(missing=2)), "missing_values", "'completion' has no value"),
        (profile(20, changed(TEXT, empty=3)), "empty_values", "'text' is empty"),
    ],
    "image_classification": [
        (profile(0, images=images_of(0, 4)), "missing_column too_few_rows no_images", "No column for image and label"),
        (pictures(), "missing_column", "No column for label: the columns are 'file_name'; the names looked for are"),
        (pictures(changed(LABEL, missing=5)), "missing_values", "'label' has no value in 5 of 20"),
        (pictures(classes(cats=20)), "one_class", "only one class: 'cats'"),
        (pictures(LABEL, defects=[LOST]), "missing_file", "the archive lacks: 2 (first in cats/7.png)."),
    ],
    "object_detection": [
        (pictures(), "missing_column", "No column for objects"),
        (pictures(changed(OBJECTS, empty=20)), "no_objects", "None of 20 images has a usable box in 'objects'."),
        (pictures(changed(OBJECTS, missing=2)), "missing_values", "'objects' has no value in 2 of 20"),
        (pictures(OBJECTS, defects=[OUTSIDE]), "box_outside", "Boxes outside of their image: 3 (first in 1.png)."),
        (pictures(OBJECTS, defects=[defect("box_empty", 1, "objects")]), "box_empty", "Boxes without an area: 1"),
        (pictures(OBJECTS, defects=[defect("unknown_category", 1)]), "unknown_category", "unknown category: 1"),
        (
            pictures(OBJECTS, defects=[defect("invalid_metadata", 1, "objects")]),
            "invalid_metadata",
            "be read: 1 (first",
        ),
    ],
    "diffusion": [
        (pictures(), "missing_column", "No column for text"),
        (pictures(changed(TEXT, missing=2)), "missing_values", "'text' has no value in 2 of 20"),
        (pictures(changed(TEXT, empty=2)), "empty_values", "'text' is empty"),
        (pictures(TEXT, count=2), "too_few_rows", "at least 3"),
    ],
    "tabular": [
        (houses(target("number", 9), rows=9), "too_few_rows", "The dataset has 9 examples"),
        (houses(target("number", 9, missing=11)), "too_few_rows", "9 rows of 20 have a value in 'target'; at least 10"),
        (houses(target("number", missing=20)), "missing_values", "0 rows of 20 have a value in 'target'"),
        (houses(target("number", 1)), "one_class", "The target 'target' has the same value in every row."),
        (houses(classes("target", a=20)), "one_class", "only one class: 'a'"),
        (houses(classes("target", a=19, b=1)), "rare_class", "The class 'b'"),
        (houses(changed(classes("target", **{"0": 19, "1": 1}), type="number")), "rare_class", "The class '1'"),
        (houses(target("text", 20)), "too_many_classes", "20 different values in 20 examples"),
        (houses(target("datetime", 11)), "too_many_classes", "11 different values"),
        (houses(target("list", 11)), "wrong_column_type", "is of type list"),
        (profile(20, target("number", 20)), "no_features", "None of the 0 columns besides 'target'"),
        (profile(100, target("number", 20), *NOTHING), "no_features", "None of the 3 columns besides 'target'"),
    ],
    "custom": [(profile(0), "too_few_rows", "The dataset has 0 examples; at least 1")],
}


@pytest.mark.parametrize(
    ("training_type", "examples", "expected", "message"),
    [(training_type, *case) for training_type, cases in PROBLEMS.items() for case in cases],
)
def test_a_defect_is_told_with_its_numbers_and_nothing_else(
    training_type: TrainingType, examples: Profile, expected: str, message: str
) -> None:
    answer = asked(training_type, examples)
    assert (answer.ready, codes(answer)) == (False, (expected.split(), []))
    assert message in answer.problems[0].message
    for problem in answer.problems:
        assert problem.message.endswith(".")
        assert problem.fix.endswith(".")


RARE = {"a": 970, "b": 30}
TWINS = "Examples that repeat an earlier one: 3 of 20."
SEVERED = defect("corrupt_image", 2, first="cats/9.png")
WARNINGS: dict[TrainingType, list[tuple[Profile, str, str]]] = {
    "text_classification": [
        (reviews(duplicates=3), "duplicates", TWINS),
        (reviews(duplicates=3, duplicates_exact=False), "duplicates", "an earlier one: about 3 of 20."),
        (reviews(label=classes(**RARE), rows=1000), "imbalance", "in 'label' has 30 examples, 'a' has 970."),
        (reviews(column("text", "text", 20, longest=9000)), "long_texts", "has 9,000 characters (mean 4,500)"),
        (reviews(defects=[defect("mixed_types", 3, "label")]), "mixed_types", "read as text: 3"),
    ],
    "ner": [
        (tagged(duplicates=3), "duplicates", TWINS),
        (tagged(tags=tags(O=9, B_LOC=1)), "rare_class", "The class 'B-LOC'"),
        (tagged(column("tokens", "list", 20, items="text", longest=400)), "long_texts", "400 words"),
    ],
    "llm": [
        (profile(20, TEXT, duplicates=3), "duplicates", TWINS),
        (profile(20, column("text", "text", 20, longest=20_000)), "long_texts", "20,000 characters"),
    ],
    "image_classification": [
        (pictures(LABEL, images={"corrupt": 2}, defects=[SEVERED]), "corrupt_images", "2 images of 22 cannot be read"),
        (
            pictures(LABEL, images={"corrupt": 2}, defects=[SEVERED]),
            "corrupt_images",
            "left out (first in cats/9.png).",
        ),
        (pictures(LABEL, images={"duplicates": 2}), "duplicate_images", "an earlier one: 2 of 20."),
        (pictures(LABEL, defects=[defect("unlisted_file", 2)]), "unlisted_file", "left out: 2"),
        (pictures(classes(**RARE), count=1000), "imbalance", "30 examples"),
    ],
    "object_detection": [
        (pictures(OBJECTS, defects=[BARE]), "images_without_boxes", "4 images of 20 without a box"),
        (pictures(column("objects", "objects", counts={"cat": 19, "dog": 1})), "rare_class", "The class 'dog'"),
        (pictures(column("objects", "objects", counts={"cat": 99, "dog": 2})), "imbalance", "2 examples, 'cat' has 99"),
    ],
    "diffusion": [(pictures(column("text", "text", 20, longest=301)), "long_texts", "301 characters")],
    "tabular": [
        (houses(changed(classes("target", a=8, b=8), missing=4)), "missing_values", "4 rows of 20 without a value"),
        (houses(classes("target", **dict.fromkeys("abcdefghij", 2))), "few_rows_per_class", "10 classes do not fit"),
        (houses(classes("target", **RARE), rows=1000), "imbalance", "30 examples"),
    ],
}


@pytest.mark.parametrize(
    ("training_type", "examples", "expected", "message"),
    [(training_type, *case) for training_type, cases in WARNINGS.items() for case in cases],
)
def test_what_only_harms_a_score_is_a_warning_and_does_not_block(
    training_type: TrainingType, examples: Profile, expected: str, message: str
) -> None:
    answer = asked(training_type, examples)
    assert (answer.ready, codes(answer)) == (True, ([], expected.split()))
    assert message in answer.warnings[0].message


def test_images_without_a_table_are_told_how_to_lie_in_the_archive() -> None:
    (problem,) = asked("image_classification", pictures(layout="files")).problems
    assert problem.fix == NEEDS["image_classification"].layout
    (problem,) = asked("image_classification", pictures(layout="metadata")).problems
    assert "column_mapping" in problem.fix


def test_several_defects_are_told_at_once() -> None:
    examples = profile(
        20, changed(TEXT, missing=1), column("label", "category", empty=1, counts={"a": 18, "b": 1}), duplicates=5
    )
    assert codes(asked("text_classification", examples)) == (
        ["missing_values", "empty_values", "rare_class"],
        ["duplicates"],
    )


def test_a_defect_in_a_column_that_is_not_learned_from_does_not_matter() -> None:
    other = column("also", "list", 20, items="mixed")
    examples = profile(20, TOKENS, TAGS, other, defects=[defect("mixed_items", 4, "also")])
    assert asked("ner", examples).ready


# --------------------------------------------------------------------------------------- types and formats

TYPES: list[TrainingType] = [training_type for training_type in SOUND if training_type != "custom"]


@pytest.mark.parametrize("training_type", TYPES)
@pytest.mark.parametrize(
    ("type", "format"), [(type, format) for type, formats in FORMATS.items() for format in formats]
)
def test_a_type_or_format_that_does_not_train_this_says_so_alone(
    training_type: TrainingType, type: str, format: str
) -> None:
    examples = SOUND[training_type][2]
    answer = readiness(examples, type, format, training_type, {})
    takes = NEEDS[training_type].takes
    if format in takes.get(type, ()):
        assert answer.ready
    else:
        expected = "wrong_format" if type in takes else "wrong_type"
        expected = "trains_nothing_yet" if type in ("audio", "video") else expected
        assert (codes(answer), answer.column_mapping) == (([expected], []), {})


def test_every_format_that_a_training_takes_is_one_that_its_type_comes_in() -> None:
    for needs in NEEDS.values():
        for type, formats in needs.takes.items():
            assert {*formats} <= {*FORMATS[type]}  # type: ignore[index]


def test_the_answers_for_what_trains_nothing_name_the_way_out() -> None:
    (problem,) = readiness(profile(5), "audio", "wav", "ner", {}).problems
    assert problem.message == "Audio datasets train nothing yet, so not ner either."
    (problem,) = readiness(profile(5), "image", "zip", "ner", {}).problems
    assert problem.message == "The dataset's type is image; ner trains on text or tabular."
    (problem,) = readiness(profile(5), "text", "txt", "ner", {}).problems
    assert problem.message == "The dataset's format is txt; ner trains on json, jsonl, parquet or conll."


def test_every_training_type_has_its_roles_and_its_needs() -> None:
    assert ROLES.keys() == NEEDS.keys() == SOUND.keys()


def test_numbers_are_classes_where_the_container_takes_them_for_such() -> None:
    rare = {"0": 12, "1": 6, "2": 1}
    for values, is_one in ((rare, False), ({"0": 19, "1": 1}, True), ({"0.5": 19, "1": 1}, False)):
        answer = asked("tabular", houses(changed(classes("target", **values), type="number")))
        assert answer.ready is not is_one
        rows = pd.Series([value for value, count in values.items() for _ in range(count)])
        assert (container.suggested_task(rows) == "classification") is is_one


def test_the_tabular_limits_are_the_containers() -> None:
    assert MAX_CLASSES == container.MAX_CLASSES
    assert tabular_checks.MIN_ROWS == container.MIN_ROWS
    assert tabular_checks.MAX_CATEGORIES == container.MAX_CATEGORIES
    assert tabular_checks.DISTINCT_SHARE_OF_AN_ID == container.DISTINCT_SHARE_OF_AN_ID
    assert container.TabularConfig(target="x").test_fraction == tabular_checks.DEFAULT_TEST_FRACTION
