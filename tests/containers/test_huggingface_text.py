"""Text classification by the huggingface image: what it learns, what it leaves, how it stops and goes on.

`pytest tests/containers/test_huggingface_text.py`
"""

import json
import random
import shutil
import signal
from pathlib import Path

import pytest

from local.cloud import Image
from tests.containers.jobs import Job, progress_lines
from tests.containers.text_data import reviews

TINY = {"architecture": "bert-tiny", "learning_rate": 5e-4, "epochs": 5, "max_length": 32}
# One thread adds in one order, so a run that was stopped has the very losses of one that was not.
SAME = 0.0


@pytest.fixture(scope="module")
def job(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A trained classifier of reviews."""
    made = Job(tmp_path_factory.mktemp("reviews"), huggingface_image)
    return written(made, reviews()).trained()


def written(job: Job, table: str, **parameters: object) -> Job:
    job.put("input/data/train/reviews.csv", table)
    return job.configure("text_classification", TINY | parameters)


def another(job: Job, folder: Path, **parameters: object) -> Job:
    """The same data and parameters in a new folder."""
    return written(Job(folder, job.image), (job.base / "input/data/train/reviews.csv").read_text(), **parameters)


def losses(job: Job) -> dict[int, float]:
    """The training loss of each step that was logged."""
    history = job.json("model/metrics.json")["history"]
    return {line["step"]: line["train_loss"] for line in history if "train_loss" in line}


def test_it_beats_the_commoner_class_and_says_so(job: Job) -> None:
    metrics = job.json("model/metrics.json")
    figures = metrics["metrics"]
    assert figures["test_accuracy"] > 0.95 > 0.7 > figures["test_baseline_accuracy"]
    assert metrics["primary_metric"] == {
        "name": "test_accuracy",
        "value": figures["test_accuracy"],
        "direction": "max",
    }
    matrix = metrics["confusion_matrix"]
    assert matrix["labels"] == ["negative", "positive"]
    assert sum(map(sum, matrix["matrix"])) == 64
    right = matrix["matrix"][0][0] + matrix["matrix"][1][1]
    assert right / 64 == figures["test_accuracy"]
    assert sum(one["support"] for one in metrics["per_class"]) == 64


def test_labels_of_other_texts_teach_nothing(job: Job, tmp_path: Path) -> None:
    control = written(Job(tmp_path, job.image), reviews(shuffled=True), epochs=3).trained()
    assert control.json("model/metrics.json")["metrics"]["test_accuracy"] < 0.7


def test_what_it_leaves(job: Job) -> None:
    names = {path.name for path in (job.base / "model").iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "manifest.json",
        "metrics.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    manifest = job.json("model/manifest.json")
    assert (manifest["task"], manifest["labels"]) == ("text-classification", ["negative", "positive"])
    assert {file["name"] for file in manifest["files"]} == names - {"manifest.json"}
    card = (job.base / "model/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n")
    assert (job.base / "output/data/metrics.json").read_bytes() == (job.base / "model/metrics.json").read_bytes()


def test_it_answers_from_what_it_left(job: Job) -> None:
    with job.serve() as server:
        asked = {"instances": ["a story with awful music", {"text": "the lovely film"}]}
        bad, good = server.post(asked).json()["predictions"]
        assert (bad["label"], good["label"]) == ("negative", "positive")
        assert bad["scores"]["negative"] == bad["score"] > 0.5
        assert server.post("the lovely film", "text/plain").json()["predictions"][0]["label"] == "positive"
        for wrong in ({"instances": []}, {"instances": [7]}, {"texts": ["a"]}, "no JSON"):
            assert server.post(wrong).status_code == 400
        assert server.post({"instances": ["word " * 5000]}).status_code == 200, "what is too long is cut"


def test_a_base_model_is_trained_further(job: Job, tmp_path: Path) -> None:
    further = another(job, tmp_path, epochs=1, learning_rate=1e-6)
    shutil.copytree(job.base / "model", tmp_path / "input/data/model")
    figures = further.trained().json("model/metrics.json")["metrics"]
    assert figures["test_accuracy"] > 0.95, "one epoch of tiny steps keeps what the base model knew"


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(job: Job, tmp_path: Path, seed: int) -> None:
    stopped = another(job, tmp_path)
    running = stopped.start()
    running.read_until("step", random.Random(seed).randint(1, 70))
    assert running.end(signal.SIGTERM) == 0, running.output
    before = progress_lines(running.output)
    assert "the checkpoint is saved." in running.output
    assert not (tmp_path / "model").exists() and not (tmp_path / "output/failure").exists()

    resumed = stopped.run()
    assert resumed.returncode == 0, resumed.stderr
    lines = before + progress_lines(resumed.stdout)
    assert f"Resuming from checkpoint-{before[-1]['step']}." in resumed.stdout
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert losses(stopped) == pytest.approx(losses(job), abs=SAME)
    assert stopped.json("model/metrics.json")["metrics"] == job.json("model/metrics.json")["metrics"]


def test_two_processes_have_the_loss_of_one(job: Job, tmp_path: Path) -> None:
    """Each of two takes half a batch, so a step sees as many examples; without care its loss would be doubled."""
    two = another(job, tmp_path, batch_size=8, max_steps=4)
    done = two.run(SLIPWAY_PROCESSES_PER_HOST="2")
    assert done.returncode == 0, done.stderr
    first, expected = losses(two)[1], losses(job)[1]
    assert first == pytest.approx(expected, rel=0.05)
    assert len([line for line in progress_lines(done.stdout) if line["event"] == "final"]) == 1


@pytest.mark.parametrize(
    ("table", "parameters", "reason"),
    [
        ("text,label\nfine,good\nnice,good\n", {}, "Column 'label' has only one class, 'good'"),
        ("review,label\nfine,good\n", {}, "There is no column 'text' for text; columns are: review, label."),
        (reviews(20), {"epoch": 3, "batch_size": 0}, "Parameter 'epoch' is not known"),
    ],
)
def test_what_cannot_be_trained_is_said(
    huggingface_image: Image, tmp_path: Path, table: str, parameters: dict[str, object], reason: str
) -> None:
    failed = written(Job(tmp_path, huggingface_image), table, **parameters)
    assert failed.run().returncode == 1
    assert failed.failure.startswith(reason), failed.failure


def test_a_type_of_another_image_is_refused(huggingface_image: Image, tmp_path: Path) -> None:
    job = Job(tmp_path, huggingface_image).configure("tabular", {})
    assert job.run().returncode == 1
    assert json.dumps(job.failure).startswith('"This image trains text_classification')
