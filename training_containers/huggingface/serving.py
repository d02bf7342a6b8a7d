"""Predictions from a trained model: a request's instances go to the module that knows the model's task."""

import base64
import importlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from training_containers.common import server
from training_containers.common.artefacts import verified_file
from training_containers.common.batching import BadRequest, Model, Stream
from training_containers.common.contract import Paths
from training_containers.common.served_files import trained_manifest

Predict = Callable[[list[Any], dict[str, Any]], list[Any]]  # (instances, parameters) -> a prediction for each


@runtime_checkable
class Completes(Protocol):
    """A model that answers requests of OpenAI's form, too."""

    def complete(self, request: dict[str, Any]) -> dict[str, Any] | Stream: ...


MAX_INSTANCES = 1000


@dataclass(frozen=True)
class Task:
    """How models of a task are served: by which module, warmed with which request, how many requests together."""

    module: str
    sample: Callable[[], dict[str, Any]]
    most: int = 32


def word() -> dict[str, Any]:
    """Return a request for a text's class or entities."""
    return {"instances": ["Hello"]}


def picture() -> dict[str, Any]:
    """Return a request for a picture's class or objects."""
    from PIL import Image

    png = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(png, "PNG")
    return {"instances": [base64.b64encode(png.getvalue()).decode()]}


# Texts and pictures are generated one by one: who came first shall not wait for who came with them.
TASKS = {
    "text-classification": Task("text_serving", word),
    "token-classification": Task("entity_serving", word),
    "text-generation": Task("generation_serving", lambda: word() | {"parameters": {"max_new_tokens": 1}}, most=1),
    "text-to-image": Task("generation_serving", lambda: word() | {"parameters": {"steps": 1}}, most=1),
    "image-classification": Task("image_serving", picture, most=16),
    "object-detection": Task("image_serving", picture, most=16),
}


def main() -> int:
    """The exit status of the server."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return server.run(lambda: load(Paths.from_environment().model))


def load(folder: Path) -> Model:
    """Return the model in a folder, trained here or not; raises ValueError if a file is not the one that is listed."""
    manifest = trained_manifest(folder)
    if manifest is None:
        from training_containers.huggingface import uploaded  # here: it imports what only such models need

        folder, manifest = uploaded.described(folder)
    else:
        for file in manifest["files"]:
            verified_file(folder, manifest, file["name"])
    task = TASKS[manifest["task"]]
    module = importlib.import_module(f"training_containers.huggingface.{task.module}")
    predict: Predict = module.load(folder, manifest)
    print(f"Serving {manifest['task']} by {manifest['architecture']}.", flush=True)
    sample = (json.dumps(task.sample()).encode(), "application/json")
    return Model(read, predict, sample, task.most, whole=completion(predict))


def completion(predict: Predict) -> Callable[[bytes, str], dict[str, Any] | Stream | None] | None:
    """Return what answers requests of OpenAI's form, for a model that does."""
    if not isinstance(predict, Completes):
        return None

    def answer(body: bytes, media_type: str) -> dict[str, Any] | Stream | None:
        request = request_in(body, media_type)
        return predict.complete(request) if request else None

    return answer


def request_in(body: bytes, media_type: str) -> dict[str, Any] | None:
    """Return the request of OpenAI's form in a body, None for a body of another form."""
    if media_type != "application/json":
        return None
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) and {"messages", "prompt"} & request.keys() else None


def read(body: bytes, media_type: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the instances of a request and its parameters; raises BadRequest.

    JSON is {"instances": [...], "parameters": {...}}, or {"inputs": ...} as Hugging Face's own servers take it. A
    request may also be one image, or one text.
    """
    if media_type.startswith("image/"):
        return [base64.b64encode(body).decode()], {}
    try:
        if media_type == "text/plain":
            return [body.decode("utf-8")], {}
        if media_type != "application/json":
            raise BadRequest("Content-Type must be application/json, text/plain or an image's.")
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON, or not UTF-8.") from error
    if not isinstance(request, dict) or not {"instances", "inputs"} & request.keys():
        raise BadRequest('The body must be {"instances": [...]}.')
    instances = request.get("instances", request.get("inputs"))
    instances = instances if isinstance(instances, list) else [instances]
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object.")
    if not 1 <= len(instances) <= MAX_INSTANCES:
        raise BadRequest(f"The request holds {len(instances)} instances; 1 to {MAX_INSTANCES} are answered at once.")
    return instances, parameters
