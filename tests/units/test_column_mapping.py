"""Which column plays which role: as the user says, else by the field's names, else by type where that is plain.

Run: python -m pytest tests/units/test_column_mapping.py
"""

import pytest

from lambdas.datasets.column_mapping import TrainingType, detect, unknown_roles
from lambdas.datasets.profile import ColumnType
from tests.units.profiles import column, profile

Columns = dict[str, ColumnType]


def found(
    columns: Columns, training_type: TrainingType, given: dict[str, str] | None = None, target: str | None = None
) -> tuple[dict[str, str], list[str]]:
    """The mapping of a table with these columns, and the codes of its problems."""
    table = profile(20, *(column(name, type, 5) for name, type in columns.items()))
    mapping = detect(table, training_type, given or {}, target)
    return mapping.columns, [problem.code for problem in mapping.problems]


@pytest.mark.parametrize(
    ("columns", "training_type", "mapping"),
    [
        ({"text": "text", "label": "category"}, "text_classification", {"text": "text", "label": "label"}),
        ({"Sentence": "text", "CLASS": "category"}, "text_classification", {"text": "Sentence", "label": "CLASS"}),
        ({"content": "text", "target": "number"}, "text_classification", {"text": "content", "label": "target"}),
        ({"review": "text", "categories": "boolean"}, "text_classification", {"text": "review", "label": "categories"}),
        # the most usual name wins, whatever the order of the columns
        (
            {"content": "text", "text": "text", "label": "text"},
            "text_classification",
            {"text": "text", "label": "label"},
        ),
        # of two names, the one whose column holds what it should
        (
            {"label": "list", "class": "category", "text": "text"},
            "text_classification",
            {"text": "text", "label": "class"},
        ),
        # by type, when only one column can be meant
        ({"tweet": "text", "mood": "category"}, "text_classification", {"text": "tweet", "label": "mood"}),
        ({"id": "number", "tweet": "text", "ok": "boolean"}, "text_classification", {"text": "tweet", "label": "ok"}),
        ({"tokens": "list", "ner_tags": "list", "id": "text"}, "ner", {"tokens": "tokens", "tags": "ner_tags"}),
        ({"words": "list", "tags": "list"}, "ner", {"tokens": "words", "tags": "tags"}),
        ({"tokens": "list", "labels": "list"}, "ner", {"tokens": "tokens", "tags": "labels"}),
        ({"tokens": "list", "tags": "list", "ner_tags": "list"}, "ner", {"tokens": "tokens", "tags": "ner_tags"}),
        ({"messages": "messages"}, "llm", {"messages": "messages"}),
        ({"conversations": "messages"}, "llm", {"messages": "conversations"}),
        ({"turns": "messages", "id": "number"}, "llm", {"messages": "turns"}),
        ({"prompt": "text", "completion": "text"}, "llm", {"prompt": "prompt", "completion": "completion"}),
        (
            {"instruction": "text", "input": "text", "output": "text"},
            "llm",
            {"prompt": "instruction", "completion": "output"},
        ),
        ({"question": "text", "answer": "category"}, "llm", {"prompt": "question", "completion": "answer"}),
        ({"text": "text"}, "llm", {"text": "text"}),
        # a set of roles that is there as a whole wins over one that is not
        ({"prompt": "text", "text": "text"}, "llm", {"text": "text"}),
        ({"messages": "messages", "text": "text"}, "llm", {"messages": "messages"}),
        ({"file_name": "file", "label": "category"}, "image_classification", {"image": "file_name", "label": "label"}),
        ({"image": "file", "breed": "category"}, "image_classification", {"image": "image", "label": "breed"}),
        ({"file_name": "file", "objects": "objects"}, "object_detection", {"image": "file_name", "objects": "objects"}),
        ({"file_name": "file", "boxes": "objects"}, "object_detection", {"image": "file_name", "objects": "boxes"}),
        ({"file_name": "file", "caption": "text"}, "diffusion", {"image": "file_name", "text": "caption"}),
        ({"file_name": "file", "prompt": "category"}, "diffusion", {"image": "file_name", "text": "prompt"}),
        ({"a": "number", "target": "category"}, "tabular", {"target": "target"}),
        ({"anything": "object"}, "custom", {}),
    ],
)
def test_columns_are_found_by_the_names_of_the_field_and_by_type(
    columns: Columns, training_type: TrainingType, mapping: dict[str, str]
) -> None:
    assert found(columns, training_type) == (mapping, [])


