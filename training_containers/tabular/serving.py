"""Predictions from a trained tabular model: a CSV or JSON request becomes typed columns, those become predictions.

Only numpy, ONNX Runtime and the web server are imported, unless the manifest says that the native form is right.
"""

import csv
import io
import json
from typing import Any

import numpy as np

from training_containers.common import server
from training_containers.common.artefacts import verified_file
from training_containers.common.batching import BadRequest, Model
from training_containers.common.contract import Paths
from training_containers.common.served_files import trained_manifest
from training_containers.tabular.features import Feature, category, encode, number
from training_containers.tabular.runtime import ONNX_FILE, algorithm_module, predict_as

MAX_ROWS = 10_000


def main() -> int:
    """The exit status of the server."""
    return server.run(lambda: load(Paths.from_environment()))


def load(paths: Paths) -> Model:
    """The model in the folder, trained here or not; raises ValueError if a file is not the one that is listed."""
    manifest = trained_manifest(paths.model)
    if manifest is None:
        from training_containers.tabular import uploaded  # here: what is trained here does without its libraries

        return uploaded.load(paths.model)
    tabular = Tabular(paths, manifest)
    nothing = json.dumps({"instances": [[None] * len(tabular.features)]}).encode()
    return Model(tabular.read, tabular.predict, sample=(nothing, "application/json"), most=MAX_ROWS)


class Tabular:
    """A verified model of a tabular job."""

    def __init__(self, paths: Paths, manifest: dict[str, Any]) -> None:
        """Raises ValueError if a model file is not the one the manifest lists."""
        served, algorithm = manifest["served"], manifest["algorithm"]
        file = ONNX_FILE if served == "onnx" else algorithm_module(algorithm).MODEL_FILE
        verified_file(paths.model, manifest, file)
        self.features: list[Feature] = manifest["features"]
        self.ignored: set[str] = set(manifest["ignored_columns"])
        self.labels: list[str] | None = manifest["labels"]
        self.run = predict_as(served, paths.model, algorithm)
        print(f"Serving the {served} form of {algorithm} for '{manifest['target']}'.", flush=True)

    def read(self, body: bytes, media_type: str) -> tuple[list[Any], dict[str, Any]]:
        """The encoded rows of a request; raises BadRequest naming the row and column at fault."""
        if media_type == "text/csv":
            rows = csv_rows(body, self.features, self.ignored)
        elif media_type == "application/json":
            rows = json_rows(body, self.features, self.ignored)
        else:
            raise BadRequest("Content-Type must be text/csv or application/json.")
        if not rows:
            raise BadRequest("The request holds no rows.")
        if len(rows) > MAX_ROWS:
            raise BadRequest(f"The request holds {len(rows)} rows; at most {MAX_ROWS} are answered at once.")
        return list(encode(typed_columns(rows, self.features), self.features)), {}

    def predict(self, rows: list[Any], _: dict[str, Any]) -> list[dict[str, Any]]:
        """One prediction per encoded row."""
        answers = self.run(np.stack(rows))
        if not np.isfinite(answers).all():
            row = int(np.argwhere(~np.isfinite(answers))[0][0]) + 1
            raise BadRequest(f"Row {row}: its numbers are too large for the model.")
        if self.labels is None:
            return [{"value": value} for value in answers.tolist()]
        return [
            {"label": self.labels[best], "probabilities": dict(zip(self.labels, row, strict=True))}
            for best, row in zip(answers.argmax(axis=1).tolist(), answers.tolist(), strict=True)
        ]


def csv_rows(body: bytes, features: list[Feature], ignored: set[str]) -> list[list[Any]]:
    """Rows in feature order, from CSV with a header (any order) or without (feature order)."""
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"The body is not CSV in UTF-8: {error}.") from error
    if not lines or not is_header(lines[0], features):
        for index, line in enumerate(lines, 1):
            check_length(index, line, features)
        return list(lines)
    header = [name.strip() for name in lines[0]]
    check_names("The header", header, features, ignored)
    order = [header.index(feature["name"]) for feature in features]
    for index, line in enumerate(lines[1:], 1):
        if len(line) != len(header):
            raise BadRequest(f"Row {index} has {len(line)} values; the header has {len(header)}.")
    return [[line[position] for position in order] for line in lines[1:]]


def is_header(line: list[str], features: list[Feature]) -> bool:
    """Whether a first line is a header: it holds a column name that cannot be a value of a number column."""
    cells = {cell.strip() for cell in line}
    names = {feature["name"] for feature in features}
    return names <= cells or any(not is_number(name) for name in names & cells)


def is_number(text: str) -> bool:
    """Whether a cell would do in a number column."""
    try:
        number(text)
    except ValueError:
        return False
    return True


def json_rows(body: bytes, features: list[Feature], ignored: set[str]) -> list[list[Any]]:
    """Rows in feature order, from {"instances": [{name: value} or [values]]}."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list):
        raise BadRequest('The body must be {"instances": [...]}, a list of objects or of lists.')
    rows = []
    for index, instance in enumerate(instances, 1):
        if isinstance(instance, dict):
            check_names(f"Row {index}", list(instance), features, ignored)
            instance = [instance[feature["name"]] for feature in features]
        elif not isinstance(instance, list):
            raise BadRequest(f"Row {index} must be an object or a list of values, not {shown(instance)}.")
        check_length(index, instance, features)
        rows.append(instance)
    return rows


def check_length(index: int, row: list[Any], features: list[Feature]) -> None:
    """Raises BadRequest unless a row has one value per feature."""
    if len(row) != len(features):
        raise BadRequest(f"Row {index} has {len(row)} values; the model needs {len(features)}.")


def check_names(where: str, names: list[str], features: list[Feature], ignored: set[str]) -> None:
    """Columns the model was told to ignore (the target, identifiers) may be there; unknown or repeated ones may not."""
    known = {feature["name"] for feature in features}
    if missing := sorted(known.difference(names)):
        raise BadRequest(f"{where} lacks column {shown(missing[0])} ({len(missing)} missing in all).")
    if unknown := sorted(set(names) - known - ignored):
        raise BadRequest(f"{where} has a column the model does not know: {shown(unknown[0])}.")
    if len(names) != len(set(names)):
        raise BadRequest(f"{where} names a column twice.")


def typed_columns(rows: list[list[Any]], features: list[Feature]) -> dict[str, np.ndarray]:
    """Columns as `encode` wants them; raises BadRequest for a value of the wrong type."""
    columns = {}
    for position, feature in enumerate(features):
        typed = number_value if feature["type"] == "number" else category_value
        values = []
        for index, row in enumerate(rows, 1):
            try:
                values.append(typed(row[position]))
            except (ValueError, OverflowError) as error:
                kind = "a number" if feature["type"] == "number" else "text"
                raise BadRequest(
                    f"Row {index}: column '{feature['name']}' must be {kind}, not {shown(row[position])}."
                ) from error
        columns[feature["name"]] = np.array(values, np.float64 if feature["type"] == "number" else object)
    return columns


def number_value(value: Any) -> float:
    """A JSON or CSV cell as a number, NaN where it is missing; raises ValueError for anything else."""
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    return number(str(value))


def category_value(value: Any) -> str:
    """A JSON or CSV cell as a category; true and false read as pandas writes them, True and False."""
    if value is None:
        return category("")
    if not isinstance(value, (int, float, str)):
        raise ValueError(value)
    return category(str(value))


def shown(value: Any) -> str:
    """A value as an error message may show it: short, and safe to encode."""
    text = repr(value)
    return (text if len(text) <= 40 else text[:39] + "…").encode("utf-8", "backslashreplace").decode()
