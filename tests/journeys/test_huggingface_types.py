"""Models that PyTorch trains, through the API: from an upload to a version in the registry, and to answers.

How well they learn, tests/containers says. `pytest tests/journeys/test_huggingface_types.py`
"""

import io
import json
import zipfile
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.containers import generation_data, image_data
from tests.journeys.conftest import ENDED

QUICK = {"learning_rate": 1e-3, "batch_size": 8, "gradient_checkpointing": False}


def zipped(files: dict[str, bytes], lines: list[dict[str, Any]]) -> bytes:
    """Images, and the metadata.jsonl that says what they show."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as entries:
        entries.writestr("metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        for name, content in files.items():
            entries.writestr(name, content)
    return archive.getvalue()


def conversations() -> bytes:
    rows = [generation_data.as_messages(row) for row in generation_data.conversations(60)]
    return "".join(json.dumps({"messages": row["messages"]}) + "\n" for row in rows).encode()


def captioned() -> bytes:
    drawn = image_data.striped_images(24, side=16)
    lines = [
        {"file_name": f"{number}.png", "text": f"stripes {line['label']}"} for number, (line, _) in enumerate(drawn)
    ]
    return zipped({f"{number}.png": image_data.png(image) for number, (_, image) in enumerate(drawn)}, lines)


def boxed() -> bytes:
    drawn = image_data.shape_images(24)
    lines = [{"file_name": line["file_name"], "objects": line["objects"]} for line, _ in drawn]
    return zipped({line["file_name"]: image_data.png(image) for line, image in drawn}, lines)


@pytest.fixture(scope="module")
def jobs(member: ApiClient) -> dict[str, dict[str, Any]]:
    """A completed job of each type, by type."""
    wanted = {
        "llm": ("text", "jsonl", conversations(), QUICK | {"max_steps": 4}),
        "diffusion": (
            "image",
            "zip",
            captioned(),
            QUICK | {"resolution": 16, "autoencoder_steps": 2, "max_steps": 2},
        ),
        "object_detection": ("image", "zip", boxed(), QUICK | {"image_size": 64, "max_steps": 2}),
    }
    started = {}
    for training_type, (type, format, content, parameters) in wanted.items():
        dataset = member.upload(content, f"data.{format}", name=training_type, type=type, format=format)
        dataset = member.wait(f"/datasets/{dataset['id']}", "ready", "failed")
        assert dataset["status"] == "ready", dataset["reason"]
        request = {
            "name": training_type,
            "dataset_id": dataset["id"],
            "training_type": training_type,
            "parameters": parameters,
            "deploy": {"name": training_type} if training_type == "llm" else None,
        }
        started[training_type] = member.call("POST", "/jobs", request)
    return {name: member.wait(f"/jobs/{job['id']}", *ENDED) for name, job in started.items()}


@pytest.mark.parametrize(
    ("training_type", "metric", "model_type", "weights"),
    [
        ("llm", "test_perplexity", "nlp", "model.safetensors"),
        ("diffusion", "test_loss", "computer_vision", "unet/diffusion_pytorch_model.safetensors"),
        ("object_detection", "test_map", "computer_vision", "model.safetensors"),
    ],
)
def test_a_model_is_trained_and_registered(
    member: ApiClient,
    jobs: dict[str, dict[str, Any]],
    training_type: str,
    metric: str,
    model_type: str,
    weights: str,
) -> None:
    job = jobs[training_type]
    assert job["status"] == "completed", job["reason"]
    assert job["primary_metric"]["name"] == metric
    assert (job["progress"]["percent"], job["progress"]["metrics"][metric]) == (100, job["primary_metric"]["value"])
    path = f"/ai-models/{member.username}/{job['model']['model_id']}"
    model = member.call("GET", f"{path}?version={job['model']['version']}")
    assert (model["model_type"], model["framework"], model["status"]) == (model_type, "pytorch", "ready")
    manifest = json.loads(member.request("GET", f"{path}/download", params={"filename": "manifest.json"}).content)
    assert weights in {file["name"] for file in manifest["files"]}
    capsule = member.call("GET", f"/jobs/{job['id']}/capsule")
    assert capsule["parameters"]["learning_rate"] == QUICK["learning_rate"]
    assert capsule["versions"]["torch"].startswith("2.")


def test_the_endpoint_that_was_asked_for_answers(member: ApiClient, jobs: dict[str, dict[str, Any]]) -> None:
    job = member.call("GET", f"/jobs/{jobs['llm']['id']}")
    *_, job = member.follow(f"/jobs/{job['id']}", lambda job: job["endpoint_id"] or job["deploy_error"])
    assert job["deploy_error"] is None
    endpoint = member.wait(f"/endpoints/{job['endpoint_id']}", "in_service", "failed")
    assert endpoint["status"] == "in_service", endpoint["reason"]
    asked = {"instances": ["cat forest spring"], "parameters": {"max_new_tokens": 4}}
    (answer,) = member.call("POST", f"/endpoints/{endpoint['id']}/invoke", asked)["predictions"]
    assert isinstance(answer["text"], str)
    member.call("DELETE", f"/endpoints/{endpoint['id']}")
