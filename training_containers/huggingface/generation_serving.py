"""Answers of models that generate: texts that go on from a prompt, and pictures of what a prompt describes."""

import base64
import io
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from training_containers.common.batching import BadRequest, Stream
from training_containers.common.parameters import parameter
from training_containers.huggingface import completions
from training_containers.huggingface.decoding import Generation, Sampling
from training_containers.huggingface.serving import Predict
from training_containers.huggingface.text_parameters import MOST_TOKENS, checked, sampling_of

MOST_PICTURES = 16  # in a request: each takes seconds on a GPU, minutes without


@dataclass(frozen=True)
class PictureParameters:
    """How pictures are generated."""

    steps: int = parameter("Steps from noise to picture.", 30, 1, 1000)
    guidance_scale: float = parameter("How closely to follow the prompt.", 7.5, 0.0, 50.0)
    seed: int = parameter("Same seed, same picture.", 0, 0, 2**31 - 1)


def load(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return predictions of {text, tokens, finish_reason} for each prompt, or of {image}, a PNG in base64."""
    return text_to_image(folder, manifest) if manifest["task"] == "text-to-image" else TextGenerator(folder)


class TextGenerator:
    """Goes on from prompts and conversations, one after another: no answer depends on its neighbours."""

    def __init__(self, folder: Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype: Any = "auto" if device == "cuda" else torch.float32
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self._longest = getattr(self._model.config, "max_position_embeddings", None)  # some have no limit
        if limit := os.environ.get("SM_VLLM_MAX_MODEL_LEN"):  # as vLLM's image is told, where this server stands in
            self._longest = min(int(limit), self._longest or int(limit))

    def __call__(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return {text, tokens, finish_reason} for each instance; raises BadRequest."""
        numbers = {name: value for name, value in parameters.items() if name != "stop"}
        sampling = sampling_of(numbers, parameters.get("stop"))
        started = [
            self._start(f"{secrets.token_hex(8)}-{number}", instance, sampling, sampling.max_tokens, number)
            for number, instance in enumerate(instances)
        ]
        return [
            {"text": "".join(each.pieces()), "tokens": each.tokens, "finish_reason": each.finish_reason}
            for each in started
        ]

    def complete(self, request: dict[str, Any]) -> dict[str, Any] | Stream:
        """Answer a request of OpenAI's form; raises BadRequest."""
        return completions.answer(request, self._start)

    def _start(self, id: str, instance: Any, sampling: Sampling, most: int | None, number: int = 0) -> Generation:
        """Begin a text of at most so many tokens, as many as fit for None; raises BadRequest when they do not."""
        text = prompt_of(instance, number, self._tokenizer)
        prompt = self._tokenizer(text, return_tensors="pt")["input_ids"].to(self._model.device)
        left = min(MOST_TOKENS, (self._longest or MOST_TOKENS * 2) - prompt.shape[1])
        if left < (most or 1):
            raise BadRequest(
                f"Instance {number} and max_new_tokens are longer than the model's {self._longest} tokens."
            )
        return Generation(id, self._model, self._tokenizer, prompt, replace(sampling, max_tokens=most or left))


def prompt_of(instance: Any, number: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text that the model goes on from; raises BadRequest naming the instance that has none."""
    text = instance.get("text", instance.get("prompt")) if isinstance(instance, dict) else instance
    if isinstance(text, str) and text:
        return text
    messages = instance.get("messages") if isinstance(instance, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadRequest(
            f'Instance {number} must be a text, or {{"messages": [{{"role": "user", "content": "..."}}]}}.'
        )
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise BadRequest(f"Instance {number} has a message without a role and a content, both texts.")
    if not tokenizer.chat_template:
        raise BadRequest("This model has no chat template: send texts.")
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise BadRequest(f"Instance {number} is no conversation for this model: {error}") from error


def text_to_image(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return pictures of the size that the model was trained on."""
    from diffusers import DiffusionPipeline  # here: it takes seconds, and texts do without

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    pipeline: Any = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, dtype=dtype).to(device)
    pipeline.set_progress_bar_config(disable=True)
    side = manifest["resolution"]

    def predict(instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        given = checked(PictureParameters, parameters)
        if len(instances) > MOST_PICTURES:
            raise BadRequest(
                f"The request asks for {len(instances)} pictures; at most {MOST_PICTURES} are made at once."
            )
        prompts = [description(instance, number) for number, instance in enumerate(instances)]
        return [{"image": picture(prompt, given)} for prompt in prompts]

    def picture(prompt: str, given: PictureParameters) -> str:
        made: Any = pipeline(
            prompt,
            height=side,
            width=side,
            num_inference_steps=given.steps,
            guidance_scale=given.guidance_scale,
            generator=torch.Generator().manual_seed(given.seed),
        )
        png = io.BytesIO()
        made.images[0].save(png, "PNG")
        return base64.b64encode(png.getvalue()).decode()

    return predict


def description(instance: Any, number: int) -> str:
    """Return the prompt of an instance; raises BadRequest when it has none."""
    text = instance.get("prompt", instance.get("text")) if isinstance(instance, dict) else instance
    if not isinstance(text, str) or not text:
        raise BadRequest(f'Instance {number} must be a text, or {{"prompt": "..."}}.')
    return text
