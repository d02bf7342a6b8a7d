"""Language models and text to image, trained and served by the image's own entry points on a CPU.

.venv/bin/python -m pytest tests/containers/test_huggingface_generation.py
"""

import base64
import io
import json
import random
import shutil
import signal
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from PIL import ImageStat

from local.cloud import Image
from tests.containers import generation_data as data
from tests.containers.jobs import Job

pytestmark = pytest.mark.thorough

LANGUAGE = {"learning_rate": 3e-3, "epochs": 10, "gradient_checkpointing": False}
AUTOENCODER_STEPS, DENOISING_STEPS = 40, 60
PICTURES = {
    "learning_rate": 2e-3,
    "resolution": 8,
    "autoencoder_steps": AUTOENCODER_STEPS,
    "max_steps": DENOISING_STEPS,
    "gradient_checkpointing": False,
    "checkpoint_every": 40,
}


def language_job(
    job: Job, rows: list[dict[str, Any]], parameters: dict[str, Any], mapping: dict[str, str] | None = None
) -> Job:
    job.put("input/data/train/data.jsonl", data.jsonl(rows))
    return job.configure("llm", parameters, mapping)


def picture_job(job: Job, shuffled: bool = False, **parameters: Any) -> Job:
    archive, captions = data.pictures(64, shuffled=shuffled)
    job.put("input/data/train/pictures.zip", archive)
    job.put("input/data/examples/examples.jsonl", captions)
    return job.configure("diffusion", PICTURES | parameters)


