"""Answers of text classifiers."""

from pathlib import Path
from typing import Any

import torch
from transformers import pipeline

from training_containers.common.batching import BadRequest
from training_containers.huggingface.serving import Predict

BATCH = 16  # texts that the model reads at once


def load(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return predictions of {label, score, scores} for each text."""
    device = 0 if torch.cuda.is_available() else -1
    cut: dict[str, Any] = {"truncation": True, "max_length": manifest["max_length"]}
    classify = pipeline("text-classification", str(folder), device=device, top_k=None)
    assert classify.tokenizer is not None  # the pipeline of a text has one
    cut["batch_size"] = BATCH if classify.tokenizer.pad_token else 1  # without padding, lengths cannot differ
    return lambda instances, _: [classes(scores) for scores in classify(texts(instances), **cut)]


def texts(instances: list[Any]) -> list[str]:
    """Return the text of each instance, a string or an object with `text`; raises BadRequest naming the first other."""
    found = [instance.get("text") if isinstance(instance, dict) else instance for instance in instances]
    for number, text in enumerate(found):
        if not isinstance(text, str) or not text:
            raise BadRequest(f'Instance {number} must be a text, or {{"text": "..."}}.')
    return found


def classes(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the likeliest class, and how likely each is."""
    best = max(scores, key=lambda one: one["score"])
    return {"label": best["label"], "score": best["score"], "scores": {one["label"]: one["score"] for one in scores}}
