"""openapi.json is what the code says. Run: python -m pytest tests/units/test_openapi.py"""

import json
from typing import Any

import pytest

from lambdas.system import openapi
from lambdas.system.docs import OPENAPI_FILE


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document(openapi.routers())


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", it) for path, found in document["paths"].items() for method, it in found.items()
    ]


def test_the_file_is_up_to_date() -> None:
    assert OPENAPI_FILE.read_text(encoding="utf-8") == openapi.text(), "run: python -m lambdas.system.openapi"


def test_no_operation_answers_422_and_all_answer_errors_in_our_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert "422" not in operation["responses"], name
        assert operation["responses"]["default"] == openapi.DEFAULT_RESPONSE, name
    assert "ValidationError" not in json.dumps(document)


def test_operation_ids_are_unique_and_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(operation.get("description") for _, operation in operations(document))


def test_only_signing_in_and_the_system_need_no_token(document: dict[str, Any]) -> None:
    open_to_all = {name for name, operation in operations(document) if not operation["security"]}
    signing_in = ("register", "confirm", "login", "refresh", "logout", "forgot-password", "reset-password")
    assert open_to_all == {f"POST /auth/{name}" for name in signing_in} | {
        "GET /health",
        "GET /docs",
        "GET /openapi.json",
    }


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(document) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
