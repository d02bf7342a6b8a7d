"""Predictions from a trained model: a request's instances go to the module that knows the model's task."""

import base64
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from training_containers.common import server
from training_containers.common.artefacts import verified_file
from training_containers.common.contract import Paths, read_json_object
from training_containers.common.server import Answer, BadRequest, Stream

Predict = Callable[[list[Any], dict[str, Any]], list[Any]]  # (instances, parameters) -> a prediction for each


@runtime_checkable
class Completes(Protocol):
    """A model that answers requests of OpenAI's form, too."""

    def complete(self, request: dict[str, Any]) -> dict[str, Any] | Stream: ...


MAX_INSTANCES = 1000
TASKS = {
    "text-classification": "text_serving",
    "token-classification": "entity_serving",
    "text-generation": "generation_serving",
    "text-to-image": "generation_serving",
    "image-classification": "image_serving",
    "object-detection": "image_serving",
}


def main() -> int:
    """The exit status of the server."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return server.run(lambda: load(Paths.from_environment().model))


def load(folder: Path) -> Answer:
    """Return what answers requests; raises ValueError if a model file is not the one the manifest lists."""
    manifest = read_json_object(folder / "manifest.json")
    for file in manifest["files"]:
        if file["name"].endswith(".safetensors"):
            verified_file(folder, manifest, file["name"])
    module = importlib.import_module(f"training_containers.huggingface.{TASKS[manifest['task']]}")
    predict: Predict = module.load(folder, manifest)
    print(f"Serving {manifest['task']} by {manifest['architecture']}.", flush=True)

    def answer(body: bytes, media_type: str) -> dict[str, Any] | Stream:
        if isinstance(predict, Completes) and (request := request_in(body, media_type)):
            return predict.complete(request)
        instances, parameters = read(body, media_type)
        return {"predictions": predict(instances, parameters)}

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
