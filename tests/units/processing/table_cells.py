"""Tables of every training type that learns from them, in every format it takes, each with one defect."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lambdas.datasets.column_mapping import TrainingType
from tests.units.processing.readiness_cells import COUNT, Cell, Change, Rows, both, first, put, repeated, sound, without
from tests.units.processing.sample_datasets import Row, sentence, write_table


def reviews() -> Rows:
    return [
        {"id": number, "text": sentence(number, 3 + number % 9), "label": ("good", "bad")[number % 3 == 0]}
        for number in range(COUNT)
    ]


def tagged() -> Rows:
    """Sentences of four to eight tokens, each with a place of two."""
    rows = []
    for number in range(COUNT):
        words = sentence(number, 2 + number % 5).split()
        rows.append({"tokens": ["New", "York", *words], "ner_tags": ["B-LOC", "I-LOC", *["O"] * len(words)]})
    return rows


def numbered() -> Rows:
    """The same with numbers for tags."""
    numbers = {"O": 0, "B-LOC": 1, "I-LOC": 2}
    return [{**row, "ner_tags": [numbers[tag] for tag in row["ner_tags"]]} for row in tagged()]


def all_tagged(*tags: str | int) -> Callable[[int], list[str | int]]:
    """The same tags for the tokens of each sentence, the last one repeated."""
    return lambda number: [*tags, *[tags[0]] * (len(tagged()[number]["tokens"]) - len(tags))]


def chats() -> Rows:
    return [
        {
            "messages": [
                {"role": "user", "content": sentence(number)},
                {"role": "assistant", "content": sentence(number + 1000)},
            ]
        }
        for number in range(COUNT)
    ]


def prompts() -> Rows:
    return [{"prompt": sentence(number), "completion": sentence(number + 1000)} for number in range(COUNT)]


def instructions() -> Rows:
    return [{"instruction": row["prompt"], "output": row["completion"]} for row in prompts()]


def documents() -> Rows:
    return [{"text": sentence(number, 30)} for number in range(COUNT)]


def houses(count: int = COUNT) -> Rows:
    """A table with a category to predict."""
    places = ("north", "south", "east")
    return [
        {"size": 40 + number * 1.5, "place": places[number % 3], "target": ("cheap", "dear")[number % 2]}
        for number in range(count)
    ]


def prices() -> Rows:
    """The same with a number to predict."""
    return [row | {"target": 100.5 + number * 1.25} for number, row in enumerate(houses())]


def message(**changed: Any) -> list[Row]:
    """A chat whose answer is changed."""
    return [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."} | changed]


CELLS = "csv excel"  # formats that know texts only: an empty one is a missing one
TYPED = "json jsonl parquet"
ALL = f"{CELLS} {TYPED}"
LISTS = ["New", "York", "sings"]
TABLES: dict[TrainingType, list[tuple[str, Callable[[], Rows], str, Change, str]]] = {
    "text_classification": [
        (ALL, reviews, "sound", sound, "ready"),
        (ALL, reviews, "no text column", without("text"), "missing_column"),
        (ALL, reviews, "no label column", without("label"), "missing_column"),
        (ALL, reviews, "a text is missing", put("text", None, 3), "missing_values"),
        (ALL, reviews, "labels are missing", put("label", None, 3, 4), "missing_values"),
        (CELLS, reviews, "a text is empty", put("text", "", 3), "missing_values"),
        (TYPED, reviews, "a text is empty", put("text", "", 3), "empty_values"),
        (CELLS, reviews, "a label is empty", put("label", "", 3), "missing_values"),
        (TYPED, reviews, "a label is empty", put("label", "", 3), "empty_values"),
        (ALL, reviews, "one class", put("label", "good"), "one_class"),
        (ALL, reviews, "a class with one example", put("label", "odd", 3), "rare_class"),
        (ALL, reviews, "labels all differ", put("label", lambda n: f"class {n}"), "too_many_classes"),
        (ALL, reviews, "nine rows", first(9), "too_few_rows"),
        (ALL, reviews, "numbers for texts", put("text", lambda n: n * 1.5), "wrong_column_type"),
        (ALL, reviews, "numbers for labels", put("label", lambda n: n % 4), "ready"),
        (ALL, reviews, "rows twice", repeated(5), "ready (duplicates)"),
        (ALL, reviews, "a long text", put("text", "long " * 1000, 3), "ready (long_texts)"),
        ("jsonl json", reviews, "labels of several types", put("label", 1, 3, 4), "ready (mixed_types)"),
    ],
    "ner": [
        (f"{TYPED} conll", tagged, "sound", sound, "ready"),
        (TYPED, numbered, "sound, numbers for tags", sound, "ready"),
        (CELLS, tagged, "lists in cells", sound, "wrong_format"),
        (TYPED, tagged, "tags in a text", put("ner_tags", "O O B-LOC"), "wrong_column_type"),
        (TYPED, tagged, "no tags", without("ner_tags"), "missing_column"),
        (TYPED, tagged, "a tag too few", put("tokens", LISTS, 2), "unequal_lengths"),
        (TYPED, tagged, "tags are missing", put("ner_tags", None, 3), "missing_values"),
        (
            TYPED,
            tagged,
            "no tokens",
            both(put("tokens", [], 3), put("ner_tags", [], 3)),
            "empty_values empty_values",
        ),
        (f"{TYPED} conll", tagged, "tags that are not BIO", put("ner_tags", all_tagged("LOC")), "invalid_tags"),
        (f"{TYPED} conll", tagged, "nothing tagged", put("ner_tags", all_tagged("O")), "one_class"),
        ("jsonl json", tagged, "tags of several types", put("ner_tags", all_tagged("O", 1), 3), "mixed_items"),
        (f"{TYPED} conll", tagged, "nine sentences", first(9), "too_few_rows"),
        (f"{TYPED} conll", tagged, "sentences twice", repeated(5), "ready (duplicates)"),
        ("txt", reviews, "plain text", sound, "wrong_format"),
    ],
    "llm": [
        (TYPED, chats, "sound chats", sound, "ready"),
        (TYPED, chats, "a message without content", put("messages", message(content=None), 3), "invalid_messages"),
        (TYPED, chats, "an unknown role", put("messages", message(role="robot"), 3), "invalid_messages"),
        (TYPED, chats, "a chat that ends with the user", put("messages", message(role="user"), 3), "invalid_messages"),
        (TYPED, chats, "an empty chat", put("messages", [], 3), "invalid_messages"),
        (TYPED, chats, "a chat is missing", put("messages", None, 3), "missing_values"),
        (CELLS, chats, "chats in cells", sound, "wrong_column_type"),
        (ALL, prompts, "sound prompts", sound, "ready"),
        (ALL, instructions, "sound instructions", sound, "ready"),
        (ALL, prompts, "no completions", without("completion"), "missing_column"),
        (ALL, prompts, "a completion is missing", put("completion", None, 3), "missing_values"),
        (TYPED, prompts, "an empty prompt", put("prompt", "", 3), "empty_values"),
        (f"{ALL} txt", documents, "sound documents", sound, "ready"),
        (TYPED, documents, "an empty document", put("text", "", 3), "empty_values"),
        ("txt", documents, "an empty line", put("text", "", 3), "ready"),
        (f"{ALL} txt", documents, "one document", first(1), "too_few_rows"),
        (f"{ALL} txt", documents, "documents twice", repeated(5), "ready (duplicates)"),
        ("txt", documents, "a long document", put("text", "long " * 10000, 3), "ready (long_texts)"),
        (ALL, prices, "numbers", without("place"), "missing_column"),
    ],
    "tabular": [
        (ALL, houses, "sound, a category", sound, "ready"),
        (ALL, prices, "sound, a number", sound, "ready"),
        (ALL, houses, "no target", without("target"), "missing_column"),
        (ALL, houses, "a constant target", put("target", "dear"), "one_class"),
        (ALL, prices, "a constant number", put("target", 7), "one_class"),
        (ALL, houses, "a class with one row", put("target", "odd", 3), "rare_class"),
        (ALL, houses, "a target that names rows", put("target", sentence), "too_many_classes"),
        (ALL, houses, "a target that is missing", put("target", None), "missing_values"),
        (ALL, houses, "a target that is mostly missing", put("target", None, *range(9, COUNT)), "too_few_rows"),
        (ALL, houses, "a target that is sometimes missing", put("target", None, 3), "ready (missing_values)"),
        (ALL, houses, "nothing to learn from", both(put("size", 1), put("place", "north")), "no_features (duplicates)"),
        (ALL, houses, "nine rows", first(9), "too_few_rows"),
        (ALL, houses, "rows twice", repeated(5), "ready (duplicates)"),
        (ALL, lambda: houses(600), "a rare class", put("target", "odd", 3, 4), "ready (imbalance)"),
    ],
}


def table_cells() -> Iterator[Cell]:
    for training_type, cells in TABLES.items():
        for formats, rows, defect, change, expected in cells:
            for format in formats.split():
                type = "tabular" if training_type == "tabular" or format == "excel" else "text"
                write = writer(format, rows, change)
                yield Cell(training_type, type, format, format, defect, write, expected)


def writer(format: str, rows: Callable[[], Rows], change: Change) -> Callable[[Path], None]:
    return lambda path: write_table(path, format, change(rows()))
