"""From tables to encoded training and test rows: what is a number, what is a category, and what is the task."""

import csv
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from training_containers.common.contract import TrainingError
from training_containers.common.tables import delimiter_of, encoding_of
from training_containers.tabular.config import TASK_OF, TabularConfig
from training_containers.tabular.features import LARGEST, MISSING_TEXTS, NO_CATEGORY, Feature, encode

MAX_CATEGORIES = 50  # per column; rarer ones share the all-zero code of the unseen
MAX_CLASSES = 1000
MIN_ROWS = 10
DISTINCT_SHARE_OF_AN_ID = 0.9


@dataclass(frozen=True)
class Split:
    """Encoded rows: x is float32 (rows, width); y is int64 class indices, or float64 values under regression."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """What training needs; `labels` is empty under regression, `ignored` are columns that carry nothing to learn."""

    task: str
    labels: list[str]
    features: list[Feature]
    ignored: list[str]
    train: Split
    test: Split


def load(files: list[Path], config: TabularConfig) -> Dataset:
    """Read, type, split (stratified by class) and encode; raises TrainingError for data nothing can be learned from."""
    tables = [read_table(file) for file in files]
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    if config.target not in table:
        columns = ", ".join(str(column) for column in table.columns[:30])
        raise TrainingError(f"Column '{config.target}' named as target is not in the data; columns are: {columns}.")
    table = table[table[config.target].notna()].reset_index(drop=True)
    if len(table) < MIN_ROWS:
        raise TrainingError(
            f"Only {len(table)} rows have a value in '{config.target}'; at least {MIN_ROWS} are needed."
        )
    target = table.pop(config.target)
    task = resolve_task(target, config)
    labels, y = class_indices(target) if task == "classification" else ([], numeric(target).to_numpy())

    columns = typed_columns(table)
    if not columns:
        raise TrainingError(f"No column besides '{config.target}' has anything to learn from.")
    train_rows, test_rows = split_rows(y, labels, config)
    features = [fit_feature(name, column[train_rows]) for name, column in columns.items()]

    def part(rows: np.ndarray) -> Split:
        return Split(encode({name: column[rows] for name, column in columns.items()}, features), y[rows])

    ignored = [config.target, *(name for name in table.columns if name not in columns)]
    return Dataset(task, labels, features, ignored, part(train_rows), part(test_rows))


def read_table(file: Path) -> pd.DataFrame:
    """Every cell as stripped text, missing where MISSING_TEXTS says so; raises TrainingError unless it can be read."""
    table = READERS[file.suffix.lower()](file)
    table.columns = [str(name).strip() for name in table.columns]
    table = table.apply(lambda column: column.str.strip())
    return table.mask(table.isin(MISSING_TEXTS))


def read_csv(file: Path) -> pd.DataFrame:
    """A CSV's cells as text; raises TrainingError unless this is CSV."""
    try:
        encoding = encoding_of(file)
        with file.open(encoding=encoding, newline="") as lines:
            first_line = lines.readline()
            delimiter = delimiter_of(first_line)
            header = [name.strip() for name in next(csv.reader([first_line], delimiter=delimiter), [])]
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
            table = pd.read_csv(
                file, sep=delimiter, dtype=str, encoding=encoding, keep_default_na=False, index_col=False
            )
    except UnicodeDecodeError as error:
        raise TrainingError(f"{file.name} is not text in UTF-8, UTF-16 or Windows-1252: save it as UTF-8.") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' parser errors are ValueErrors
        raise TrainingError(f"{file.name} cannot be read as CSV: {error}") from error
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated or "" in header:
        raise TrainingError(
            f"{file.name} needs a name for each column, once: repeated or empty are {repeated or ['']}."
        )
    return table


def read_parquet(file: Path) -> pd.DataFrame:
    """A Parquet file's values as text, each number as Python writes it; raises TrainingError unless this is Parquet."""
    try:
        return as_text(pd.read_parquet(file, dtype_backend="pyarrow"))  # whole numbers stay whole beside missing ones
    except ValueError as error:  # pyarrow's errors are ValueErrors
        raise TrainingError(f"{file.name} cannot be read as Parquet: {error}") from error


def read_json_lines(file: Path) -> pd.DataFrame:
    """The values of JSON Lines as text; raises TrainingError unless every line is an object."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            return as_text(pd.DataFrame([json.loads(line) for line in lines if line.strip()], dtype=object))
    except ValueError as error:  # json's and UTF-8's errors are ValueErrors
        raise TrainingError(f"{file.name} cannot be read as JSON Lines: {error}") from error


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every value as text, the empty text where there is none."""
    return table.astype(object).where(table.notna(), "").astype(str)


READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}


def numeric(column: pd.Series) -> pd.Series:
    """float64 with NaN where a cell is missing, infinite or no number."""
    values = pd.to_numeric(column, errors="coerce").astype("float64")
    return values.where(values.abs() <= LARGEST)


def is_numeric(column: pd.Series) -> bool:
    """Whether every cell that is not missing is a number."""
    present = column.dropna()
    return bool(pd.to_numeric(present, errors="coerce").notna().all())


def resolve_task(target: pd.Series, config: TabularConfig) -> str:
    """The task asked for, or the one the values suggest; raises TrainingError if target or algorithm do not fit it."""
    distinct = target.nunique()
    if distinct < 2:
        raise TrainingError(f"Column '{config.target}' has only one value: there is nothing to learn.")
    task = config.task if config.task != "auto" else suggested_task(target)
    if task == "regression" and numeric(target).isna().any():
        example = target[numeric(target).isna()].iloc[0]
        raise TrainingError(f"Regression needs numbers in '{config.target}', which holds {example!r}.")
    if task == "classification" and (distinct > MAX_CLASSES or distinct > len(target) / 2):
        raise TrainingError(
            f"Column '{config.target}' has {distinct} different values in {len(target)} rows: too many for classes."
        )
    if TASK_OF.get(config.algorithm, task) != task:
        other = next(name for name, its_task in TASK_OF.items() if its_task == task)
        raise TrainingError(
            f"Algorithm '{config.algorithm}' cannot do {task}, which is what column '{config.target}' needs: "
            f"use {other}, lightgbm or random_forest, or set task to {TASK_OF[config.algorithm]}."
        )
    return task


def suggested_task(target: pd.Series) -> str:
    """Classification for text and for a few whole numbers (at most 20, and ten rows each); regression otherwise."""
    if not is_numeric(target):
        return "classification"
    values = pd.to_numeric(target)
    few = values.nunique() <= max(2, min(20, len(values) // 10))
    return "classification" if few and (values % 1 == 0).all() else "regression"


def class_indices(target: pd.Series) -> tuple[list[str], np.ndarray]:
    """Sorted labels and the index of each row's label; numbers sort as numbers, and 1.0 is the label 1."""
    if is_numeric(target):
        codes, values = pd.factorize(pd.to_numeric(target).astype("float64"), sort=True)
        return [str(int(value)) if value.is_integer() else repr(float(value)) for value in values], codes
    codes, values = pd.factorize(target, sort=True)
    return [str(value) for value in values], codes


def typed_columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Number columns as float64, category columns as text; empty, constant and identifier-like ones are left out."""
    columns = {}
    for name, column in table.items():
        distinct = column.nunique()
        if distinct == 0 or (distinct == 1 and not column.hasnans):
            continue
        if is_numeric(column):
            columns[name] = numeric(column).to_numpy()
        elif distinct <= MAX_CATEGORIES or distinct < DISTINCT_SHARE_OF_AN_ID * len(column):
            columns[name] = column.fillna(NO_CATEGORY).to_numpy(dtype=object)
    return columns


def split_rows(y: np.ndarray, labels: list[str], config: TabularConfig) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for testing; raises TrainingError if a class is too small to be in both."""
    if labels:
        counts = np.bincount(y, minlength=len(labels))
        if counts.min() < 2:
            label = labels[int(counts.argmin())]
            raise TrainingError(f"Class '{label}' has only one row: add rows of it, or take it out.")
        smaller_part = min(config.test_fraction, 1 - config.test_fraction) * len(y)
        if smaller_part < len(labels):
            raise TrainingError(
                f"{len(y)} rows are too few for {len(labels)} classes at test_fraction {config.test_fraction}: "
                "each class must be in the training and in the test part."
            )
    train_rows, test_rows = train_test_split(
        np.arange(len(y)), test_size=config.test_fraction, random_state=config.seed, stratify=y if labels else None
    )
    return np.asarray(train_rows), np.asarray(test_rows)


def fit_feature(name: str, column: np.ndarray) -> Feature:
    """The encoding rule of one column, learned from its training rows."""
    if column.dtype == object:
        most_frequent = pd.Series(column).value_counts().index[:MAX_CATEGORIES]
        return {"name": name, "type": "category", "categories": sorted(most_frequent)}
    missing = np.isnan(column)
    fill = 0.0 if missing.all() else float(np.median(column[~missing]))
    return {"name": name, "type": "number", "fill": fill, "flag_missing": bool(missing.any())}
