"""Entities by rules: addresses, dates and quantities by their form, names by their capitals and what is known of them.

Comprehend's offsets count code points, the end being the one after the last (API reference, Entity).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from local.comprehend.lexicon import Lexicon, lexicon, names

ADDRESS = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]|\b[\w.+-]{1,64}@\w[\w-]*(?:\.\w[\w-]*)+")
NUMERIC_DATE = r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b"
ASIAN_DATE = r"\d{1,4}[年년](?:\s?\d{1,2}[月월](?:\s?\d{1,2}[日일])?)?"
YEAR = r"\b(?:19|20)\d{2}\b"
AMOUNT = re.compile(r"[$€£¥₹]\s?\d+(?:[.,]\d+)*|(?<![\w.,])\d+(?:[.,]\d+)*")
UNIT = re.compile(r"\s?(?:%|[€$£¥₹]|(?:km|kg|cm|mm|mg|ms|GB|MB|TB|kW|MW|m|g|h|s)\b)")
NOUN = re.compile(r" ([^\W\d_]{3,})")
CAPITALS_MATTER = {"en", "de"}  # where months and days are written with capitals, and lower case is another word
AMBIGUOUS_ALONE = {"May", "March", "Mar", "Sep", "Jan", "Jun"}  # months only beside a number
NAME = re.compile(r"[^\W\d_]\w*(?:[-&]\w+)*")
JOINTS = {"of", "de", "du", "del", "della", "di", "da", "do", "dos", "von", "van", "der"}
SENTENCE_BREAK = re.compile(r"(?:^|[.!?:\n])[\s\"'«»“”„(¿¡-]*$")
KNOWN_KINDS = {"LOCATION": 0.95, "ORGANIZATION": 0.95, "COMMERCIAL_ITEM": 0.9, "EVENT": 0.9}
ACRONYM = range(2, 7)  # letters


@dataclass(frozen=True)
class Found:
    """A stretch of the text and what it is."""

    begin: int
    end: int
    kind: str
    score: float


def entities(text: str, language: str) -> list[dict[str, Any]]:
    """Return what a text names, in the order of the text; earlier rules win where two overlap."""
    known = lexicon(language)
    taken: list[Found] = []
    covered = bytearray(len(text))
    for rule in (addresses, dates, quantities, capitalised):
        for one in rule(text, known):
            if not any(covered[one.begin : one.end]):
                covered[one.begin : one.end] = b"\1" * (one.end - one.begin)
                taken.append(one)
    return [
        {
            "Score": one.score,
            "Type": one.kind,
            "Text": text[one.begin : one.end],
            "BeginOffset": one.begin,
            "EndOffset": one.end,
        }
        for one in sorted(taken, key=lambda one: one.begin)
    ]


def addresses(text: str, known: Lexicon) -> Iterator[Found]:
    """Yield web and e-mail addresses."""
    for match in ADDRESS.finditer(text):
        yield Found(*match.span(), "OTHER", 0.99)


def dates(text: str, known: Lexicon) -> Iterator[Found]:
    """Yield dates in figures, months and days by name, and words like yesterday."""
    for match in date_pattern(known.language).finditer(text):
        if match.group() not in AMBIGUOUS_ALONE:
            yield Found(*match.span(), "DATE", 0.95)


@cache
def date_pattern(language: str) -> re.Pattern[str]:
    """Return what dates look like in a language."""
    known = lexicon(language)
    forms = [NUMERIC_DATE, ASIAN_DATE]
    if known.known:
        matter = language in CAPITALS_MATTER

        def any_of(given: tuple[str, ...], capital: bool) -> str:
            words = [re.escape(word.capitalize() if capital else word) for word in given]
            return rf"(?:{'|'.join(sorted(words, key=len, reverse=True))})"

        day, of = r"\d{1,2}(?:st|nd|rd|th|er|º|\.)?", r"(?:\s(?:de|of))?"
        month = any_of(known.months, matter)
        free, end = ("", "") if matter else ("(?i:", ")")
        forms.append(rf"{free}\b(?:{day}{of}\s)?{month}\b\.?(?:\s{day}\b,?)?(?:{of}\s\d{{4}}\b)?{end}")
        forms.append(rf"{free}\b{any_of(known.days, matter)}\b{end}")
        forms.append(rf"(?i:\b{any_of(known.relative, False)}\b)")
    return re.compile("|".join([*forms, YEAR]))


def quantities(text: str, known: Lexicon) -> Iterator[Found]:
    """Yield numbers with what they count: a currency, a unit, a noun."""
    for match in AMOUNT.finditer(text):
        begin, end = match.span()
        if unit := UNIT.match(text, end):
            yield Found(begin, unit.end(), "QUANTITY", 0.9)
        elif (noun := NOUN.match(text, end)) and known.known and not known.is_ordinary(noun[1].lower()):
            yield Found(begin, noun.end(), "QUANTITY", 0.8)
        elif not match.group()[0].isdigit():
            yield Found(begin, end, "QUANTITY", 0.9)


def capitalised(text: str, known: Lexicon) -> Iterator[Found]:
    """Yield runs of capitalised words that name something, as far as the lists tell."""
    for run in runs(text):
        first = SENTENCE_BREAK.search(text, max(0, run[0].start() - 20), run[0].start()) is not None
        begin, end = 0, len(run)
        while begin < end and known.is_ordinary(run[begin].group().lower()) and (first or len(run[begin].group()) == 1):
            begin += 1
        while begin < end and run[end - 1].group() in JOINTS:
            end -= 1
        run = run[begin:end]
        if run and (kind := kind_of(text, run, first, known)):
            yield Found(run[0].start(), run[-1].end(), *kind)


def runs(text: str) -> Iterator[list[re.Match[str]]]:
    """Yield capitalised words that follow each other, with joints such as `of` between them."""
    run: list[re.Match[str]] = []
    for match in NAME.finditer(text):
        capital, joint = match.group()[0].isupper(), match.group() in JOINTS
        gap = text[run[-1].end() : match.start()] if run else ""
        follows = gap == " " or (gap == ". " and run[-1].group() in names()["TITLE_OF_PERSON"])
        if run and not (follows and (capital or joint)):
            yield run
            run = []
        if capital or (joint and run):
            run.append(match)
    if run:
        yield run


def kind_of(text: str, run: list[re.Match[str]], first: bool, known: Lexicon) -> tuple[str, float] | None:
    """Return what a run of capitalised words names and how sure that is; None when it may name nothing."""
    whole, words = text[run[0].start() : run[-1].end()], [match.group() for match in run]
    lists = names()
    for kind, score in KNOWN_KINDS.items():
        if whole in lists[kind]:
            return kind, score
    if words[0] in lists["PERSON"] or (len(words) > 1 and words[0] in lists["TITLE_OF_PERSON"]):
        return "PERSON", 0.9
    organized = lists["ORGANIZATION"] | (lists["ORGANIZATION_WORD"] if len(words) > 1 else frozenset())
    if not organized.isdisjoint(words):
        return "ORGANIZATION", 0.85
    if any(word in lists["LOCATION"] for word in words):
        return "LOCATION", 0.7
    if len(words) == 1 and whole.isupper() and len(whole) in ACRONYM and not known.is_ordinary(whole.lower()):
        return "ORGANIZATION", 0.6
    # German writes every noun with a capital, and a sentence begins with one: neither says that it is a name.
    if known.language == "de" or (first and len(words) == 1) or not known.known:
        return None
    return ("ORGANIZATION", 0.5) if not whole.isupper() else None
