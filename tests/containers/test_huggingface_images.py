"""Images classified and objects found by the huggingface image, read out of ZIPs.

`pytest tests/containers/test_huggingface_images.py`
"""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from local.cloud import Image
from tests.containers.huggingface_jobs import run_together
from tests.containers.image_data import png, put_images, shape_images, shuffled, striped_images, zipped
from tests.containers.jobs import Job, progress_lines

OF_EVALUATION = "output/data/metrics.json"
MAPPING = {"image": "file_name"}
STRIPES = striped_images(180)
CLASSIFIER = {
    "architecture": "vit-mini",
    "image_size": 32,
    "learning_rate": 1e-3,
    "epochs": 2,
    "augmentation": False,  # a cut would stretch the stripes
}
LEARNED = 80  # images of 100; the others are held out
SHAPES = [
    ({**listed, "split": "test" if number >= LEARNED else "train"}, image)
    for number, (listed, image) in enumerate(shape_images(100))
]
DETECTOR = {
    "architecture": "rtdetrv2-tiny",
    "image_size": 64,
    "learning_rate": 1e-3,
    "epochs": 16,
    "batch_size": 4,
    "checkpoint_every": 1000,  # none: there would be more of them than is good for a short run
}


def classifier_job(folder: Path, image: Image, examples: list, **parameters: object) -> Job:
    job = Job(folder, image).configure("image_classification", CLASSIFIER | parameters, MAPPING)
    put_images(job, examples)
    return job


def detector_job(folder: Path, image: Image, examples: list, **parameters: object) -> Job:
    job = Job(folder, image).configure("object_detection", DETECTOR | parameters, MAPPING)
    put_images(job, examples)
    return job


