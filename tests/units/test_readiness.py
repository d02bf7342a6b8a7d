"""Every need of every training type: sound examples are ready, each defect is told with its code, numbers and places.

Run: python -m pytest tests/units/test_readiness.py
"""

import pytest

from lambdas.datasets import tabular_checks
from lambdas.datasets.class_checks import MAX_CLASSES
from lambdas.datasets.column_mapping import ROLES, TrainingType
from lambdas.datasets.formats import FORMATS
from lambdas.datasets.profile import Column, Profile
from lambdas.datasets.readiness import NEEDS, Readiness, readiness
from tests.units.profiles import column, defect, pictures, profile
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
    "image_classification": ("image", "zip", profile(20, FILE, LABEL, images=pictures(20))),
    "object_detection": ("image", "coco", profile(20, FILE, OBJECTS, images=pictures(20))),
    "diffusion": ("image", "zip", profile(20, FILE, column("text", "text", 20), images=pictures(20))),
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


CLASSES = profile(20, FILE, LABEL, images=pictures(20))
BOXES = profile(20, FILE, OBJECTS, images=pictures(20))
PROBLEMS: list[tuple[TrainingType, Profile, list[str], str]] = [
    (
        "text_classification",
        profile(9, TEXT, LABEL),
        ["too_few_rows"],
        "The dataset has 9 examples; at least 10 are needed.",
    ),
    (
        "text_classification",
        profile(20, changed(TEXT, missing=3), LABEL),
        ["missing_values"],
        "'text' has no value in 3 of 20 examples.",
    ),
    (
        "text_classification",
        profile(20, changed(TEXT, empty=1), LABEL),
        ["empty_values"],
        "'text' is empty in 1 of 20 examples.",
    ),
    (
        "text_classification",
        profile(20, TEXT, changed(LABEL, missing=2)),
        ["missing_values"],
        "'label' has no value in 2 of 20 examples.",
    ),
    (
        "text_classification",
        profile(20, TEXT, changed(LABEL, missing=20, distinct=0, top=[])),
        ["missing_values"],
        "'label' has no value in 20 of 20",
    ),
    (
        "text_classification",
        profile(20, TEXT, column("label", "category", counts={"good": 20})),
        ["one_class"],
        "only one class: 'good'",
    ),
    ("text_classification", profile(20, TEXT, column("label", "number", 1)), ["one_class"], "only one class."),
    (
        "text_classification",
        profile(20, TEXT, column("label", "category", counts={"a": 19, "b": 1})),
        ["rare_class"],
        "The class 'b' in 'label' has only one example.",
    ),
    (
        "text_classification",
        profile(20, TEXT, column("label", "category", counts={"a": 18, "b": 1, "c": 1})),
        ["rare_class"],
        "Each of the 2 classes 'b', 'c'",
    ),
    # 300 classes, of which only the most frequent 100 are listed: `balance` knows the rarest
    (
        "text_classification",
        profile(3000, TEXT, changed(LABEL, distinct=300, balance=1 / 12)),
        ["rare_class"],
        "A class in 'label'",
    ),
    (
        "text_classification",
        profile(20, TEXT, column("label", "text", 11)),
        ["too_many_classes"],
        "11 different values in 20 examples",
    ),
    (
        "text_classification",
        profile(10_000, TEXT, column("label", "number", 1001)),
        ["too_many_classes"],
        "1,001 different values",
    ),
    (
        "text_classification",
        profile(20, TEXT, changed(LABEL, type="list")),
        ["wrong_column_type"],
        "is of type list; label needs one class",
    ),
    ("ner", profile(5, TOKENS, TAGS), ["too_few_rows"], "at least 10"),
    ("ner", profile(20, TOKENS, changed(TAGS, missing=1)), ["missing_values"], "'ner_tags' has no value in 1 of 20"),
    ("ner", profile(20, changed(TOKENS, empty=2), TAGS), ["empty_values"], "'tokens' is empty in 2 of 20"),
    (
        "ner",
        profile(20, TOKENS, TAGS, defects=[defect("unequal_lengths", 2, "tokens", "ner_tags")]),
        ["unequal_lengths"],
        "Examples with more tokens than tags or fewer: 2 (first in row 3).",
    ),
    (
        "ner",
        profile(20, TOKENS, TAGS, defects=[defect("mixed_items", 4, "ner_tags")]),
        ["mixed_items"],
        "Lists with items of several types: 4",
    ),
    (
        "ner",
        profile(20, TOKENS, column("ner_tags", "list", items="text", counts={"O": 9, "PER": 5, "LOC": 3})),
        ["invalid_tags"],
        "Tags in 'ner_tags' that are not BIO: 'PER', 'LOC'.",
    ),
    (
        "ner",
        profile(20, TOKENS, column("ner_tags", "list", items="number", counts={"0": 9, "-1": 5})),
        ["invalid_tags"],
        "that are not BIO: '-1'.",
    ),
    (
        "ner",
        profile(20, TOKENS, TAGS, defects=[defect("invalid_tags", 6, "ner_tags", first="line 9: I-LOC after O")]),
        ["invalid_tags"],
        "not BIO: 6 (first in line 9: I-LOC after O).",
    ),
    (
        "ner",
        profile(20, TOKENS, column("ner_tags", "list", items="text", counts={"O": 9})),
        ["one_class"],
        "hold only one tag: 'O'",
    ),
    (
        "ner",
        profile(20, TOKENS, changed(TAGS, type="text")),
        ["wrong_column_type"],
        "The column 'ner_tags' is of type text; tags needs a list of tags.",
    ),
    ("llm", profile(1, column("text", "text", 1)), ["too_few_rows"], "The dataset has 1 example;"),
    ("llm", profile(20, column("messages", "messages", missing=1)), ["missing_values"], "'messages' has no value"),
    (
        "llm",
        profile(20, column("messages", "messages"), defects=[defect("invalid_messages", 7, "messages")]),
        ["invalid_messages"],
        "Chats that cannot be learned from: 7 (first in row 3).",
    ),
    (
        "llm",
        profile(20, column("prompt", "text", 20, empty=2), column("completion", "text", 20)),
        ["empty_values"],
        "'prompt' is empty",
    ),
    (
        "llm",
        profile(20, column("prompt", "text", 20), column("completion", "text", 20, missing=2)),
        ["missing_values"],
        "'completion' has no value",
    ),
    ("llm", profile(20, column("text", "text", 20, empty=3)), ["empty_values"], "'text' is empty"),
    (
        "image_classification",
        profile(0, images=pictures(0, 4)),
        ["missing_column", "too_few_rows", "no_images"],
        "No column for image and label",
    ),
    (
        "image_classification",
        profile(20, FILE, images=pictures(20)),
        ["missing_column"],
        "No column for label: the columns are 'file_name';",
    ),
    (
        "image_classification",
        profile(20, FILE, changed(LABEL, missing=5), images=pictures(20)),
        ["missing_values"],
        "'label' has no value in 5 of 20",
    ),
    (
        "image_classification",
        profile(20, FILE, column("label", "category", counts={"cats": 20}), images=pictures(20)),
        ["one_class"],
        "'cats'",
    ),
    (
        "image_classification",
        CLASSES.model_copy(update={"defects": [defect("missing_file", 2, first="cats/7.png")]}),
        ["missing_file"],
        "Files that the metadata names and the archive lacks: 2 (first in cats/7.png).",
    ),
    ("object_detection", profile(20, FILE, images=pictures(20)), ["missing_column"], "No column for objects"),
    (
        "object_detection",
        profile(20, FILE, changed(OBJECTS, empty=20), images=pictures(20)),
        ["no_objects"],
        "None of the 20 images has a box in 'objects'.",
    ),
    (
        "object_detection",
        BOXES.model_copy(update={"defects": [defect("box_outside", 3, first="1.png")]}),
        ["box_outside"],
        "Boxes outside of their image: 3 (first in 1.png).",
    ),
    (
        "object_detection",
        BOXES.model_copy(update={"defects": [defect("box_empty", 1)]}),
        ["box_empty"],
        "Boxes without an area: 1",
    ),
    (
        "object_detection",
        BOXES.model_copy(update={"defects": [defect("unknown_category", 1)]}),
        ["unknown_category"],
        "Boxes of an unknown category: 1",
    ),
    (
        "object_detection",
        BOXES.model_copy(update={"defects": [defect("unequal_lengths", 1, "objects")]}),
        ["unequal_lengths"],
        "more boxes than categories",
    ),
    ("diffusion", profile(20, FILE, images=pictures(20)), ["missing_column"], "No column for text"),
    (
        "diffusion",
        profile(20, FILE, changed(TEXT, missing=2), images=pictures(20)),
        ["missing_values"],
        "'text' has no value in 2 of 20",
    ),
    ("diffusion", profile(20, FILE, changed(TEXT, empty=2), images=pictures(20)), ["empty_values"], "'text' is empty"),
    ("diffusion", profile(2, FILE, TEXT, images=pictures(2)), ["too_few_rows"], "at least 3"),
    ("tabular", profile(9, SIZE, column("target", "number", 9)), ["too_few_rows"], "The dataset has 9 examples"),
    (
        "tabular",
        profile(20, SIZE, column("target", "number", 9, missing=11)),
        ["too_few_rows"],
        "9 rows of 20 have a value in 'target'; at least 10",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "number", missing=20)),
        ["missing_values"],
        "0 rows of 20 have a value",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "number", 1)),
        ["one_class"],
        "The target 'target' has the same value in every row.",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "category", counts={"a": 20})),
        ["one_class"],
        "only one class: 'a'",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "category", counts={"a": 19, "b": 1})),
        ["rare_class"],
        "The class 'b'",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "text", 20)),
        ["too_many_classes"],
        "20 different values in 20 examples",
    ),
    ("tabular", profile(20, SIZE, column("target", "datetime", 11)), ["too_many_classes"], "11 different values"),
    ("tabular", profile(20, SIZE, column("target", "list", 11)), ["wrong_column_type"], "type list"),
    ("tabular", profile(20, column("target", "number", 20)), ["no_features"], "None of the 0 columns besides 'target'"),
    (
        "tabular",
        profile(
            100,
            column("target", "number", 20),
            column("a", "number", 1),
            column("b", "number", missing=100),
            column("c", "text", 90),
        ),
        ["no_features"],
        "None of the 3 columns",
    ),
    ("custom", profile(0), ["too_few_rows"], "The dataset has 0 examples; at least 1"),
]


