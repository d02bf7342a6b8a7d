"""Models that were not trained here: ONNX, scikit-learn, XGBoost, LightGBM. Rows go in, predictions come out.

A request is {"instances": [[values], ...]} or [{name: value}, ...] where the model knows names, or CSV. A file
sample.json beside the model, such a request, is what the model is warmed with.
"""

import csv
import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_containers.common.batching import BadRequest, Model
from training_containers.common.served_files import model_file, verified_files

MAX_ROWS = 10_000
SAMPLE = "sample.json"
JSON = "application/json"
MODULES = {
    "onnx": "uploaded_onnx",
    "skops": "uploaded_sklearn",
    "pickle": "uploaded_sklearn",
    "xgboost": "uploaded_boosters",
    "lightgbm": "uploaded_boosters",
}


@dataclass(frozen=True)
class Loaded:
    """A model from a file, and what it says of its rows."""

    predict: Callable[[list[Any]], list[Any]]
    """Checked instances -> a prediction for each."""
    check: Callable[[Any], Any]
    """A row of values -> an instance as `predict` takes it; raises ValueError with the fault, to go after "Row 1: "."""
    names: list[str] | None = None
    """The columns in their order, where the model knows them."""
    guess: list[Any] | None = None
    """A row that most models of this kind can answer."""
    whole: bool = False
    """Whether an object is one instance as it is, and not a row by the names of its columns."""


def load(folder: Path) -> Model:
    """Return the model in a folder, its files verified; raises ValueError for what is none, or cannot be served."""
    file, loader = model_file(verified_files(folder))
    module = importlib.import_module(f"training_containers.tabular.{MODULES[loader]}")
    loaded: Loaded = module.load(folder / file.name, loader)
    print(f"Serving {file.name} by {loader}.", flush=True)

    def read(body: bytes, media_type: str) -> tuple[list[Any], dict[str, Any]]:
        return [checked(loaded, row, number) for number, row in enumerate(rows(body, media_type, loaded), 1)], {}

    def predict(instances: list[Any], _: dict[str, Any]) -> list[Any]:
        return loaded.predict(instances)

    return Model(read, predict, sample(folder, loaded), most=MAX_ROWS)


def sample(folder: Path, loaded: Loaded) -> tuple[bytes, str] | None:
    """Return the request that lies beside the model, one of zeros if the model can answer that, or None."""
    if (folder / SAMPLE).is_file():
        return (folder / SAMPLE).read_bytes(), JSON
    if loaded.guess is None:
        return None
    try:
        loaded.predict([loaded.check(loaded.guess)])
    except Exception as error:  # a model may raise anything for zeros: for a word of its own among them, say
        print(f"The model does not take a row of zeros ({error}): put a request beside it as {SAMPLE}.", flush=True)
        return None
    return json.dumps({"instances": [loaded.guess]}).encode(), JSON


def rows(body: bytes, media_type: str, loaded: Loaded) -> list[Any]:
    """Return the rows of a request, lists in the model's order; raises BadRequest."""
    if media_type == "text/csv":
        found = csv_rows(body, loaded.names)
    elif media_type == JSON:
        found = json_rows(body, loaded)
    else:
        raise BadRequest("Content-Type must be text/csv or application/json.")
    if not 1 <= len(found) <= MAX_ROWS:
        raise BadRequest(f"The request holds {len(found)} rows; 1 to {MAX_ROWS} are answered at once.")
    return found


def json_rows(body: bytes, loaded: Loaded) -> list[Any]:
    """Return the rows of {"instances": [...]}."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list):
        raise BadRequest('The body must be {"instances": [...]}, a list of rows.')
    if loaded.whole:
        return instances
    return [
        by_name(row, number, loaded.names) if isinstance(row, dict) else row for number, row in enumerate(instances, 1)
    ]


def by_name(row: dict[str, Any], number: int, names: list[str] | None) -> list[Any]:
    """Return an object's values in the model's order."""
    if names is None:
        raise BadRequest(f"Row {number}: the model knows no names of columns; send lists in the order of its training.")
    if missing := [name for name in names if name not in row]:
        raise BadRequest(f"Row {number} lacks column '{missing[0][:40]}' ({len(missing)} missing in all).")
    if unknown := sorted(row.keys() - set(names)):
        raise BadRequest(f"Row {number} has a column that the model does not know: '{unknown[0][:40]}'.")
    return [row[name] for name in names]


def csv_rows(body: bytes, names: list[str] | None) -> list[Any]:
    """Return the rows of CSV, in the model's order where its header says the model's names; empty cells are None."""
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"The body is not CSV in UTF-8: {error}.") from error
    if names and lines and set(names) <= {cell.strip() for cell in lines[0]}:
        header = [cell.strip() for cell in lines.pop(0)]
        short = [number for number, line in enumerate(lines, 1) if len(line) != len(header)]
        if short:
            raise BadRequest(f"Row {short[0]} has not as many values as the header.")
        order = [header.index(name) for name in names]
        lines = [[line[place] for place in order] for line in lines]
    return [[cell_value(cell) for cell in line] for line in lines]


def cell_value(cell: str) -> Any:
    """Return a cell as a number where it is one, None where it is empty, else its text."""
    try:
        return float(cell) if cell.strip() else None
    except ValueError:
        return cell


def checked(loaded: Loaded, row: Any, number: int) -> Any:
    """Return a row as the model takes it; raises BadRequest naming the row at fault."""
    try:
        return loaded.check(row)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"Row {number}: {str(error)[:200]}") from error


def numbers(row: Any, width: int | None) -> list[float]:
    """Return a row of numbers, NaN where one is missing; raises ValueError."""
    values = values_of(row, width)
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"the model takes numbers, not {str(value)[:40]!a}.")
    return [float("nan") if value is None else float(value) for value in values]


def values_of(row: Any, width: int | None) -> list[Any]:
    """Return a row as a list of so many values; raises ValueError."""
    if not isinstance(row, list):
        raise ValueError("it must be a list of values.")
    if width is not None and len(row) != width:
        raise ValueError(f"it has {len(row)} values; the model needs {width}.")
    return row