@pytest.mark.parametrize(
    ("columns", "training_type", "given", "mapping", "codes"),
    [
        # what the user says overrules the names
        (
            {"text": "text", "body": "text", "label": "category"},
            "text_classification",
            {"text": "body"},
            {"text": "body", "label": "label"},
            [],
        ),
        ({"messages": "messages", "story": "text"}, "llm", {"text": "story"}, {"text": "story"}, []),
        (
            {"q": "text", "a": "text", "text": "text"},
            "llm",
            {"prompt": "q", "completion": "a"},
            {"prompt": "q", "completion": "a"},
            [],
        ),
        ({"q": "text", "answer": "text"}, "llm", {"prompt": "q"}, {"prompt": "q", "completion": "answer"}, []),
        # a column that is taken is not taken again
        (
            {"target": "text", "mood": "category"},
            "text_classification",
            {"text": "target"},
            {"text": "target", "label": "mood"},
            [],
        ),
        # roles of other trainings do not matter
        (
            {"text": "text", "label": "category"},
            "text_classification",
            {"tokens": "nowhere"},
            {"text": "text", "label": "label"},
            [],
        ),
        # a wrong word of the user is a problem, not an exception
        (
            {"text": "text", "label": "category"},
            "text_classification",
            {"text": "nowhere"},
            {"text": "nowhere", "label": "label"},
            ["unknown_column"],
        ),
        (
            {"text": "text", "label": "category"},
            "text_classification",
            {"text": "label", "label": "label"},
            {"text": "label", "label": "label"},
            ["same_column"],
        ),
        (
            {"text": "number", "label": "category"},
            "text_classification",
            {},
            {"text": "text", "label": "label"},
            ["wrong_column_type"],
        ),
        (
            {"tokens": "text", "ner_tags": "text"},
            "ner",
            {},
            {"tokens": "tokens", "tags": "ner_tags"},
            ["wrong_column_type"] * 2,
        ),
        ({"messages": "list"}, "llm", {}, {"messages": "messages"}, ["wrong_column_type"]),
        # several columns could be meant, or none
        (
            {"title": "text", "story": "text", "mood": "category"},
            "text_classification",
            {},
            {"label": "mood"},
            ["missing_column"],
        ),
        (
            {"tweet": "text", "mood": "category", "shop": "category"},
            "text_classification",
            {},
            {"text": "tweet"},
            ["missing_column"],
        ),
        ({"a": "number", "b": "number"}, "text_classification", {}, {}, ["missing_column"]),
        ({"prompt": "text", "id": "number"}, "llm", {}, {"prompt": "prompt"}, ["missing_column"]),
        ({"story": "text"}, "llm", {}, {}, ["missing_column"]),
        ({"file_name": "file"}, "image_classification", {}, {"image": "file_name"}, ["missing_column"]),
        ({"a": "number", "b": "category"}, "tabular", {}, {}, ["missing_column"]),
    ],
)
def test_a_mapping_is_the_users_first_and_what_is_wrong_with_it_is_said(
    columns: Columns, training_type: TrainingType, given: dict[str, str], mapping: dict[str, str], codes: list[str]
) -> None:
    assert found(columns, training_type, given) == (mapping, codes)


def test_a_target_overrules_the_mapping_and_the_names() -> None:
    columns: Columns = {"target": "number", "price": "number", "rooms": "number"}
    assert found(columns, "tabular")[0] == {"target": "target"}
    assert found(columns, "tabular", {"target": "price"})[0] == {"target": "price"}
    assert found(columns, "tabular", {"target": "price"}, "rooms")[0] == {"target": "rooms"}
    assert found(columns, "tabular", {}, "Rooms") == ({"target": "Rooms"}, ["unknown_column"])


def test_a_missing_column_is_told_with_the_columns_there_are_the_names_looked_for_and_the_way_to_name_one() -> None:
    table = profile(20, column("tweet", "text", 20), column("story", "text", 20), column("label", "category", 2))
    (problem,) = detect(table, "text_classification", {}).problems
    assert problem.message == (
        "No column for text: the columns are 'tweet', 'story', 'label'; the names looked for are "
        "text/sentence/content/review/document/body/comment."
    )
    assert problem.fix == 'Rename a column to text, or set column_mapping to {"text": "<your column>"}.'


def test_names_of_strangers_are_cut_and_stay_on_one_line() -> None:
    table = profile(20, *(column(f"{number}\n" + "x" * 200, "number", 5) for number in range(1000)))
    (problem,) = detect(table, "ner", {}).problems
    assert len(problem.message) < 2000
    assert "and 980 more" in problem.message
    assert "\n" not in problem.message


def test_a_role_that_no_training_knows_is_told_with_those_there_are() -> None:
    assert unknown_roles({"text": "a", "label": "b", "tags": "c", "target": "d"}) == []
    (told,) = unknown_roles({"text": "a", "colour": "b"})
    assert told.startswith("There is no role 'colour': the roles are messages, prompt, completion, text, image, label,")
