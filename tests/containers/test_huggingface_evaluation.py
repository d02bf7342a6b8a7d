"""Evaluation of classifiers by the huggingface image: on what training held out it finds training's own figures.

The other types' evaluation is tested where their training is.

`pytest tests/containers/test_huggingface_evaluation.py`
"""

import csv
import io
from pathlib import Path

import pytest

from local.cloud import Image
from tests.containers.huggingface_jobs import run_together
from tests.containers.image_data import put_images, striped_images
from tests.containers.jobs import Job, progress_lines
from tests.containers.tables import to_csv
from tests.containers.text_data import reviews

TEXTS = {"architecture": "bert-tiny", "learning_rate": 5e-4, "epochs": 3, "max_length": 32}
IMAGES = {"architecture": "vit-mini", "image_size": 32, "learning_rate": 1e-3, "epochs": 2, "augmentation": False}
STRIPES = striped_images(120)
HELD_OUT = 64


def table(*, trained: bool) -> str:
    """Reviews of which the last ones are held out: all of them with a split, or those without one."""
    header, *rows = csv.reader(io.StringIO(reviews()))
    if not trained:
        return to_csv(header, rows[-HELD_OUT:])
    splits = ["train"] * (len(rows) - HELD_OUT) + ["test"] * HELD_OUT
    return to_csv([*header, "split"], [[*row, split] for row, split in zip(rows, splits, strict=True)])


@pytest.fixture(scope="module")
def trained(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """A trained classifier of texts, and one of images."""
    texts, images = (Job(tmp_path_factory.mktemp(name), huggingface_image) for name in ("texts", "images"))
    texts.put("input/data/train/data.csv", table(trained=True))
    texts.configure("text_classification", TEXTS)
    put_images(images, STRIPES)
    images.configure("image_classification", IMAGES, {"image": "file_name"})
    done = run_together([texts, images])
    assert done.returncode == 0, done.stderr
    return {"texts": texts, "images": images}


def test_the_figures_are_those_of_training_where_the_examples_are_the_same(
    trained: dict[str, Job], tmp_path: Path
) -> None:
    texts = Job(tmp_path / "texts", trained["texts"].image).evaluates(trained["texts"], table(trained=False))
    images = Job(tmp_path / "images", trained["images"].image).evaluates(trained["images"])
    put_images(images, STRIPES)
    other = Job(tmp_path / "other", texts.image)
    other.evaluates(trained["texts"], table(trained=False).replace("positive", "neutral", 1))
    done = run_together([texts, images, other])
    assert done.returncode == 1, "the last one has a class that the model does not know"

    found, known = texts.json("output/data/metrics.json"), trained["texts"].json("model/metrics.json")
    assert found["metrics"].keys() == known["metrics"].keys()
    for name in known["metrics"].keys() - {"test_baseline_accuracy"}:  # which training takes from its other examples
        assert found["metrics"][name] == pytest.approx(known["metrics"][name], abs=1e-3), name
    assert found["primary_metric"]["name"] == "test_accuracy"
    assert found["confusion_matrix"]["labels"] == ["negative", "positive"]
    assert texts.json("output/data/manifest.json")["rows"] == {"test": HELD_OUT}
    assert not list((texts.base / "model").glob("*.safetensors")), "an evaluation makes no model"

    seen = images.json("output/data/metrics.json")
    assert sum(map(sum, seen["confusion_matrix"]["matrix"])) == len(STRIPES)
    assert seen["metrics"]["test_accuracy"] > 0.9
    assert "does not know: 'neutral'" in other.failure
    events = [(line["event"], line["metrics"]) for line in progress_lines(done.stdout) if line["event"] == "final"]
    assert events[0][1] == pytest.approx(found["metrics"])
