"""Examples in tables: the columns that a training needs, under the names of their roles, and a part held out."""

import csv
from collections.abc import Mapping
from pathlib import Path

import datasets
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from training_containers.common.contract import TrainingError
from training_containers.common.tables import delimiter_of, encoding_of, find_files
from training_containers.huggingface.run import Run

LOADERS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".txt": "text"}
SPLIT = "split"
TEST_SPLITS = ("test", "validation", "val", "valid", "eval", "dev")

datasets.disable_progress_bars()


def load(folder: Path, mapping: Mapping[str, str], *roles: str) -> Dataset:
    """Return the examples of a channel with a column for each role; rows that lack one are left out.

    Raises TrainingError when a column is missing, or no row is left.
    """
    return of_roles(read(folder), mapping, roles)


def read(folder: Path) -> Dataset:
    """Return the examples of a channel as they are; raises TrainingError when its files cannot be read."""
    files = find_files(folder, tuple(LOADERS))
    kind = files[0].suffix.lower()
    options = {}
    if LOADERS[kind] == "csv":
        encoding = encoding_of(files[0])
        with files[0].open(encoding=encoding, newline="") as lines:
            header = lines.readline()
        delimiter = delimiter_of(header)
        # Every cell is text: the label 01 is not the number 1, and the text NA is a text.
        texts = {name: Value("string") for name in next(csv.reader([header], delimiter=delimiter))}
        options = {"sep": delimiter, "encoding": encoding, "features": Features(texts), "keep_default_na": False}
    elif LOADERS[kind] == "text":
        options = {"encoding": encoding_of(files[0])}
    try:
        found = load_dataset(LOADERS[kind], data_files=[str(file) for file in files], split="train", **options)
    except datasets.exceptions.DatasetGenerationError as error:
        raise TrainingError(f"The dataset cannot be read: {error.__cause__ or error}") from error
    assert isinstance(found, Dataset)  # a split of one file kind
    return found


def of_roles(examples: Dataset, mapping: Mapping[str, str], roles: tuple[str, ...]) -> Dataset:
    """Return the examples with the columns of the roles alone, and `split` where the data names one."""
    columns = {role: mapping.get(role, role) for role in roles}
    for role, column in columns.items():
        if column not in examples.column_names:
            there = ", ".join(examples.column_names[:30])
            raise TrainingError(f"There is no column '{column}' for {role}; columns are: {there}.")
    kept = [*columns.values(), *([SPLIT] if SPLIT in examples.column_names else [])]
    examples = examples.select_columns(list(dict.fromkeys(kept)))
    examples = examples.rename_columns({column: role for role, column in columns.items() if column != role})
    examples = examples.filter(lambda row: all(row[role] not in (None, "", []) for role in roles))
    if not len(examples):
        raise TrainingError(f"No row has a value for {' and '.join(roles)}.")
    return examples


def with_classes(examples: Dataset, role: str) -> tuple[Dataset, list[str]]:
    """Return the examples with class numbers instead of names, and the names; raises TrainingError for one class."""
    names = sorted({str(name) for name in examples.unique(role)}, key=natural)
    if len(names) < 2:
        raise TrainingError(f"Column '{role}' has only one class, {names[0]!r}: there is nothing to tell apart.")
    numbers = {name: number for number, name in enumerate(names)}
    coded = examples.map(lambda row: {role: numbers[str(row[role])]})
    return coded.cast_column(role, ClassLabel(names=names)), names


def natural(name: str) -> tuple[bool, int, str]:
    """Return what sorts whole numbers by value, before texts."""
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)


def split(run: Run, examples: Dataset, stratify: str | None = None) -> tuple[Dataset, Dataset]:
    """Return the examples to learn from and those held out: as the data names them, else by the run's seed."""
    if SPLIT in examples.column_names:
        held_out = [str(name).lower() in TEST_SPLITS for name in examples[SPLIT]]
        examples = examples.remove_columns(SPLIT)
        if any(held_out) and not all(held_out):
            rows = range(len(held_out))
            return (
                examples.select([row for row in rows if not held_out[row]]),
                examples.select([row for row in rows if held_out[row]]),
            )
    if len(examples) < 2:
        raise TrainingError("The dataset has one example; at least two are needed, one of them to measure.")
    fraction, seed = run.parameters.test_fraction, run.parameters.seed
    try:
        parts = examples.train_test_split(fraction, seed=seed, stratify_by_column=stratify)
    except ValueError as error:  # a class too small to be on both sides
        if stratify is None:
            raise
        run.say(f"Classes are not held out evenly: {error}")
        parts = examples.train_test_split(fraction, seed=seed)
    return parts["train"], parts["test"]
