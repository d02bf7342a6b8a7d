"""Entities found by the huggingface image: learned from context, measured whole, answered with their places.

`pytest tests/containers/test_huggingface_ner.py`
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.cloud import Image
from tests.containers.entity_data import jsonl, shuffled, tagged_sentences
from tests.containers.huggingface_jobs import run_together
from tests.containers.jobs import Job

LEARNED = 320  # sentences of 400; the others are held out
TINY = {"architecture": "bert-tiny", "learning_rate": 1e-3, "epochs": 6, "max_length": 64}


def prepared(folder: Path, image: Image, rows: list, **parameters: object) -> Job:
    job = Job(folder, image).configure("ner", TINY | parameters)
    job.put("input/data/train/sentences.jsonl", jsonl(rows))
    return job


@pytest.fixture(scope="module")
def job(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A trained finder of people and places."""
    rows = tagged_sentences(400)
    for number, row in enumerate(rows):
        row["split"] = "test" if number >= LEARNED else "train"
    return prepared(tmp_path_factory.mktemp("entities"), huggingface_image, rows).trained()


def test_it_beats_knowing_each_words_usual_tag(job: Job) -> None:
    metrics = job.json("model/metrics.json")
    figures = metrics["metrics"]
    assert figures["test_f1"] > 0.75 > 0.5 > figures["test_baseline_f1"]
    assert metrics["primary_metric"] == {"name": "test_f1", "value": figures["test_f1"], "direction": "max"}
    matrix = metrics["confusion_matrix"]
    assert matrix["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    right = sum(matrix["matrix"][tag][tag] for tag in range(5))
    assert right / sum(map(sum, matrix["matrix"])) == pytest.approx(figures["test_token_accuracy"])
    assert [one["label"] for one in metrics["per_class"]] == ["LOC", "PER"]
    recalled = sum(one["recall"] * one["support"] for one in metrics["per_class"])
    assert recalled / sum(one["support"] for one in metrics["per_class"]) == pytest.approx(figures["test_recall"])


def test_what_it_leaves(job: Job) -> None:
    names = {path.name for path in (job.base / "model").iterdir()}
    files = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == files | {"README.md", "manifest.json", "metrics.json"}
    manifest = job.json("model/manifest.json")
    assert (manifest["task"], manifest["max_length"]) == ("token-classification", 64)
    assert {file["name"] for file in manifest["files"]} == names - {"manifest.json"}
    assert "pipeline_tag: token-classification\n" in (job.base / "model/README.md").read_text()


def test_it_answers_with_the_places_of_entities(job: Job) -> None:
    text = "her brother Austin Hill lives near  Sydney."
    with job.serve() as server:
        person, place = server.post({"instances": [text]}).json()["predictions"][0]["entities"]
        assert (person["entity"], person["text"]) == ("PER", "Austin Hill")
        assert (place["entity"], place["text"]) == ("LOC", "Sydney"), "without the full stop"
        assert text[place["start"] : place["end"]] == "Sydney" and 0.5 < place["score"] <= 1

        long = "they flew to Sydney in spring . " * 40
        found = server.post({"instances": [{"text": long}, " "]}).json()["predictions"]
        assert len(found[0]["entities"]) > 30, "what is longer than the model reads at once is read in parts"
        assert found[1] == {"entities": []}
        assert server.post({"instances": [7]}).status_code == 400


def test_other_forms_of_tags_and_what_teaches_nothing(job: Job, tmp_path: Path) -> None:
    """In one process: tags dealt out at random, numbers with names in Parquet, BILOU, and one tag too few."""
    image, rows = job.image, tagged_sentences(60)
    control = prepared(tmp_path / "control", image, shuffled(tagged_sentences(400)), epochs=4)
    brief = {"epochs": 1, "max_steps": 2}

    numbered = Job(tmp_path / "numbered", image).configure("ner", TINY | brief, {"tokens": "words", "tags": "ner_tags"})
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    tags = [[names.index(tag) for tag in row["tags"]] for row in rows]
    feature = {"_type": "List", "feature": {"_type": "ClassLabel", "names": names}}
    words = {"_type": "List", "feature": {"_type": "Value", "dtype": "string"}}
    described = json.dumps({"info": {"features": {"words": words, "ner_tags": feature}}})
    table = pa.table({"words": [row["tokens"] for row in rows], "ner_tags": tags})
    numbered.put("input/data/train/data.parquet", b"")
    path = numbered.base / "input/data/train/data.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": described}), path)

    last = {
        "tokens": ["in", "New", "York", "City", ",", "Paris"],
        "tags": ["O", "B-LOC", "I-LOC", "L-LOC", "O", "U-LOC"],
    }
    bilou = prepared(tmp_path / "bilou", image, [*rows, last], **brief)
    unequal = prepared(tmp_path / "unequal", image, [*rows, {"tokens": ["a", "b"], "tags": ["O"]}])

    done = run_together([control, numbered, bilou, unequal])
    figures = control.json("model/metrics.json")["metrics"]
    assert figures["test_f1"] < figures["test_baseline_f1"] + 0.1 < 0.5
    assert numbered.json("model/manifest.json")["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert bilou.json("model/manifest.json")["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert done.returncode == 1
    assert unequal.failure == "An example has 2 tokens and 1 tags: 'a b'."


@pytest.mark.slow
def test_two_processes_have_the_loss_of_one(job: Job, tmp_path: Path) -> None:
    two = prepared(tmp_path, job.image, tagged_sentences(400), batch_size=8, max_steps=4)
    done = two.run(SLIPWAY_PROCESSES_PER_HOST="2")
    assert done.returncode == 0, done.stderr
    first, alone = (one.json("model/metrics.json")["history"][0]["train_loss"] for one in (two, job))
    assert first == pytest.approx(alone, rel=0.05)


def test_an_evaluation_finds_the_figures_of_training(job: Job, tmp_path: Path) -> None:
    asked, other = (Job(tmp_path / name, job.image).evaluates(job) for name in ("asked", "other"))
    held_out = tagged_sentences(400)[LEARNED:]
    asked.put("input/data/train/sentences.jsonl", jsonl(held_out))
    unknown = {"tokens": ["Acme", "grows"], "tags": ["B-ORG", "O"]}
    other.put("input/data/train/sentences.jsonl", jsonl([*held_out, unknown]))
    done = run_together([asked, other])
    assert done.returncode == 1, "the last one has a tag that the model does not know"
    assert "does not know: 'B-ORG'" in other.failure
    found, known = asked.json("output/data/metrics.json"), job.json("model/metrics.json")
    assert found["metrics"].keys() == known["metrics"].keys()
    for name in known["metrics"].keys() - {"test_baseline_f1"}:  # which training takes from its other sentences
        assert found["metrics"][name] == pytest.approx(known["metrics"][name], abs=1e-3), name
    assert found["confusion_matrix"] == known["confusion_matrix"]
    assert not list((asked.base / "model").glob("*.safetensors")), "an evaluation makes no model"