@pytest.mark.parametrize(("training_type", "examples", "expected", "message"), PROBLEMS)
def test_a_defect_is_told_with_its_numbers_and_nothing_else(
    training_type: TrainingType, examples: Profile, expected: list[str], message: str
) -> None:
    answer = asked(training_type, examples)
    assert (answer.ready, codes(answer)) == (False, (expected, []))
    assert message in answer.problems[0].message
    for problem in answer.problems:
        assert problem.message.endswith(".")
        assert problem.fix.endswith(".")


SKEWED = {"a": 970, "b": 30}
WARNINGS: list[tuple[TrainingType, Profile, list[str], str]] = [
    (
        "text_classification",
        profile(20, TEXT, LABEL, duplicates=3),
        ["duplicates"],
        "There are 3 examples of 20 that repeat an earlier one.",
    ),
    (
        "text_classification",
        profile(20, TEXT, LABEL, duplicates=3, duplicates_exact=False),
        ["duplicates"],
        "There are about 3 examples",
    ),
    (
        "text_classification",
        profile(1000, TEXT, column("label", "category", counts=SKEWED)),
        ["imbalance"],
        "The rarest class in 'label' has 30 examples, 'a' has 970.",
    ),
    (
        "text_classification",
        profile(20, column("text", "text", 20, longest=9000), LABEL),
        ["long_texts"],
        "The longest text has 9,000 characters (mean 4,500)",
    ),
    (
        "text_classification",
        profile(20, TEXT, LABEL, defects=[defect("mixed_types", 3, "label")]),
        ["mixed_types"],
        "read as text: 3",
    ),
    (
        "ner",
        profile(20, TOKENS, column("ner_tags", "list", items="text", counts={"O": 9, "B-LOC": 1})),
        ["rare_class"],
        "The class 'B-LOC'",
    ),
    ("ner", profile(20, column("tokens", "list", 20, items="text", longest=400), TAGS), ["long_texts"], "400 words"),
    ("llm", profile(20, column("text", "text", 20, longest=20_000)), ["long_texts"], "20,000 characters"),
    (
        "image_classification",
        CLASSES.model_copy(
            update={"images": pictures(20, 2), "defects": [defect("corrupt_image", 2, first="cats/9.png")]}
        ),
        ["corrupt_images"],
        "2 images of 22 cannot be read and will be left out (first in cats/9.png).",
    ),
    (
        "image_classification",
        CLASSES.model_copy(update={"images": pictures(20, duplicates=2)}),
        ["duplicate_images"],
        "There are 2 images of 20",
    ),
    (
        "image_classification",
        CLASSES.model_copy(update={"defects": [defect("unlisted_file", 2)]}),
        ["unlisted_file"],
        "left out: 2",
    ),
    (
        "image_classification",
        profile(1000, FILE, column("label", "category", counts=SKEWED), images=pictures(1000)),
        ["imbalance"],
        "30 examples",
    ),
    (
        "object_detection",
        profile(20, FILE, changed(OBJECTS, empty=4), images=pictures(20)),
        ["images_without_boxes"],
        "4 images of 20 without a box",
    ),
    (
        "object_detection",
        profile(20, FILE, column("objects", "objects", counts={"cat": 19, "dog": 1}), images=pictures(20)),
        ["rare_class"],
        "The class 'dog'",
    ),
    (
        "diffusion",
        profile(20, FILE, column("text", "text", 20, longest=301), images=pictures(20)),
        ["long_texts"],
        "301 characters",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "category", missing=4, counts={"a": 8, "b": 8})),
        ["missing_values"],
        "4 rows of 20 without a value in 'target' will be left out.",
    ),
    (
        "tabular",
        profile(20, SIZE, column("target", "category", counts=dict.fromkeys("abcdefghij", 2))),
        ["few_rows_per_class"],
        "10 classes do not fit into 20% of 20 rows",
    ),
]


@pytest.mark.parametrize(("training_type", "examples", "expected", "message"), WARNINGS)
def test_what_only_harms_a_score_is_a_warning_and_does_not_block(
    training_type: TrainingType, examples: Profile, expected: list[str], message: str
) -> None:
    answer = asked(training_type, examples)
    assert (answer.ready, codes(answer)) == (True, ([], expected))
    assert message in answer.warnings[0].message


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
    assert problem.message == "The dataset's format is txt; ner trains on csv, json, jsonl, parquet or conll."


def test_every_training_type_has_its_roles_and_its_needs() -> None:
    assert ROLES.keys() == NEEDS.keys() == SOUND.keys()


def test_the_tabular_limits_are_the_containers() -> None:
    assert MAX_CLASSES == container.MAX_CLASSES
    assert tabular_checks.MIN_ROWS == container.MIN_ROWS
    assert tabular_checks.MAX_CATEGORIES == container.MAX_CATEGORIES
    assert tabular_checks.DISTINCT_SHARE_OF_AN_ID == container.DISTINCT_SHARE_OF_AN_ID
    assert container.TabularConfig(target="x").test_fraction == tabular_checks.DEFAULT_TEST_FRACTION
