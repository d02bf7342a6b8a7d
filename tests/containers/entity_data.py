"""Sentences with people and places, of the same names: what stands around a name says what it is."""

import json
from typing import Any

import numpy as np

NAMES = ("Jordan", "Paris", "Chelsea", "Austin", "Sydney", "Florence", "Lincoln", "Georgia", "Victoria", "Madison")
SURNAMES = ("Hill", "Woods", "Lake", "Fields")
PATTERNS = (
    "yesterday {person} said it was fine .",
    "they flew to {place} in spring .",
    "her brother {person} lives near {place} .",
    "in {place} it rains , wrote {person} .",
    "no one was there .",
    "the mayor of {place} met {person} again .",
)


def tagged_sentences(count: int) -> list[dict[str, Any]]:
    """Return sentences as tokens and BIO tags; each name is as often a person as a place, of one word or two."""
    generator = np.random.default_rng(11)
    rows = []
    for number in range(count):
        tokens, tags = [], []
        for word in PATTERNS[number % len(PATTERNS)].split():
            if word.startswith("{"):
                name = [NAMES[generator.integers(len(NAMES))]]
                if generator.random() < 0.4:
                    name.append(SURNAMES[generator.integers(len(SURNAMES))])
                kind = {"{person}": "PER", "{place}": "LOC"}[word]
                tokens += name
                tags += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
            else:
                tokens.append(word)
                tags.append("O")
        rows.append({"tokens": tokens, "tags": tags})
    return rows


def jsonl(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same sentences, each with its tags in any order."""
    generator = np.random.default_rng(0)
    return [{**row, "tags": generator.permutation(row["tags"]).tolist()} for row in rows]
