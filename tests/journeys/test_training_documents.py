"""Every command of docs/training.md, in its order, by real curl.  `pytest tests/journeys/test_training_documents.py`"""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from lambdas.jobs.schemas import JobCreate, Stage, Status
from lambdas.jobs.training_types import TRAINING_TYPES
from local.api_client import ApiClient
from tests.journeys.conftest import ENDED, PASSWORD, upload
from tests.journeys.documents import Check, Said, follow, reader_folder, text_of
from tests.platform import Platform

DOCUMENT = "training.md"


# --------------------------------------------------------------------------------------------- what each block says


def logged_in(said: Said) -> None:
    assert said.text == ""


def types_shown(said: Said) -> None:
    lines = said.text.splitlines()
    assert [line.split(" - ")[0] for line in lines if not line.startswith(" ")] == list(TRAINING_TYPES)
    assert "    num_leaves 31 - Leaves of each boosted tree (lightgbm)." in lines


def trained(said: Said) -> None:
    assert said.text.splitlines()[-1] == "completed flowers v1 test_accuracy"


def queues_shown(said: Said) -> None:
    (queue,) = said.json["items"]
    assert (queue["instance_type"], queue["yours"]) == ("ml.m5.large", [])


def stopped(said: Said) -> None:
    found = json.loads((said.folder / "held.json").read_text())
    assert (found["name"], found["priority"], found["stage"]) == ("Sooner", "high", "held")
    assert said.json["status"] == "cancelled"


def many_created(said: Said) -> None:
    first, second = said.json["items"]
    assert (first["job"]["stage"], second["job"]) == ("held", None)
    assert "colour" in second["error"]["detail"]


def run_again(said: Said) -> None:
    capsule = json.loads((said.folder / "capsule.json").read_text())
    assert (capsule["parameters"]["epochs"], capsule["seed"]) == (10, 42)
    again = said.api.wait(f"/jobs/{said.json['id']}", *ENDED)
    assert (again["rerun_of"], again["model"]["version"]) == (capsule["job_id"], "v2")


def usage_shown(said: Said) -> None:
    assert (said.json["jobs"], said.json["max_jobs"], said.json["max_instance_hours"]) == (0, 20, None)


CHECKS: list[Check] = [
    logged_in,
    types_shown,
    trained,
    queues_shown,
    stopped,
    many_created,
    run_again,
    usage_shown,
]


# ------------------------------------------------------------------------------------------------------ the tests


def test_every_command_does_what_the_document_says(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    user = ApiClient(platform.api_url)
    user.register("user3", "user3@example.com", PASSWORD)
    user.login("user3", PASSWORD)
    rows = [{"petal": n % 9 + (n % 2) * 20, "sepal": n % 7, "species": "ab"[n % 2]} for n in range(80)]
    dataset = upload(user, rows)
    files = {"dataset.txt": dataset["id"].encode()}
    follow(DOCUMENT, CHECKS, platform, user, reader_folder(Path(tmp_path_factory.mktemp("training")), files))


def test_the_document_names_every_field_stage_and_metric() -> None:
    named = set(re.findall(r"`(\w+)`", text_of(DOCUMENT)))
    assert {*JobCreate.model_fields, *get_args(Stage), *get_args(Status), *TRAINING_TYPES} <= named
    assert {metric.name for training in TRAINING_TYPES.values() for metric in training.primary_metrics} <= named
