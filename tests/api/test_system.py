"""The system's own routes, which need no token.

Run: python -m pytest tests/api/test_system.py
"""

import json
from collections.abc import Callable

import pytest

from lambdas.system.docs import OPENAPI_FILE
from tests.api.client import ApiClient


@pytest.fixture
def anyone(api: Callable[..., ApiClient]) -> ApiClient:
    return api("system")


def test_health_answers_without_a_token(anyone: ApiClient) -> None:
    answer = anyone.call("GET", "/health", claims={})
    assert (answer.status, answer.body) == (200, {"status": "healthy"})


def test_the_document_is_served_as_it_is_in_the_repository(anyone: ApiClient) -> None:
    answer = anyone.call("GET", "/openapi.json", claims={})
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == json.loads(OPENAPI_FILE.read_text(encoding="utf-8"))


def test_the_documentation_page_names_every_operation_and_runs_no_script(anyone: ApiClient) -> None:
    answer = anyone.call("GET", "/docs", claims={})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for path, operations in json.loads(OPENAPI_FILE.read_text(encoding="utf-8"))["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in answer.body
    assert "<script" not in answer.body


def test_errors_of_the_framework_have_our_shape(anyone: ApiClient) -> None:
    missing = anyone.get("/nothing-here")
    assert (missing.status, missing.body["code"]) == (404, "not_found")
    assert set(missing.body) == {"detail", "code", "request_id"}
    wrong = anyone.post("/health")
    assert (wrong.status, wrong.body["code"]) == (405, "method_not_allowed")
