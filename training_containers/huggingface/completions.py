"""OpenAI's requests for text and their answers, whole or as a stream of server-sent events.

The fields are those of `/v1/chat/completions` and `/v1/completions` that vLLM takes too, its own `min_tokens` and
`repetition_penalty` included. What would change the answer and is not known here is refused, never passed over.
"""

import json
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from training_containers.common.batching import BadRequest, Stream
from training_containers.huggingface.decoding import Generation, Sampling
from training_containers.huggingface.text_parameters import sampling_of

Start = Callable[[str, Any, Sampling, int | None], Generation]  # (id, what to go on from, how, tokens at most)

SAMPLING = {"max_tokens", "max_completion_tokens", "min_tokens", "temperature", "top_p", "repetition_penalty", "seed"}
FORM = {"messages", "prompt", "stream", "stream_options", "stop"}
WITHOUT_EFFECT = {"model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
NEUTRAL = {"n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0, "best_of": 1, "echo": False}


@dataclass(frozen=True)
class Asked:
    """A request, checked."""

    chat: bool
    start_from: Any
    sampling: Sampling
    max_tokens: int | None
    stream: bool
    usage_at_the_end: bool
    model: str


def answer(request: dict[str, Any], start: Start) -> dict[str, Any] | Stream:
    """Answer a request; raises BadRequest naming what is wrong with it."""
    asked = checked(request)
    id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{secrets.token_hex(12)}"
    generation = start(id, asked.start_from, asked.sampling, asked.max_tokens)
    if asked.stream:
        return Stream(events(asked, generation), "text/event-stream")
    text = "".join(generation.pieces())
    given = {"message": {"role": "assistant", "content": text}} if asked.chat else {"text": text}
    object = "chat.completion" if asked.chat else "text_completion"
    return document(asked, generation, object, [choice(given, generation.finish_reason)], usage=generation.usage)


def events(asked: Asked, generation: Generation) -> Generator[bytes]:
    """Yield the events of a stream, each as soon as its text is there."""
    object = "chat.completion.chunk" if asked.chat else "text_completion"

    def event(text: str | None, finish_reason: str | None = None) -> bytes:
        if asked.chat:
            given: dict[str, Any] = {"delta": {} if text is None else {"content": text}}
        else:
            given = {"text": text or ""}
        return encoded(document(asked, generation, object, [choice(given, finish_reason)]))

    if asked.chat:
        first = choice({"delta": {"role": "assistant", "content": ""}}, None)
        yield encoded(document(asked, generation, object, [first]))
    pieces = generation.pieces()
    try:
        for piece in pieces:
            yield event(piece)
    finally:
        pieces.close()  # at once, when nobody listens any more
    yield event(None, generation.finish_reason)
    if asked.usage_at_the_end:
        yield encoded(document(asked, generation, object, [], usage=generation.usage))
    yield b"data: [DONE]\n\n"


def document(
    asked: Asked, generation: Generation, object: str, choices: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return an answer or a part of it."""
    head = {"id": generation.id, "object": object, "created": int(time.time()), "model": asked.model}
    return {**head, "choices": choices, **more}


def choice(given: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    """Return the only choice."""
    return {"index": 0, **given, "logprobs": None, "finish_reason": finish_reason}


def encoded(content: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


# ------------------------------------------------------------------------------------------------------- what is asked


def checked(request: dict[str, Any]) -> Asked:
    """Return a request that can be answered; raises BadRequest."""
    given = {name: value for name, value in request.items() if value is not None}
    for name in given.keys() - SAMPLING - FORM - WITHOUT_EFFECT:
        if name not in NEUTRAL or given[name] != NEUTRAL[name]:
            other = f" other than {NEUTRAL[name]}" if name in NEUTRAL else ""
            raise BadRequest(f"This server does not know {name}{other}.")
    chat = "messages" in given
    if chat == ("prompt" in given):
        raise BadRequest("Send either messages or a prompt.")
    if not isinstance(given.get("stream", False), bool):
        raise BadRequest("stream must be true or false.")
    numbers = {name: given[name] for name in SAMPLING & given.keys()}
    most = [numbers.pop(name) for name in ("max_completion_tokens", "max_tokens") if name in numbers]
    parameters = {"temperature": 1.0} | numbers | ({"max_new_tokens": most[0]} if most else {})
    sampling = sampling_of(parameters, given.get("stop"))
    return Asked(
        chat=chat,
        start_from={"messages": in_texts(given["messages"])} if chat else given["prompt"],
        sampling=sampling,
        max_tokens=sampling.max_tokens if most else None,
        stream=given.get("stream", False),
        usage_at_the_end=wants_usage(given.get("stream_options", {})),
        model=str(given.get("model", "")),
    )


def in_texts(messages: Any) -> Any:
    """Return messages whose content is a text where it came as a list of texts; others as they are, to be refused."""
    if not isinstance(messages, list):
        return messages
    return [flat(message) if isinstance(message, dict) else message for message in messages]


def flat(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with the texts of its parts as one."""
    parts = message.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) and part.get("type") == "text" for part in parts):
        return message
    return {**message, "content": "".join(str(part.get("text", "")) for part in parts)}


def wants_usage(options: Any) -> bool:
    """Return whether the last event is to say how much was read and written; raises BadRequest."""
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.")
    return bool(options.get("include_usage"))
