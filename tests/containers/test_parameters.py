"""The parameters of each training type, stated by the API and by its container: two programs, one truth.

Run: python -m pytest tests/containers/test_parameters.py
"""

import json
import subprocess
from functools import cache
from typing import Any

import pytest

from lambdas.jobs.schemas import TrainingType
from lambdas.jobs.training_types import TRAINING_TYPES
from local import images
from tests.containers.conftest import CONTEXT

# Training type -> the dataclass of its parameters where that is not `Parameters` of the module named like the type.
CLASSES = {"tabular": "config.TabularConfig"}
CHECKED_BY_CONTAINERS: list[TrainingType] = [
    name for name in TRAINING_TYPES if name != "custom"
]  # a script's are its own
# What the image's own Python, which has the libraries that the modules import, says of the classes named.
SCRIPT = """
import importlib, json, sys
from dataclasses import MISSING, fields
told = {}
for path in sys.argv[1:]:
    module, _, name = path.rpartition(".")
    told[path] = {
        field.name: {
            "type": field.type.__name__,
            "default": None if field.default is MISSING else field.default,
            **{key: field.metadata[key] for key in ("low", "high", "choices")},
        }
        for field in fields(getattr(importlib.import_module(module), name))
    }
print(json.dumps(told))
"""
TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def path_of(name: Any) -> str:
    """Return the dotted path of the dataclass with which a container checks the parameters of a type."""
    return f"training_containers.{TRAINING_TYPES[name].image_family}.{CLASSES.get(name, f'{name}.Parameters')}"


def exists(path: str) -> bool:
    """Return whether the module of a class is there."""
    return (CONTEXT.parent / f"{path.rpartition('.')[0].replace('.', '/')}.py").exists()


@cache
def told(family: str) -> dict[str, Any]:
    """Return what an image says of the parameters of every type that it trains."""
    paths = [path_of(name) for name in CHECKED_BY_CONTAINERS if TRAINING_TYPES[name].image_family == family]
    python = str(images.build(CONTEXT, f"{family}/Dockerfile").python)
    command = [python, "-c", SCRIPT, *filter(exists, paths)]
    done = subprocess.run(command, cwd=CONTEXT.parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CHECKED_BY_CONTAINERS)
def test_names_types_ranges_and_defaults_are_those_of_the_container(name: Any) -> None:
    stated = TRAINING_TYPES[name].parameters.model_json_schema()["properties"]
    container = told(TRAINING_TYPES[name].image_family)[path_of(name)]
    assert set(stated) == set(container)
    for parameter, theirs in container.items():
        ours = stated[parameter]
        assert ours["type"] == TYPES[theirs["type"]], parameter
        assert (ours.get("minimum"), ours.get("maximum")) == (theirs["low"], theirs["high"]), parameter
        only = [ours["const"]] if "const" in ours else []
        assert ours.get("enum", only) == theirs["choices"], parameter
        assert ours.get("default") == theirs["default"], parameter
