"""Answers of models that generate: texts that go on from a prompt, and pictures of what a prompt describes."""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from training_containers.common.batching import BadRequest
from training_containers.common.contract import TrainingError
from training_containers.common.parameters import parameter, parse
from training_containers.huggingface.serving import Predict

MOST_PICTURES = 16  # in a request: each takes seconds on a GPU, minutes without


@dataclass(frozen=True)
class TextParameters:
    """How texts are generated."""

    max_new_tokens: int = parameter("Tokens after which a text ends, whether it is finished or not.", 128, 1, 16_384)
    temperature: float = parameter("How freely words are drawn. 0 = always the likeliest.", 0.0, 0.0, 10.0)
    top_p: float = parameter("Draw from the likeliest words that together have this probability.", 1.0, 0.01, 1.0)
    seed: int = parameter("Same seed, same text.", 0, 0, 2**31 - 1)


@dataclass(frozen=True)
class PictureParameters:
    """How pictures are generated."""

    steps: int = parameter("Steps from noise to picture.", 30, 1, 1000)
    guidance_scale: float = parameter("How closely to follow the prompt.", 7.5, 0.0, 50.0)
    seed: int = parameter("Same seed, same picture.", 0, 0, 2**31 - 1)


def load(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return predictions of {text, tokens, finish_reason} for each prompt, or of {image}, a PNG in base64."""
    return text_to_image(folder, manifest) if manifest["task"] == "text-to-image" else text_generation(folder)


def text_generation(folder: Path) -> Predict:
    """Return what goes on from prompts and conversations, one after another: no answer depends on its neighbours."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto" if device == "cuda" else torch.float32).to(device)
    longest = getattr(model.config, "max_position_embeddings", math.inf)  # some architectures have no limit

    def predict(instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        given = checked(TextParameters, parameters)
        prompts = [prompt_of(instance, number, tokenizer) for number, instance in enumerate(instances)]
        encoded = [tokenizer(prompt, return_tensors="pt").to(device) for prompt in prompts]
        for number, tokens in enumerate(encoded):
            if tokens["input_ids"].shape[1] + given.max_new_tokens > longest:
                raise BadRequest(f"Instance {number} and max_new_tokens are longer than the model's {longest} tokens.")
        return [generated(tokens, given) for tokens in encoded]

    def generated(tokens: Any, given: TextParameters) -> dict[str, Any]:
        drawn = {"do_sample": True, "temperature": given.temperature, "top_p": given.top_p, "top_k": 0}
        torch.manual_seed(given.seed)
        with torch.inference_mode():
            made = model.generate(
                **tokens,
                max_new_tokens=given.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                **(drawn if given.temperature else {"do_sample": False}),
            )
        new = made[0, tokens["input_ids"].shape[1] :]
        ends = model.generation_config.eos_token_id
        finished = int(new[-1]) in (ends if isinstance(ends, list) else [ends])
        return {
            "text": tokenizer.decode(new, skip_special_tokens=True),
            "tokens": len(new),
            "finish_reason": "stop" if finished else "length",
        }

    return predict


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


def checked(type: type, parameters: dict[str, Any]) -> Any:
    """Return a request's parameters as their dataclass; raises BadRequest naming every fault."""
    try:
        return parse(type, parameters)
    except TrainingError as error:
        raise BadRequest(str(error)) from error
