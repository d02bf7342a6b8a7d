"""What reaches the emulator without a signature: OpenAI's one path, and nothing beside it.

`pytest tests/local/test_openai_door.py`
"""

import asyncio
import json
from typing import Any

import pytest

from local.guard import refusal
from local.openai_door import PATH, openai_door
from local.sagemaker.protocol import ServiceError

CHAT = "/endpoints/e/openai/v1/chat/completions"
COMPONENT = "/endpoints/e/inference-components/c/openai/v1/chat/completions"
ENDPOINT_ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e"


def scope(path: str, method: str = "POST", **headers: str) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:1", **headers}.items()]
    return {"type": "http", "path": path, "method": method, "query_string": b"", "headers": pairs}


@pytest.mark.parametrize("path", [CHAT, COMPONENT])
def test_openais_path_is_open_to_programs_of_this_machine(path: str) -> None:
    assert refusal(scope(path), 1) is None
    assert PATH.fullmatch(path)
    assert refusal(scope(path, origin="https://example.com"), 1) is not None
    assert refusal(scope(path, host="example.com"), 1) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/endpoints/e/openai/v1/models",
        f"{CHAT}/",
        f"{CHAT}\n",
        f"{CHAT}/../x",
        f"/bucket{CHAT}",
        "/endpoints/e/invocations",
        "/endpoints//openai/v1/chat/completions",
    ],
)
def test_a_path_beside_it_is_not(path: str) -> None:
    assert refusal(scope(path), 1) == "The request is not signed."
    assert PATH.fullmatch(path) is None


def ask(method: str = "POST", path: str = CHAT, **headers: str) -> tuple[int, Any, list[Any]]:
    """Status and body of a request whose token is refused, and what the token was checked for."""
    checked: list[Any] = []
    messages: list[dict[str, Any]] = []

    def check(token: str, wanted: list[tuple[str, str]]) -> None:
        checked.extend([token, *wanted])
        raise ServiceError("AccessDeniedException", "no", 403)

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def app(*_: Any) -> None:
        raise AssertionError("the emulator was asked")

    sagemaker: Any = None

    async def asked() -> None:
        await openai_door(app, sagemaker, check)(scope(path, method, **headers), receive, send)

    asyncio.run(asked())
    return messages[0]["status"], json.loads(messages[1]["body"]), checked


def test_a_token_is_checked_for_the_call_and_for_the_endpoint_in_the_path() -> None:
    status, body, checked = ask(authorization="Bearer abc")
    assert (status, body["__type"]) == (403, "AccessDeniedException")
    call = ("sagemaker:CallWithBearerToken", "*")
    assert checked == ["abc", call, ("sagemaker:InvokeEndpoint", ENDPOINT_ARN)]
    assert ask(path=COMPONENT, authorization="Bearer abc")[2][2:] == [
        ("sagemaker:InvokeEndpoint", ENDPOINT_ARN),
        ("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:000000000000:inference-component/c"),
    ]


def test_without_a_token_or_with_another_method_nothing_is_asked() -> None:
    assert ask()[0] == 401
    assert ask(authorization="Basic abc")[0] == 401
    assert ask("GET", authorization="Bearer abc")[0] == 405
