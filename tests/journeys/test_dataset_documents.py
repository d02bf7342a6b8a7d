"""Every command of docs/datasets.md, in its order, by real curl and requests.

Only the API's address differs from the document.  `pytest tests/journeys/test_dataset_documents.py`
"""

import io
import json
import random
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from lambdas.datasets.formats import FORMATS
from lambdas.datasets.profile import Column, Images, Media, Profile
from local.api_client import ApiClient
from tests.journeys.conftest import PASSWORD
from tests.journeys.documents import Check, Said, follow, reader_folder, text_of
from tests.platform import Platform

DOCUMENT = "datasets.md"
ROWS, PETS = 60, 20


def reviews() -> bytes:
    """Reviews as JSON Lines, with columns of unusual names."""
    rng = random.Random(7)
    words = ["a", "slow", "fine", "film", "about", "rain", "and", "bread"]
    lines = [{"review": f"{' '.join(rng.choices(words, k=9))} {n}", "stars": n % 5 + 1} for n in range(ROWS)]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def pets() -> bytes:
    """A ZIP with a folder of pictures for each of two classes; one picture is cut off."""
    content, rng = io.BytesIO(), random.Random(7)
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(PETS):
            archive.writestr(f"{'cats' if number % 2 else 'dogs'}/{number}.png", picture(rng))
        archive.writestr("cats/broken.png", picture(rng)[:500])
    return content.getvalue()


def picture(rng: random.Random) -> bytes:
    """A PNG of noise."""
    content = io.BytesIO()
    Image.frombytes("RGB", (48, 32), rng.randbytes(48 * 32 * 3)).save(content, "PNG")
    return content.getvalue()


# --------------------------------------------------------------------------------------------- what each block says


def logged_in(said: Said) -> None:
    assert said.text == ""


def uploaded(said: Said) -> None:
    assert said.text.splitlines() == [f"reviews ready {ROWS} None", f"pets ready {PETS} None"]
    pets = json.loads((said.folder / "datasets.json").read_text())["pets"]
    found = said.api.call("GET", f"/datasets/{pets}/profile")
    assert (found["layout"], found["images"]["count"], found["images"]["corrupt"]) == ("class_folders", PETS, 1)
    assert len(said.api.call("GET", f"/datasets/{pets}/preview")["thumbnails"]) == PETS


def many_created(said: Said) -> None:
    spring, autumn = said.json["items"]
    assert (spring["dataset"]["name"], list(spring["dataset"]["uploads"])) == ("Spring", ["spring.csv"])
    assert (autumn["dataset"], autumn["error"]["code"]) == (None, "bad_request")


def shown(said: Said) -> None:
    review, stars = said.text.splitlines()
    assert review == f"review text 0 {ROWS} None"
    assert stars.startswith("stars number 0 5")
    assert json.loads((said.folder / "preview.json").read_text())["columns"] == ["review", "stars"]


def not_ready(said: Said) -> None:
    (found,) = said.json["items"]
    assert (found["ready"], found["problems"][0]["code"]) == (False, "missing_column")


def mapped(said: Said) -> None:
    (found,) = said.json["items"]
    assert (found["ready"], found["column_mapping"]) == (True, {"text": "review", "label": "stars"})


def versions_listed(said: Said) -> None:
    assert [(version["version"], version["status"]) for version in said.json["items"]] == [
        (2, "uploading"),
        (1, "ready"),
    ]


def listed(said: Said) -> None:
    datasets = json.loads((said.folder / "list.json").read_text())["items"]
    assert [dataset["name"] for dataset in datasets] == ["reviews"]
    assert said.json["used_bytes"] == len(reviews()) + len(pets()) + 2 * 1000


def downloaded(said: Said) -> None:
    assert (said.folder / "again.jsonl").read_bytes() == reviews()


def deleted(said: Said) -> None:
    assert said.text == ""
    assert {dataset["name"] for dataset in said.api.call("GET", "/datasets")["items"]} == {"reviews", "Spring"}


CHECKS: list[Check] = [
    logged_in,
    uploaded,
    many_created,
    shown,
    not_ready,
    mapped,
    versions_listed,
    listed,
    downloaded,
    deleted,
]


# ------------------------------------------------------------------------------------------------------ the tests


@pytest.fixture(scope="module")
def user(platform: Platform) -> ApiClient:
    """The document's user."""
    api = ApiClient(platform.api_url)
    api.register("user2", "user2@example.com", PASSWORD)
    api.login("user2", PASSWORD)
    return api


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the document's commands name."""
    return reader_folder(tmp_path_factory.mktemp("datasets"), {"reviews.jsonl": reviews(), "pets.zip": pets()})


def test_every_command_does_what_the_document_says(platform: Platform, user: ApiClient, folder: Path) -> None:
    follow(DOCUMENT, CHECKS, platform, user, folder)


def test_the_document_names_every_format_and_figure() -> None:
    named = set(re.findall(r"`(\w+)`", text_of(DOCUMENT)))
    assert {format for formats in FORMATS.values() for format in formats} <= named
    for model in (Profile, Column, Images, Media):
        assert set(model.model_fields) - named <= {"items"}, model
