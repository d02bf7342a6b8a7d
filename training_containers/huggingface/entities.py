"""Entities as tags of words: how tags are read, how words become tokens, and how good found entities are."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value
from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
from sklearn.metrics import confusion_matrix
from transformers import EvalPrediction, PreTrainedTokenizerBase

from training_containers.common.contract import TrainingError
from training_containers.huggingface.run import Run

OUTSIDE = "O"
NO_TAG = -100  # of tokens that are not the first of their word: the loss leaves them out
TAG = re.compile(r"([BIESLU])-(\S+)")
BIO = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}  # ends, and entities of one word, need no tag
Tags = Sequence[Sequence[str]]


def with_tags(run: Run, examples: Dataset) -> tuple[Dataset, list[str]]:
    """Return the examples with BIO tags, and the tags there are; raises TrainingError for what are no tags."""
    of_list = getattr(examples.features["tags"], "feature", None)
    if isinstance(of_list, ClassLabel):
        names = of_list.names
    elif isinstance(of_list, Value) and "int" in of_list.dtype:
        run.say("The tags are numbers without names: 0 is outside, and neighbours of one number are one entity.")
        most = max(max(tags) for tags in examples["tags"])
        names = [OUTSIDE, *(f"I-{number}" for number in range(1, most + 1))]
    else:
        names = None

    def bio(row: dict[str, Any]) -> dict[str, list[str]]:
        words, tags = row["tokens"], row["tags"]
        if len(words) != len(tags):
            raise TrainingError(f"An example has {len(words)} tokens and {len(tags)} tags: {' '.join(words)[:80]!r}.")
        return {"tags": [bio_tag(names[tag] if names else tag) for tag in tags]}

    features = Features({**examples.features, "tags": List(Value("string"))})
    examples = examples.map(bio, features=features)
    found = {tag for tags in examples["tags"] for tag in tags} - {OUTSIDE}
    if not found:
        raise TrainingError("No word has a tag other than O: there is nothing to find.")
    return examples, [OUTSIDE, *sorted(found, key=lambda tag: (tag[2:], tag))]


def bio_tag(tag: Any) -> str:
    """Return a BIO, BIOES or BILOU tag as BIO; raises TrainingError for anything else."""
    if tag == OUTSIDE:
        return tag
    found = TAG.fullmatch(str(tag))
    if not found:
        raise TrainingError(f"The tag {tag!r} is not BIO: write O outside, B-<kind> and I-<kind> in entities.")
    return f"{BIO[found[1]]}-{found[2]}"


def parts(tokenizer: PreTrainedTokenizerBase, texts: list[list[str]]) -> dict[str, list[Any]]:
    """Return the tokens of lists of words, those of a long list in several parts.

    `row` says whose part it is. `words` has for each token the word that it begins, None where it begins none.
    """
    encoded = tokenizer(texts, is_split_into_words=True, truncation=True, return_overflowing_tokens=True)
    rows, words, last = encoded["overflow_to_sample_mapping"], [], (-1, -1)
    for part, row in enumerate(rows):
        begun = []
        for word in encoded.word_ids(part):
            begun.append(word if word is not None and (row, word) != last else None)
            last = last if word is None else (row, word)
        words.append(begun)
    return {key: encoded[key] for key in ("input_ids", "attention_mask")} | {"row": rows, "words": words}


def tag_lists(answers: EvalPrediction, names: list[str]) -> tuple[Tags, Tags]:
    """Return the true tags and those found, of each part."""
    pairs = list(zip(answers.label_ids, answers.predictions, strict=True))
    truth = [[names[tag] for tag in true if tag != NO_TAG] for true, _ in pairs]
    return truth, [[names[tag] for true_tag, tag in zip(*pair, strict=True) if true_tag != NO_TAG] for pair in pairs]


def measure(truth: Tags, found: Tags) -> dict[str, float]:
    """Return the figures of entities: one is right when its kind, its first and its last word are."""
    return {
        "precision": float(precision_score(truth, found, zero_division=0)),
        "recall": float(recall_score(truth, found, zero_division=0)),
        "f1": float(f1_score(truth, found, zero_division=0)),
        "token_accuracy": float(accuracy_score(truth, found)),
    }


def plots(truth: Tags, found: Tags, names: list[str]) -> dict[str, Any]:
    """Return what plots draw: the confusion matrix of tags (rows: truth), and the figures of each kind of entity."""
    report: Any = classification_report(truth, found, output_dict=True, zero_division=0)
    flat = [[tag for tags in lists for tag in tags] for lists in (truth, found)]
    return {
        "confusion_matrix": {"labels": names, "matrix": confusion_matrix(*flat, labels=names).tolist()},
        "per_class": [
            {
                "label": kind,
                "precision": float(figures["precision"]),
                "recall": float(figures["recall"]),
                "f1": float(figures["f1-score"]),
                "support": int(figures["support"]),
            }
            for kind, figures in report.items()
            if not kind.endswith(" avg")
        ],
    }


def usual(learned: Iterable[dict[str, Any]], texts: Iterable[list[str]]) -> Tags:
    """Return the tag that each word had most often in the examples, O for new words: what knows no context says."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in learned:
        for word, tag in zip(row["tokens"], row["tags"], strict=True):
            counts[word][tag] += 1
    most = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [[most.get(word, OUTSIDE) for word in words] for words in texts]
