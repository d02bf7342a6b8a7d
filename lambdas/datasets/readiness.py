"""Whether a dataset can train a type of model and, if not, exactly why and what to change: one table, one way down."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from lambdas.datasets import image_checks, tabular_checks
from lambdas.datasets.checks import Check, Examples, at_least, defect, duplicates, filled, present, shorter
from lambdas.datasets.class_checks import balanced, classes, repeated_classes, tags
from lambdas.datasets.column_mapping import ROLES, TrainingType, detect
from lambdas.datasets.problems import Problem, either
from lambdas.datasets.profile import Profile
from lambdas.datasets.schemas import DatasetNeeds

# What the usual models read of one example; a token is about four characters of English.
MOST_CHARACTERS = 2000  # 512 tokens: BERT and its kin
MOST_WORDS = 350  # the same in words, of which a token is about two thirds
MOST_DOCUMENT_CHARACTERS = 16_000  # 4,096 tokens: a usual length for fine-tuning
MOST_CAPTION_CHARACTERS = 300  # 77 tokens: CLIP
CUT = "most models cut what is longer"


class Readiness(BaseModel):
    """Whether a dataset is ready to train: `problems` block, `warnings` do not. `column_mapping` is {role: column}."""

    training_type: TrainingType
    ready: bool
    column_mapping: dict[str, str]
    problems: list[Problem]
    warnings: list[Problem]


@dataclass(frozen=True)
class Needs:
    """What a training type needs: `takes` are the formats of each type of dataset, `layout` how to write one."""

    takes: dict[str, tuple[str, ...]]
    layout: str
    fewest: int
    problems: tuple[Check, ...]
    warnings: tuple[Check, ...]


LISTS = ("json", "jsonl", "parquet")  # what cells can hold in them
TABLES = ("csv", *LISTS)
WORKBOOKS = (*TABLES, "excel")  # a table is read alike whether it is called text or tabular
ONE_TAG = "Give every token exactly one tag."
IN_PIXELS = "Give x, y, width and height in pixels, within the image."
WITH_AREA = "Give each box a width and a height above 0, or take it out."
KNOWN = "List the category, or use one that is listed."
UNREADABLE = "Metadata that cannot be read"
ROWS = "Give each row a file_name and as many cells as the first."
CAPTIONS = "Give each row a file_name, and write captions in UTF-8."
OBJECTS = 'Give each row a file_name, and objects as {"bbox": [[x, y, width, height], ...], "category": ["name", ...]}.'
CHATS = "Give each message a role and a content, and end each chat with the assistant's."
WRITE_TEXT = "Write every value as text."
ADD_FILES = "Add the files, or take their rows out."
ADD_ROWS = "Give each image a row, or take it out."
IMAGES = (
    image_checks.readable,
    defect(
        "missing_file", "Files that the metadata names and the archive lacks", "Add the files, or take the rows out."
    ),
)
IMAGE_WARNINGS = (
    image_checks.corrupt,
    image_checks.same_images,
    defect("unlisted_file", "Images without a row in the metadata, which are left out", ADD_ROWS, "image"),
)

NEEDS: dict[TrainingType, Needs] = {
    "text_classification": Needs(
        takes={"text": TABLES, "tabular": WORKBOOKS},
        layout="Upload a table with a text and a label in each row.",
        fewest=10,  # a fifth is held out: two examples, one of each of two classes
        problems=(filled("text", "label"), classes("label")),
        warnings=(
            duplicates,
            balanced("label"),
            shorter("text", MOST_CHARACTERS, "characters", CUT),
            defect("mixed_types", "Values of several types, which are read as text", WRITE_TEXT, "text", "label"),
        ),
    ),
    "ner": Needs(
        takes={"text": (*LISTS, "conll"), "tabular": LISTS},
        layout="Upload CoNLL, or JSONL or Parquet with the lists tokens and ner_tags: a cell of CSV holds no list.",
        fewest=10,  # a fifth is held out: two sentences
        problems=(
            filled("tokens", "tags"),
            defect("unequal_lengths", "Examples with more tokens than tags or fewer", ONE_TAG, "tokens", "tags"),
            defect("mixed_items", "Lists with items of several types", WRITE_TEXT, "tokens", "tags"),
            tags("tags"),
        ),
        warnings=(
            duplicates,
            repeated_classes("tags"),
            shorter("tokens", MOST_WORDS, "words", CUT),
        ),
    ),
    "llm": Needs(
        takes={"text": (*TABLES, "txt"), "tabular": WORKBOOKS},
        layout="Upload JSONL with messages, with prompt and completion, or with text in each line.",
        fewest=2,  # one to learn from, one to measure perplexity on
        problems=(
            present("messages"),  # an empty list of them is invalid
            defect("invalid_messages", "Chats that cannot be learned from", CHATS, "messages"),
            filled("prompt", "completion", "text"),
        ),
        warnings=(
            duplicates,
            shorter("prompt", MOST_DOCUMENT_CHARACTERS, "characters", CUT),
            shorter("completion", MOST_DOCUMENT_CHARACTERS, "characters", CUT),
            shorter("text", MOST_DOCUMENT_CHARACTERS, "characters", CUT),
        ),
    ),
    "image_classification": Needs(
        takes={"image": ("zip",)},
        layout="Upload a ZIP with a folder for each class, or with metadata.csv that has file_name and label.",
        fewest=10,  # a fifth is held out: two images, one of each of two classes
        problems=(
            *IMAGES,
            defect("invalid_metadata", UNREADABLE, ROWS, "image", "label"),
            filled("label"),
            classes("label"),
        ),
        warnings=(*IMAGE_WARNINGS, balanced("label")),
    ),
    "object_detection": Needs(
        takes={"image": ("zip", "coco")},
        layout="Upload a ZIP with metadata.jsonl that has file_name and objects, or with COCO annotations.",
        fewest=10,  # a fifth is held out: two images
        problems=(
            *IMAGES,
            image_checks.boxes("objects"),
            defect("box_outside", "Boxes outside of their image", IN_PIXELS, "objects"),
            defect("box_empty", "Boxes without an area", WITH_AREA, "objects"),
            defect("unknown_category", "Boxes of an unknown category", KNOWN, "objects"),
            defect("invalid_metadata", UNREADABLE, OBJECTS, "image", "objects"),
            present("objects"),
        ),
        warnings=(
            *IMAGE_WARNINGS,
            image_checks.background("objects"),
            repeated_classes("objects"),
            balanced("objects"),
        ),
    ),
    "diffusion": Needs(
        takes={"image": ("zip",)},
        layout="Upload a ZIP with metadata.jsonl that has file_name and text, or with a .txt beside each image.",
        fewest=3,  # a subject is learned from three to five images
        problems=(*IMAGES, defect("invalid_metadata", UNREADABLE, CAPTIONS, "image", "text"), filled("text")),
        warnings=(
            *IMAGE_WARNINGS,
            shorter("text", MOST_CAPTION_CHARACTERS, "characters", "text encoders cut what is longer"),
        ),
    ),
    "tabular": Needs(
        takes={"tabular": WORKBOOKS},
        layout="Upload a table with a column to predict and columns to predict it from.",
        fewest=tabular_checks.MIN_ROWS,
        problems=(tabular_checks.TARGET_KNOWN, tabular_checks.TARGET_VARIED, tabular_checks.FEATURES),
        warnings=(
            duplicates,
            tabular_checks.TARGET_FILLED,
            tabular_checks.TARGET_TESTED,
            tabular_checks.TARGET_BALANCED,
        ),
    ),
    "custom": Needs(takes={}, layout="", fewest=1, problems=(), warnings=()),  # the user's script reads anything
}


def needs_of(training_type: TrainingType) -> DatasetNeeds:
    """Return what data a training type takes, in words and by role."""
    needs = NEEDS[training_type]
    return DatasetNeeds(
        takes={type: list(formats) for type, formats in needs.takes.items()},
        layout=needs.layout or "Whatever the script reads.",
        fewest_examples=needs.fewest,
        columns=[[role.name for role in roles] for roles in ROLES[training_type]],
    )


def readiness(
    profile: Profile,
    type: str,
    format: str,
    training_type: TrainingType,
    mapping: Mapping[str, str],
    target: str | None = None,
) -> Readiness:
    """Return whether a dataset of a type and format can train, judged by what processing found in it.

    `mapping` is the user's {role: column}, `target` the column to predict where the training predicts one.
    """
    needs = NEEDS[training_type]
    if misfits := list(unfit(needs, type, format, training_type)):
        return Readiness(training_type=training_type, ready=False, column_mapping={}, problems=misfits, warnings=[])
    found = detect(profile, training_type, mapping, target)
    if profile.layout in ("files", "class_folders"):  # there is no table whose columns could be named
        for problem in found.problems:
            problem.fix = needs.layout
    examples = Examples(profile, found.usable)
    problems = found.problems + run((at_least(needs.fewest), *needs.problems), examples)
    return Readiness(
        training_type=training_type,
        ready=not problems,
        column_mapping=found.columns,
        problems=problems,
        warnings=run(needs.warnings, examples),
    )


def unfit(needs: Needs, type: str, format: str, training_type: TrainingType) -> Iterator[Problem]:
    """Say that this type or format of dataset does not train this at all."""
    if not needs.takes:
        return
    if type in ("audio", "video"):
        yield Problem(
            code="trains_nothing_yet",
            message=f"{type.capitalize()} datasets train nothing yet, so not {training_type} either.",
            fix="Keep the dataset for later, or train on it with a script of your own (custom).",
        )
    elif type not in needs.takes:
        yield Problem(
            code="wrong_type",
            message=f"The dataset's type is {type}; {training_type} trains on {either(needs.takes)}.",
            fix=needs.layout,
        )
    elif format not in needs.takes[type]:
        yield Problem(
            code="wrong_format",
            message=f"The dataset's format is {format}; {training_type} trains on {either(needs.takes[type])}.",
            fix=needs.layout,
        )


def run(checks: tuple[Check, ...], examples: Examples) -> list[Problem]:
    """Return all that the checks say."""
    return [problem for check in checks for problem in check(examples)]
