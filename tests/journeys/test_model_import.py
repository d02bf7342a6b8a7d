"""From the Hugging Face Hub to a model of one's own: a repository is imported, and a job goes on from it.

The repository is what transformers itself saves, and the Hub on loopback is one that its own client reads.
`pytest tests/journeys/test_model_import.py`
"""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local import images
from local.api_client import ApiClient
from local.cloud import Image
from local.home import REPOSITORY
from tests.containers import text_data
from tests.hub import Hub, HubRepository
from tests.journeys.conftest import ENDED

REPO = "acme/tiny-bert"
SAVE = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
made.train_from_iterator(sys.argv[2:], trainers.WordPieceTrainer(special_tokens=list(special.values())))
ends = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
config = BertConfig(
    vocab_size=made.get_vocab_size(), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
)
BertModel(config).save_pretrained(sys.argv[1])
PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(sys.argv[1])
"""
DOWNLOAD = """
import sys
from huggingface_hub import HfApi, hf_hub_download

said = HfApi(endpoint=sys.argv[1]).model_info(sys.argv[2], revision="main", files_metadata=True)
assert all(file.size is not None and file.blob_id for file in said.siblings)
assert [file.lfs.sha256 for file in said.siblings if file.rfilename == "model.safetensors"]
for file in said.siblings:
    hf_hub_download(sys.argv[2], file.rfilename, endpoint=sys.argv[1], local_dir=sys.argv[3], revision=said.sha)
"""


@pytest.fixture(scope="module")
def image() -> Image:
    """The huggingface image, which has the libraries."""
    return images.build(REPOSITORY / "training_containers", "huggingface/Dockerfile")


@pytest.fixture(scope="module")
def repository(image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a tiny BERT with fresh weights, and of its card."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    texts = text_data.reviews(200).splitlines()
    subprocess.run([image.python, "-c", SAVE, folder, *texts], check=True, capture_output=True, timeout=120)
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    return files | {"README.md": b"---\nlicense: mit\n---\n", "pytorch_model.bin": b"not for us"}


@pytest.fixture(scope="module")
def published(hub: Hub, repository: dict[str, bytes]) -> HubRepository:
    """The repository on the Hub."""
    more = {"cardData": {"license": "mit"}, "pipeline_tag": "fill-mask"}
    hub.repositories[REPO] = HubRepository(repository, more)
    return hub.repositories[REPO]


@pytest.fixture(scope="module")
def imported(member: ApiClient, published: HubRepository) -> dict[str, Any]:
    """The repository as a version in the registry."""
    started = member.call("POST", "/ai-models/imports", {"repo_id": REPO})
    assert started["status"] == "uploading"
    return member.wait(f"/ai-models/{member.username}/tiny-bert?version=v1", "ready", "failed", "blocked")


def test_the_hub_of_these_tests_is_one_that_hugging_faces_client_reads(
    hub: Hub, published: HubRepository, image: Image, tmp_path: Path
) -> None:
    subprocess.run([image.python, "-c", DOWNLOAD, hub.url, REPO, tmp_path], check=True, timeout=120)

    read = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    assert read == published.files


def test_a_repository_is_imported_whole_but_for_its_pickles(imported: dict[str, Any], published: HubRepository) -> None:
    assert imported["status"] == "ready", imported["reason"]
    assert (imported["verdict"], imported["license"], imported["model_type"]) == ("clean", "mit", "nlp")
    assert imported["source"]["commit"] == published.sha
    hashes = {file["filename"]: file["file_hash"] for file in imported["files"]}
    wanted = {name: hashlib.sha256(body).hexdigest() for name, body in published.files.items()}
    del wanted["pytorch_model.bin"]
    assert hashes == wanted


def test_a_job_goes_on_from_it(member: ApiClient, imported: dict[str, Any]) -> None:
    dataset = member.upload(text_data.reviews(80).encode(), "reviews.csv", name="Reviews", type="text", format="csv")
    assert member.wait(f"/datasets/{dataset['id']}", "ready", "failed")["status"] == "ready"
    request = {
        "name": "Reviews",
        "dataset_id": dataset["id"],
        "training_type": "text_classification",
        "base_model": {"model_id": "tiny-bert", "version": "v1"},
        "parameters": {"max_steps": 2, "batch_size": 8},
    }
    job = member.call("POST", "/jobs", request)
    job = member.wait(f"/jobs/{job['id']}", *ENDED)

    assert job["status"] == "completed", job["reason"]
    path = f"/ai-models/{member.username}/{job['model']['model_id']}"
    config = json.loads(member.request("GET", f"{path}/download", params={"filename": "manifest.json"}).content)
    assert config["base_model"] == f"{member.username}/tiny-bert@v1"
    lineage = member.call("GET", f"/ai-models/{member.username}/tiny-bert/lineage")
    assert job["model"]["model_id"] in json.dumps(lineage)
