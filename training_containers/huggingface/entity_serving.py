"""Answers of models that find entities, by the same words and tokens that they were trained and measured on."""

from pathlib import Path
from typing import Any

import torch
from seqeval.metrics.sequence_labeling import get_entities
from tokenizers import Regex
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer, Sequence, Split
from transformers import AutoModelForTokenClassification, AutoTokenizer

from training_containers.huggingface.entities import OUTSIDE, parts
from training_containers.huggingface.serving import Predict
from training_containers.huggingface.text_serving import texts

BATCH = 16  # parts of texts at a time
# Words as corpora have them: punctuation stands alone, and so do Chinese characters, which no spaces part.
WORDS: PreTokenizer = Sequence([BertPreTokenizer(), Split(Regex(r"\p{Han}"), "isolated")])


def load(folder: Path, manifest: dict[str, Any]) -> Predict:
    """Return predictions of {entities: [{entity, score, text, start, end}]} for each text."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).to(device).eval()
    names: dict[int, str] = model.config.id2label

    def predict(instances: list[Any], _: dict[str, Any]) -> list[dict[str, Any]]:
        given = texts(instances)
        words = [WORDS.pre_tokenize_str(text) for text in given]
        tags = [[(OUTSIDE, 1.0)] * len(one) for one in words]
        made = parts(tokenizer, [[word for word, _ in one] for one in words])
        for start in range(0, len(made["row"]), BATCH):
            several = slice(start, start + BATCH)
            inputs = {key: made[key][several] for key in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                logits = model(**tokenizer.pad(inputs, return_tensors="pt").to(device)).logits
            scores, best = (each.tolist() for each in logits.float().softmax(-1).max(-1))
            for part, (row, begun) in enumerate(zip(made["row"][several], made["words"][several], strict=True)):
                for token, word in enumerate(begun):
                    if word is not None:
                        tags[row][word] = (names[best[part][token]], scores[part][token])
        return [{"entities": entities(*each)} for each in zip(given, words, tags, strict=True)]

    return predict


def entities(
    text: str, words: list[tuple[str, tuple[int, int]]], tags: list[tuple[str, float]]
) -> list[dict[str, Any]]:
    """Return the entities of a text from its words' places and tags; a score is the mean of the words' scores."""
    found = []
    for kind, first, last in get_entities([tag for tag, _ in tags]):
        start, end = words[first][1][0], words[last][1][1]
        score = sum(score for _, score in tags[first : last + 1]) / (last + 1 - first)
        found.append({"entity": kind, "score": score, "text": text[start:end], "start": start, "end": end})
    return found
