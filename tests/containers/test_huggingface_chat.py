"""A language model's server in OpenAI's form: whole answers, streams, stop strings, and what it refuses.

.venv/bin/python -m pytest tests/containers/test_huggingface_chat.py
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local.cloud import Image
from tests.containers import generation_data as data
from tests.containers.jobs import Job, Server, until

pytestmark = pytest.mark.thorough

QUESTION = {"role": "user", "content": "say it"}
SENTENCE = "the slipway is open, ships may go"
SETTINGS = {"learning_rate": 1e-2, "max_steps": 30, "batch_size": 8, "gradient_checkpointing": False}


@dataclass
class Logged:
    """A server and the file of what it prints."""

    server: Server
    log: Path

    @property
    def url(self) -> str:
        return self.server.url

    def record(self, id: str) -> dict[str, Any] | None:
        """What the server printed of one generation, which it does at its end."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith('{"generation"')]
        return next((line["generation"] for line in lines if line["generation"]["id"] == id), None)


@pytest.fixture(scope="module")
def server(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    """The server of a model that has learnt one sentence."""
    job = Job(tmp_path_factory.mktemp("sentence"), huggingface_image)
    rows = [{"messages": [QUESTION, {"role": "assistant", "content": SENTENCE}]} for _ in range(24)]
    job.put("input/data/train/data.jsonl", data.jsonl(rows))
    job.configure("llm", SETTINGS).trained()
    file = job.base / "stdout.log"
    with file.open("wb") as log, job.serve(stdout=log) as running:
        yield Logged(running, file)


def ask(server: Logged, path: str = "/v1/chat/completions", **more: Any) -> requests.Response:
    body = {"messages": [QUESTION], "temperature": 0, "max_tokens": 64} | more
    return requests.post(f"{server.url}{path}", json=body, timeout=60, stream=bool(more.get("stream")))


def events(answer: requests.Response) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix(b"data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invocations"])
def test_a_whole_answer_and_a_stream_say_the_same(server: Logged, path: str) -> None:
    whole = ask(server, path).json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": SENTENCE}
    assert whole["choices"][0]["finish_reason"] == "stop"
    chunks = events(ask(server, path, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == SENTENCE
    assert len(deltas) > 5, "token by token"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == whole["usage"]
    assert whole["usage"]["completion_tokens"] >= len(deltas) - 2


def test_a_prompt_is_gone_on_from(server: Logged) -> None:
    prompt = f"User:\n{QUESTION['content']}\nAssistant:\n"
    asked = {"prompt": prompt, "temperature": 0, "max_tokens": 64}
    answer = requests.post(f"{server.url}/invocations", json=asked, timeout=60).json()
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", SENTENCE)
    predicted = server.server.post(
        {"inputs": prompt, "parameters": {"stop": ["open"], "repetition_penalty": 1.0}}
    ).json()
    assert predicted["predictions"][0]["text"] == "the slipway is "


@pytest.mark.parametrize(("stop", "said"), [("open", "the slipway is "), ([", sh", "zzz"], "the slipway is open")])
def test_it_stops_before_a_stop_string_and_shows_nothing_of_it(server: Logged, stop: Any, said: str) -> None:
    assert ask(server, stop=stop).json()["choices"][0]["message"]["content"] == said
    chunks = events(ask(server, stop=stop, stream=True))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == said
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_texts_of_several_parts_and_a_limit_of_tokens(server: Logged) -> None:
    parts = [{"type": "text", "text": "say "}, {"type": "text", "text": "it"}]
    answer = ask(server, messages=[{"role": "user", "content": parts}], max_tokens=3).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    assert SENTENCE.startswith(answer["choices"][0]["message"]["content"])


def test_a_repetition_penalty_changes_the_answer_and_a_seed_repeats_it(server: Logged) -> None:
    assert ask(server, repetition_penalty=0.02).json()["choices"][0]["message"]["content"] != SENTENCE
    drawn = [ask(server, temperature=5.0, seed=3, max_tokens=8).json()["choices"] for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "without a role and a content"),
        ({"prompt": "x"}, "either messages or a prompt"),
        ({"n": 2}, "does not know n other than 1"),
        ({"tools": [{}]}, "does not know tools"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_new_tokens"),
        ({"stop": [""]}, "stop must be"),
        ({"stream": "yes"}, "stream must be"),
    ],
)
def test_what_it_cannot_do_is_a_400_that_says_so(server: Logged, wrong: dict[str, Any], told: str) -> None:
    answer = ask(server, **wrong) if "stream" not in wrong else requests.post(
        f"{server.url}/invocations", json={"messages": [QUESTION], **wrong}, timeout=60
    )  # fmt: skip
    assert answer.status_code == 400
    assert told in answer.json()["detail"]


def test_others_are_answered_while_a_stream_runs_and_it_ends_when_its_listener_is_gone(server: Logged) -> None:
    most = 8000
    with ask(server, stream=True, max_tokens=most, min_tokens=most) as stream:
        lines = (line for line in stream.iter_lines() if line)
        chunks = [json.loads(next(lines).removeprefix(b"data: ")) for _ in range(4)]
        id = chunks[0]["id"]
        assert ask(server).json()["choices"][0]["message"]["content"] == SENTENCE
        assert server.record(id) is None, "the stream is still being generated"
    until(lambda: server.record(id) is not None, "the record of the stream")
    record = server.record(id)
    assert record and record["finish_reason"] == "cancelled" and record["completion_tokens"] < most
