"""What a custom script leaves in the model folder, held to docs/custom-scripts.md."""

import math
from pathlib import Path
from typing import Any

from training_containers.common.contract import ScriptError, read_json_object

METRICS, MANIFEST = "metrics.json", "manifest.json"
FRAMEWORKS = ("pytorch", "tensorflow", "sklearn", "onnx", "keras", "huggingface", "other")  # the registry's
DIRECTIONS = ("max", "min")


def checked_metrics(model: Path) -> dict[str, Any]:
    """The script's metrics.json, its primary metric with the value; raises ScriptError naming every fault."""
    faults = []
    files = [path for path in model.rglob("*") if path.name not in (METRICS, MANIFEST)]
    if links := [path.name for path in files if path.is_symlink()]:
        faults.append(f"The model folder holds a link, {links[0]}: put the file itself there.")
    if not any(path.is_file() for path in files):
        faults.append("The script wrote no model: nothing but metrics.json is in model_folder.")
    if not (model / METRICS).is_file():
        faults.append("The script wrote no metrics.json to model_folder.")
        raise ScriptError(" ".join(faults))
    found = read_json_object(model / METRICS)
    metrics = found.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        faults.append('metrics.json needs "metrics": an object of numbers by name, with one at least.')
    else:
        wrong = [name for name, value in metrics.items() if not is_number(value)]
        faults += [f"metrics.json: the metric {name!a:.80} is no finite number." for name in wrong[:3]]
    history = found.get("history", [])
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        faults.append('metrics.json: "history" must be a list of objects.')
    primary = found.get("primary_metric")
    if primary is not None:
        name, direction = (primary.get("name"), primary.get("direction")) if isinstance(primary, dict) else (None, None)
        if direction not in DIRECTIONS or not isinstance(metrics, dict) or name not in metrics:
            faults.append(
                'metrics.json: "primary_metric" must be {"name": one of the metrics, "direction": "max" or "min"}.'
            )
        elif not faults:
            found["primary_metric"] = {"name": name, "value": metrics[name], "direction": direction}
    if faults:
        raise ScriptError(" ".join(faults))
    return found


def checked_manifest(model: Path) -> dict[str, Any]:
    """What the script says of its model in manifest.json, if it does; raises ScriptError for what cannot be."""
    if not (model / MANIFEST).is_file():
        return {}
    found = read_json_object(model / MANIFEST)
    if found.get("framework", "other") not in FRAMEWORKS:
        raise ScriptError(f'manifest.json: "framework" must be one of {", ".join(FRAMEWORKS)}.')
    wrong = [name for name in ("task", "algorithm") if not isinstance(found.get(name, ""), str)]
    if wrong:
        raise ScriptError(f'manifest.json: "{wrong[0]}" must be text.')
    return found


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
