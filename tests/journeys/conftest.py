"""What journeys start from: users of the running platform, data sets, and a trained model."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.api_client import ApiClient
from local.demo import breast_cancer, to_csv
from tests.hub import Hub, running_hub
from tests.platform import Platform

PASSWORD = "Correct-horse-7"
PARAMETERS = {"target": "diagnosis", "algorithm": "logistic_regression"}
ENDED = ("completed", "failed", "cancelled")


@pytest.fixture(scope="session")
def new_user(platform: Platform) -> Callable[..., ApiClient]:
    """Return a function that makes a user (in a group, if given) and logs them in."""

    def make(group: str | None = None) -> ApiClient:
        username = f"user-{secrets.token_hex(4)}"
        api = ApiClient(platform.api_url)
        api.register(username, f"{username}@example.com", PASSWORD)
        if group:
            platform.client("cognito-idp").admin_add_user_to_group(
                UserPoolId=platform.outputs["UserPoolId"], Username=username, GroupName=group
            )
        api.login(username, PASSWORD)
        return api

    return make


@pytest.fixture(scope="session")
def member(new_user: Callable[..., ApiClient]) -> ApiClient:
    """A user like any other."""
    return new_user()


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """scikit-learn's breast-cancer data."""
    return breast_cancer()


@pytest.fixture(scope="session")
def dataset(member: ApiClient, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The member's data set, ready."""
    return upload(member, rows)


@pytest.fixture(scope="session")
def trained(member: ApiClient, dataset: dict[str, Any]) -> dict[str, Any]:
    """A completed job of the member."""
    return train(member, dataset)


@pytest.fixture(scope="session")
def hub(platform: Platform) -> Iterator[Hub]:
    """A Hugging Face Hub from which the platform imports."""
    with (
        running_hub() as hub,
        configured(platform, "models", HF_ENDPOINT=hub.url),
        configured(platform, "models_import", HF_ENDPOINT=hub.url),
    ):
        yield hub


@pytest.fixture
def own_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of the test's own, which it may break."""
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.up()
    try:
        yield platform
    finally:
        platform.down()


def functions(platform: Platform) -> dict[str, str]:
    """Return the names of the platform's functions by their keys in the grants table."""
    pages = platform.client("lambda").get_paginator("list_functions").paginate()
    found = {
        function.get("Environment", {}).get("Variables", {}).get("POWERTOOLS_SERVICE_NAME"): function["FunctionName"]
        for page in pages
        for function in page["Functions"]
    }
    return {key: name for key, name in found.items() if key}


@contextmanager
def configured(platform: Platform, function: str, **variables: str) -> Iterator[None]:
    """A stage with other settings: variables of a function, by its key in the grants table."""
    client, name = platform.client("lambda"), functions(platform)[function]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | variables})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def invoke(platform: Platform, function: str, event: dict[str, Any]) -> Any:
    """Invoke a function by its key in the grants table, as AWS does on an event; return its answer."""
    name = functions(platform)[function]
    answer = platform.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def upload(api: ApiClient, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Upload rows as a data set and wait until it is ready."""
    uploaded = api.upload(to_csv(rows), "rows.csv", name="Rows")
    ready = api.wait(f"/datasets/{uploaded['id']}", "ready", "failed")
    assert ready["status"] == "ready", ready
    return ready


def train(api: ApiClient, dataset: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """Train on a data set and wait for the end."""
    request = {"name": "Cancer", "dataset_id": dataset["id"], "parameters": PARAMETERS | parameters}
    job = api.call("POST", "/jobs", request)
    return api.wait(f"/jobs/{job['id']}", *ENDED)
