"""Key phrases: the runs of words between stop words and punctuation."""

from collections.abc import Iterator
from typing import Any

from local.comprehend.entities import ADDRESS
from local.comprehend.lexicon import Token, lexicon

LONGEST = 5  # words


def key_phrases(text: str, language: str) -> list[dict[str, Any]]:
    """Return the key phrases of a text, none in a language without a list; offsets count code points."""
    known = lexicon(language)
    if not known.known:
        return []
    # An address is no phrase: its letters become signs that end one, and offsets stay what they were.
    plain = ADDRESS.sub(lambda address: "." * len(address.group()), text)
    return [
        {
            "Score": 0.6 + 0.1 * min(len(run), 3),
            "Text": text[run[0].begin : run[-1].end],
            "BeginOffset": run[0].begin,
            "EndOffset": run[-1].end,
        }
        for run in runs(plain, known.tokens(plain), known.stop)
    ]


def runs(text: str, tokens: list[Token], stop: frozenset[str]) -> Iterator[list[Token]]:
    """Yield runs of words with nothing but white space between them."""
    run: list[Token] = []
    for token in tokens:
        apart = bool(run) and text[run[-1].end : token.begin].strip() != ""
        if run and (apart or len(run) == LONGEST or token.word in stop):
            yield from [run] if says_something(run) else []
            run = []
        if token.word not in stop:
            run.append(token)
    if says_something(run):
        yield run


def says_something(run: list[Token]) -> bool:
    """Return whether a run is more than a number or a letter."""
    return any(len(token.word) > 1 and not token.word.isdigit() for token in run)