@pytest.fixture(scope="module")
def classifier(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A trained classifier of stripes."""
    return classifier_job(tmp_path_factory.mktemp("stripes"), huggingface_image, STRIPES).trained()


@pytest.fixture(scope="module")
def detector(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A trained finder of shapes."""
    return detector_job(tmp_path_factory.mktemp("shapes"), huggingface_image, SHAPES).trained()


def test_a_classifier_beats_the_commonest_class(classifier: Job) -> None:
    metrics = classifier.json("model/metrics.json")
    assert metrics["metrics"]["test_accuracy"] > 0.9
    assert metrics["metrics"]["test_baseline_accuracy"] < 0.4
    matrix = metrics["confusion_matrix"]
    assert matrix["labels"] == ["across", "down", "squares"]
    assert np.trace(matrix["matrix"]) / np.sum(matrix["matrix"]) == metrics["metrics"]["test_accuracy"]
    assert metrics["primary_metric"]["name"] == "test_accuracy"


def test_a_detector_beats_boxes_that_look_at_no_image(detector: Job) -> None:
    metrics = detector.json("model/metrics.json")
    figures = metrics["metrics"]
    assert figures["test_map"] > 0.1 > 0.03 > figures["test_baseline_map"]
    assert figures["test_map_50"] > 0.35
    assert metrics["primary_metric"] == {"name": "test_map", "value": figures["test_map"], "direction": "max"}
    classes = metrics["per_class"]
    assert [one["label"] for one in classes] == ["disc", "square"]
    assert np.mean([one["average_precision"] for one in classes]) == pytest.approx(figures["test_map"])


@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_what_it_leaves(kind: str, request: pytest.FixtureRequest) -> None:
    job: Job = request.getfixturevalue(kind)
    names = {path.name for path in (job.base / "model").iterdir()}
    files = {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert names == files | {"README.md", "manifest.json", "metrics.json"}
    manifest = job.json("model/manifest.json")
    assert {file["name"] for file in manifest["files"]} == names - {"manifest.json"}
    assert f"pipeline_tag: {manifest['task']}\n" in (job.base / "model/README.md").read_text()


def test_a_classifier_answers_from_what_it_left(classifier: Job) -> None:
    with classifier.serve() as server:
        images = [base64.b64encode(png(image)).decode() for _, image in STRIPES[:3]]
        asked = [images[0], {"image": images[1]}, f"data:image/png;base64,{images[2]}"]
        found = server.post({"instances": asked}).json()["predictions"]
        assert [one["label"] for one in found] == ["across", "down", "squares"]
        assert sum(found[0]["scores"].values()) == pytest.approx(1)
        alone = server.post(png(STRIPES[0][1]), "image/png").json()["predictions"]
        assert alone[0]["label"] == "across"
        for wrong in ("no base64!", base64.b64encode(b"text").decode(), {"picture": images[0]}, 7):
            answer = server.post({"instances": [images[0], wrong]})
            assert (answer.status_code, answer.json()["detail"][:10]) == (400, "Instance 1"), answer.text


def test_a_detector_answers_in_pixels_of_the_image_it_was_sent(detector: Job) -> None:
    """Images that were learned from, made twice as wide and three times as high: so are the boxes."""
    wide = [image.resize((2 * image.width, 3 * image.height)) for _, image in SHAPES[:10]]
    requests = [{"instances": [base64.b64encode(png(image)).decode()]} for image in wide]
    with detector.serve() as server:
        overlaps = []
        for (listed, _), sent in zip(SHAPES, requests, strict=False):
            found = server.post(sent | {"parameters": {"score_threshold": 0.05}}).json()["predictions"][0]["objects"]
            for x, y, width, height in listed["objects"]["bbox"]:
                box = (2 * x, 3 * y, 2 * width, 3 * height)
                overlaps.append(max((overlap(box, one["bbox"]) for one in found), default=0.0))
            assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
        assert np.median(overlaps) > 0.5
        everything = server.post(requests[0] | {"parameters": {"score_threshold": 0.0}}).json()["predictions"][0][
            "objects"
        ]
        assert len(everything) == 50, "as many as the model has queries"
        assert server.post(requests[0] | {"parameters": {"score_threshold": 2}}).status_code == 400


def overlap(one: tuple[float, ...], other: list[float]) -> float:
    """The area that two boxes share, as part of what they cover together."""
    across, down = (
        max(0.0, min(one[side] + one[side + 2], other[side] + other[side + 2]) - max(one[side], other[side]))
        for side in (0, 1)
    )
    return across * down / (one[2] * one[3] + other[2] * other[3] - across * down)


def test_what_teaches_nothing_and_other_ways_to_give_images(classifier: Job, tmp_path: Path) -> None:
    """In one process: labels of other images, class folders in a ZIP, as files, and a broken image."""
    image, brief = classifier.image, {"max_steps": 2}
    labels = classifier_job(tmp_path / "labels", image, shuffled(STRIPES, "label"), epochs=3)

    zip_alone = Job(tmp_path / "zip", image).configure("image_classification", CLASSIFIER | brief)
    zip_alone.put("input/data/train/images.zip", zipped(STRIPES[:30]))
    folders = Job(tmp_path / "folders", image).configure("image_classification", CLASSIFIER | brief)
    for number, (listed, picture) in enumerate(STRIPES[:30]):
        split = "test" if number % 5 == 0 else "train"
        folders.put(f"input/data/train/{split}/{listed['file_name']}", png(picture))

    further = classifier_job(tmp_path / "further", image, STRIPES, augmentation=True, learning_rate=1e-6, max_steps=2)
    shutil.copytree(classifier.base / "model", further.base / "input/data/model")
    broken = classifier_job(tmp_path / "broken", image, STRIPES[:30], **brief)
    broken.put("input/data/train/images.zip", zipped(STRIPES[:29]))

    done = run_together([labels, zip_alone, folders, further, broken])
    assert labels.json("model/metrics.json")["metrics"]["test_accuracy"] < 0.6
    assert zip_alone.json("model/manifest.json")["rows"] == {"train": 24, "test": 6}
    assert folders.json("model/manifest.json")["rows"] == {"train": 24, "test": 6}
    assert further.json("model/metrics.json")["metrics"]["test_accuracy"] > 0.9, "what the base model knew is kept"
    assert done.returncode == 1
    name = STRIPES[29][0]["file_name"]
    assert broken.failure == f"The image '{name}' is listed, and is not among the dataset's files."
    assert all(line["event"] for line in progress_lines(done.stdout)), "no library prints between the lines"


@pytest.mark.slow
def test_boxes_of_other_images_teach_nothing(detector: Job, tmp_path: Path) -> None:
    control = detector_job(tmp_path, detector.image, shuffled(SHAPES, "objects")).trained()
    found, learned = (job.json("model/metrics.json")["metrics"]["test_map"] for job in (control, detector))
    assert found < learned / 3


@pytest.mark.slow
def test_a_detector_is_trained_further(detector: Job, tmp_path: Path) -> None:
    further = detector_job(tmp_path, detector.image, SHAPES, learning_rate=1e-7, max_steps=2)
    shutil.copytree(detector.base / "model", tmp_path / "input/data/model")
    found, learned = (job.json("model/metrics.json")["metrics"]["test_map"] for job in (further.trained(), detector))
    assert found == pytest.approx(learned, abs=0.1), "what the base model knew is kept"


@pytest.mark.slow
@pytest.mark.parametrize(("make", "examples"), [(classifier_job, STRIPES[:48]), (detector_job, SHAPES[:40])])
def test_two_processes_have_the_loss_of_one(
    make: Callable[..., Job], examples: list, huggingface_image: Image, tmp_path: Path
) -> None:
    """Each of two takes half a batch, and so does each of two that are summed up: a step sees as many examples."""
    one = make(tmp_path / "one", huggingface_image, examples, augmentation=False, max_steps=2, batch_size=8)
    two = make(tmp_path / "two", huggingface_image, examples, augmentation=False, max_steps=2, batch_size=4)
    halves = {"augmentation": False, "max_steps": 2, "batch_size": 4, "gradient_accumulation": 2}
    summed = make(tmp_path / "summed", huggingface_image, examples, **halves)
    together = run_together([one, summed])
    assert together.returncode == 0, together.stderr
    done = two.run(SLIPWAY_PROCESSES_PER_HOST="2")
    assert done.returncode == 0, done.stderr
    assert sum(line["event"] == "final" for line in progress_lines(done.stdout)) == 1
    losses = [job.json("model/metrics.json")["history"][0]["train_loss"] for job in (one, two, summed)]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.1)


def test_an_evaluation_finds_the_figures_of_training(detector: Job, tmp_path: Path) -> None:
    asked, other = (Job(tmp_path / name, detector.image).evaluates(detector) for name in ("asked", "other"))
    put_images(asked, SHAPES[LEARNED:])
    listed, image = SHAPES[LEARNED]
    stranger = {**listed, "objects": {"bbox": [[1, 1, 9, 9]], "category": ["star"]}}
    put_images(other, [(stranger, image)])
    assert run_together([asked, other]).returncode == 1, "the last one has a class that the model does not know"
    assert "does not know: 'star'" in other.failure
    found, known = (job.json(name) for job, name in ((asked, OF_EVALUATION), (detector, "model/metrics.json")))
    assert found["metrics"].keys() == known["metrics"].keys()
    for name in known["metrics"].keys() - {"test_baseline_map"}:  # which training takes from its other images
        assert found["metrics"][name] == pytest.approx(known["metrics"][name], abs=1e-3), name
    assert found["per_class"] == [
        {name: pytest.approx(value, abs=1e-3) if name.startswith("average") else value for name, value in one.items()}
        for one in known["per_class"]
    ]
