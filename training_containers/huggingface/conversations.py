"""Examples for language models: conversations, prompts with their completions, or plain texts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from training_containers.common.contract import TrainingError
from training_containers.huggingface import examples
from training_containers.huggingface.run import Run

FORMS = (("messages",), ("prompt", "completion"), ("text",))
# For tokenizers that bring no template. It needs no tokens but the end of a text, so it suits any vocabulary; the
# markers say what the assistant wrote, with the end, so that a model learns to stop.
CHAT_TEMPLATE = """
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- 'Assistant:\\n' -}}{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}{{- '\\n' -}}
{%- else -%}
{{- message['role'] | capitalize + ':\\n' + message['content'] + '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}"""


def load(run: Run) -> tuple[Dataset, tuple[str, ...]]:
    """Return the examples, and the form they have: what the column mapping names, else what the columns say.

    Raises TrainingError for other data.
    """
    found = examples.read(run.paths.channel("train"))
    form = form_of(run.job.column_mapping, found.column_names)
    data = examples.of_roles(found, run.job.column_mapping, form)
    if form == ("messages",):
        data = conversations(data)
    return data, form


def form_of(mapping: Mapping[str, str], columns: list[str]) -> tuple[str, ...]:
    """Return the roles of the first form whose columns are there; raises TrainingError if there is none."""
    for names in (mapping, columns):
        for form in FORMS:
            if all(role in names for role in form):
                return form
    forms = "; ".join(" and ".join(form) for form in FORMS)
    raise TrainingError(f"A language model learns from columns {forms}; columns are: {', '.join(columns[:30])}.")


def conversations(data: Dataset) -> Dataset:
    """Return conversations as lists of messages, which CSV holds as JSON; raises TrainingError naming a wrong row."""
    if not isinstance(data[0]["messages"], list):
        data = data.map(lambda row: {"messages": parsed(row["messages"])})
    for number, messages in enumerate(data["messages"]):
        if fault := fault_of(messages):
            raise TrainingError(f"The conversation of example {number} {fault}.")
        if not any(message["role"] == "assistant" for message in messages):
            raise TrainingError(f"The conversation of example {number} has no message of the assistant to learn.")
    return data


def parsed(text: Any) -> Any:
    """Return the value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def fault_of(messages: Any) -> str | None:
    """Return what keeps a value from being a conversation, as the rest of a sentence; None for a good one."""
    if not isinstance(messages, list) or not messages:
        return 'must be a list of messages, [{"role": "user", "content": "..."}]'
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            return "has a message without a role and a content, both texts"
    return None


def texts(data: Dataset, form: tuple[str, ...]) -> Iterator[str]:
    """Yield all that is written in the examples, for a tokenizer to learn from."""
    for row in data:
        assert isinstance(row, dict)
        for role in form:
            value = row[role]
            yield from [value] if isinstance(value, str) else [message["content"] for message in value]


def opening(row: dict[str, Any], form: tuple[str, ...], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return how an example begins: what a model is given to go on from."""
    if form == ("text",):
        words = row["text"].split(" ")
        return " ".join(words[: max(1, len(words) // 2)])
    if form == ("messages",):
        last = max(number for number, message in enumerate(row["messages"]) if message["role"] == "assistant")
        messages = row["messages"][:last]
    elif isinstance(row["prompt"], str):
        return row["prompt"]
    else:
        messages = row["prompt"]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
