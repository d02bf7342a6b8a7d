"""What a language model is asked in the two forms of `invoke`, as its server takes it, and its answer back. Pure.

`{"inputs", "parameters"}` is the form of Hugging Face's servers, `{"messages"}` that of OpenAI's chat. Servers take
OpenAI's bodies at `/invocations`: vLLM's of either kind, by whether `messages` or `prompt` is in them.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from lambdas.common.errors import BadRequest, ContainerFailed

Text = Annotated[str, StringConstraints(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Parameters(Strict):
    """How to generate; what is absent the server decides."""

    max_new_tokens: int = Field(default=256, ge=1, le=131_072)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    stop: Annotated[list[Text], Field(max_length=16)] | Text | None = None
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)


class Prompt(Strict):
    """A text to go on from."""

    inputs: Text
    parameters: Parameters = Parameters()


class Message(Strict):
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str


class Chat(Strict):
    """A conversation to go on with."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    parameters: Parameters = Parameters()


def asked(body: bytes) -> Prompt | Chat:
    """Return what a body asks; raises BadRequest naming every fault."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON, or not UTF-8.") from error
    if not isinstance(content, dict) or ("inputs" in content) == ("messages" in content):
        raise BadRequest(
            'A language model takes {"inputs": "...", "parameters": {...}} or {"messages": [{"role": "user", '
            '"content": "..."}]}.'
        )
    if content.get("stream"):
        raise BadRequest("invoke answers whole texts; to stream, take a token from POST /endpoints/{id}/token.")
    content = {name: value for name, value in content.items() if name != "stream"}
    form: type[Prompt | Chat] = Chat if "messages" in content else Prompt
    try:
        return form.model_validate(content)
    except ValidationError as error:
        faults = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
        told = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults[:5])
        raise BadRequest(f"The request cannot be answered: {told}.", errors=faults) from error  # pyright: ignore[reportArgumentType]


def to_server(request: Prompt | Chat) -> dict[str, Any]:
    """Return a request as the server takes it."""
    given = request.parameters.model_dump(exclude_none=True)
    given["max_tokens"] = given.pop("max_new_tokens")
    if isinstance(request, Prompt):
        return {"prompt": request.inputs, **given}
    return {"messages": [message.model_dump() for message in request.messages], **given}


def from_server(request: Prompt | Chat, answer: bytes) -> bytes:
    """Return the server's answer in the form of the request: texts, or OpenAI's chat completion as it came.

    Raises ContainerFailed for an answer that is neither.
    """
    try:
        content = json.loads(answer)
        if isinstance(request, Chat):
            content["choices"][0]["message"]["content"]
            return answer
        return json.dumps([{"generated_text": choice["text"]} for choice in content["choices"]]).encode()
    except (ValueError, LookupError, TypeError) as error:
        raise ContainerFailed("The model's container did not answer as a language model's server does.") from error