@pytest.fixture(scope="session")
def language_model(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A language model trained from nothing on conversations."""
    rows = [data.as_messages(row) for row in data.conversations(400)]
    return language_job(Job(tmp_path_factory.mktemp("llm"), huggingface_image), rows, LANGUAGE).trained()


@pytest.fixture(scope="session")
def picture_model(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A Stable Diffusion trained from nothing on red and blue squares."""
    return picture_job(Job(tmp_path_factory.mktemp("diffusion"), huggingface_image)).trained()


@pytest.fixture
def hf_job(huggingface_image: Image, tmp_path: Path) -> Job:
    return Job(tmp_path, huggingface_image)


def metrics(job: Job) -> dict[str, float]:
    return job.json("model/metrics.json")["metrics"]


def names(job: Job) -> set[str]:
    return {
        file.relative_to(job.base / "model").as_posix() for file in (job.base / "model").rglob("*") if file.is_file()
    }


def assert_without_pickle(job: Job) -> None:
    assert {Path(name).suffix for name in names(job)} <= {".safetensors", ".json", ".jinja", ".md", ".png"}


def weights(file: Path) -> dict[str, Any]:
    """The header of a SafeTensors file: names, types and shapes of its weights."""
    content = file.read_bytes()
    [length] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return {name: (each["dtype"], each["shape"]) for name, each in header.items() if name != "__metadata__"}


# ---------------------------------------------------------------------------------------------------- language models


def test_a_language_model_learns_the_answers_and_not_the_questions(language_model):
    found = metrics(language_model)
    assert found["test_baseline_perplexity"] > 10
    assert found["test_perplexity"] < 1.3  # of the assistant's words alone: the user's cannot be guessed
    for sample in language_model.json("model/metrics.json")["samples"]:
        words = sample["prompt"].split()[1:4]
        assert sample["continuation"] == " ".join(table[word] for table, word in zip(data.TABLES, words, strict=True))
    manifest = language_model.json("model/manifest.json")
    assert (manifest["task"], manifest["primary_metric"]["direction"]) == ("text-generation", "min")
    assert_without_pickle(language_model)


def test_with_answers_to_other_questions_there_is_nothing_to_learn_but_their_words(hf_job, language_model):
    shuffled = data.conversations(400, shuffled=True)  # prompts and completions this time
    control, real = metrics(language_job(hf_job, shuffled, LANGUAGE).trained()), metrics(language_model)
    assert control["test_baseline_perplexity"] == pytest.approx(real["test_baseline_perplexity"], rel=0.05)
    assert control["test_perplexity"] > 2.5 * real["test_perplexity"]


def test_lora_teaches_a_base_model_and_leaves_a_model_of_the_same_shape(hf_job, language_model):
    base = language_model.base / "model"
    for name in names(language_model):
        hf_job.put(f"input/data/model/{name}", (base / name).read_bytes())
    rows = [data.as_text(row) for row in data.conversations(200)]
    settings = {"method": "lora", "learning_rate": 1e-2, "epochs": 8, "gradient_checkpointing": True}
    language_job(hf_job, rows, settings, {"text": "line"}).trained()
    losses = [line["train_loss"] for line in hf_job.json("model/metrics.json")["history"] if "train_loss" in line]
    assert losses[-1] < 0.75 * losses[0]  # what is asked cannot be guessed: the loss has a floor
    assert metrics(hf_job)["test_perplexity"] < metrics(hf_job)["test_baseline_perplexity"]
    model = hf_job.base / "model"
    assert weights(model / "model.safetensors") == weights(base / "model.safetensors")
    assert (model / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()
    assert "adapter/adapter_model.safetensors" in names(hf_job)
    assert_without_pickle(hf_job)


def test_the_served_language_model_answers_texts_and_conversations(language_model):
    asked = {"messages": [{"role": "user", "content": "cow lake spring"}]}
    with language_model.serve() as server:
        answer = server.post({"instances": [asked, "User:\ncat farm winter\nAssistant:\n"]}).json()
        assert [each["text"] for each in answer["predictions"]] == ["moo reed april", "meow barn january"]
        assert {each["finish_reason"] for each in answer["predictions"]} == {"stop"}
        drawn = {"instances": [asked], "parameters": {"temperature": 3.0, "seed": 1, "max_new_tokens": 4}}
        assert server.post(drawn).json() == server.post(drawn).json()
        for instance, parameters, told in [
            ({"messages": [{"role": "user"}]}, {}, "Instance 0 has a message without a role"),
            (5, {}, "Instance 0 must be a text"),
            ("hello", {"temperature": -1}, "Parameter 'temperature' must be from 0.0"),
            ("hello", {"max_new_tokens": 16384, "top_k": 3}, "Parameter 'top_k' is not known"),
        ]:
            refused = server.post({"instances": [instance], "parameters": parameters})
            assert (refused.status_code, told in refused.json()["detail"]) == (400, True), refused.text


# ------------------------------------------------------------------------------------------------------ text to image


def colour(picture: bytes) -> str:
    """What colour most of a picture has."""
    red, _, blue = ImageStat.Stat(Picture.open(io.BytesIO(picture)).convert("RGB")).mean
    return "red" if red > blue + 60 else "blue" if blue > red + 60 else "neither"


def samples(job: Job) -> list[tuple[str, str]]:
    """The colour that each sample was to have, and the one it has."""
    made = job.json("model/metrics.json")["samples"]
    return [(each["prompt"].split()[1], colour((job.base / "model" / each["file"]).read_bytes())) for each in made]


def test_diffusion_learns_to_see_the_noise_and_to_paint_what_the_caption_says(picture_model):
    found = metrics(picture_model)
    assert found["test_loss"] < 0.6 * found["test_untrained_loss"]
    assert found["test_loss"] < 0.6 * found["test_baseline_loss"]
    assert sorted(samples(picture_model)) == [("blue", "blue")] * 2 + [("red", "red")] * 2
    assert {"model_index.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"} <= names(
        picture_model
    )
    assert_without_pickle(picture_model)


def test_with_the_captions_of_other_pictures_the_colour_does_not_follow(hf_job, picture_model):
    control = picture_job(hf_job, shuffled=True).trained()
    assert metrics(control)["test_loss"] > 1.2 * metrics(picture_model)["test_loss"]
    wanted = [("blue", "blue")] * 2 + [("red", "red")] * 2
    assert sorted(samples(control)) != wanted


def test_the_served_model_paints_the_colour_it_is_asked_for(picture_model):
    request = {"instances": ["a red square", {"prompt": "a blue square"}], "parameters": {"steps": 15, "seed": 4}}
    with picture_model.serve() as server:
        answers = [server.post(request).json()["predictions"] for _ in range(2)]
        assert answers[0] == answers[1]
        assert [colour(base64.b64decode(each["image"])) for each in answers[0]] == ["red", "blue"]
        refused = server.post({"instances": [""], "parameters": {}})
        assert (refused.status_code, "must be a text" in refused.json()["detail"]) == (400, True)


def stopped_at(job: Job, step: int) -> str:
    """What a job printed that was sent SIGTERM after a step; it must save a checkpoint and leave as if all was well."""
    running = job.start()
    running.read_until("step", step)
    assert running.end(signal.SIGTERM) == 0, running.output
    assert "the checkpoint is saved" in running.output
    return running.output


def assert_same_end(job: Job, uninterrupted: Job) -> None:
    """Every figure of the whole history, to the last digit: on a CPU the same operations give the same numbers."""
    assert job.json("model/metrics.json") == uninterrupted.json("model/metrics.json")
    files = [
        {each["name"]: each["sha256"] for each in one.json("model/manifest.json")["files"]}
        for one in (job, uninterrupted)
    ]
    assert files[0] == files[1]


def test_diffusion_stopped_in_either_part_ends_as_if_nothing_had_happened(hf_job, picture_model):
    picture_job(hf_job)
    stopped_at(hf_job, AUTOENCODER_STEPS // 2)
    output = stopped_at(hf_job, AUTOENCODER_STEPS + DENOISING_STEPS // 2)
    assert "Resuming from checkpoint-" in output
    assert_same_end(hf_job.trained(), picture_model)


@pytest.mark.slow
@pytest.mark.parametrize("step", random.Random(3).sample(range(1, AUTOENCODER_STEPS + DENOISING_STEPS), 10))
def test_diffusion_stopped_at_any_step_ends_as_if_nothing_had_happened(hf_job, picture_model, step):
    stopped_at(picture_job(hf_job), step)
    assert_same_end(hf_job.trained(), picture_model)


def test_lora_without_a_base_model_is_refused(hf_job):
    picture_job(hf_job, method="lora")
    assert hf_job.run().returncode == 1
    assert hf_job.failure == ("LoRA adapts a base model, and this job has none: give one, or choose the method full.")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_base_model_learns_on(picture_model: Job, tmp_path: Path, method: str) -> None:
    further = picture_job(Job(tmp_path, picture_model.image), method=method, max_steps=8, learning_rate=1e-4)
    shutil.copytree(picture_model.base / "model", tmp_path / "input/data/model")
    found, before = metrics(further.trained()), metrics(picture_model)
    assert found["test_untrained_loss"] == pytest.approx(before["test_loss"], rel=0.02), "it begins where that ended"
    assert found["test_loss"] < found["test_untrained_loss"] * 1.1
    assert (tmp_path / "model/adapter").is_dir() == (method == "lora")
    assert not list((tmp_path / "model").rglob("*.bin"))


def test_an_evaluation_finds_the_perplexity_of_training(language_model: Job, tmp_path: Path) -> None:
    asked = Job(tmp_path, language_model.image).evaluates(language_model)
    rows = [data.as_messages(row) for row in data.conversations(400)]
    asked.put("input/data/train/data.jsonl", data.jsonl([row for row in rows if row["split"] == "test"]))
    found, known = asked.trained().json("output/data/metrics.json"), language_model.json("model/metrics.json")
    assert found["primary_metric"]["name"] == "test_perplexity"
    assert found["metrics"].keys() == known["metrics"].keys()
    for name in ("test_perplexity", "test_loss"):
        assert found["metrics"][name] == pytest.approx(known["metrics"][name], rel=1e-3)
    assert found["samples"] == known["samples"]


def test_an_evaluation_finds_the_noise_that_training_found(picture_model: Job, tmp_path: Path) -> None:
    asked = Job(tmp_path, picture_model.image).evaluates(picture_model)
    archive, captions = data.pictures(64)
    asked.put("input/data/train/pictures.zip", archive)
    held_out = [line for line in captions.splitlines(keepends=True) if json.loads(line)["split"] == "test"]
    asked.put("input/data/examples/examples.jsonl", "".join(held_out))
    found, known = asked.trained().json("output/data/metrics.json"), metrics(picture_model)
    assert found["primary_metric"] == {
        "name": "test_loss",
        "value": pytest.approx(known["test_loss"], rel=1e-3),
        "direction": "min",
    }
    assert found["metrics"]["test_baseline_loss"] == known["test_baseline_loss"]
