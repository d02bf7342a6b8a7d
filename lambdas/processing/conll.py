"""Reads CoNLL files: a token and its tag per line, a blank line after each sentence; writes them as JSON Lines."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pyarrow as pa

from lambdas.processing.converted import converted_path
from lambdas.processing.report import MAX_EXAMPLES, Defects, InvalidFile, Report
from lambdas.processing.source import InputFile
from lambdas.processing.table import Table
from lambdas.processing.text_lines import MAX_LINE, UNICODE, batches, characters, encoding_of, lines_of, naming, places

MAX_TOKENS = 10_000  # of a sentence
MAX_COLUMNS = 100
MAX_TAG = 200  # characters
TAG = re.compile(r"O|[BIESLU]-\S+")
GAP = re.compile(r"[ \t]+")
TEXTS = pa.list_(pa.string())


@dataclass
class Sentence:
    """The tokens and tags of consecutive lines; `lines` holds their numbers, `size` counts characters."""

    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    size: int = 0


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Report on the columns `tokens` and `ner_tags`; write `converted/<name>.jsonl`, one sentence per line.

    Raises InvalidFile for lines without token and tag, for sentences that are too long and when there is none.
    """
    table, tags = Table(), TagCheck()
    encoding = encoding_of(files, (*UNICODE, "cp1252"))
    for file in files:
        with naming(file, files), converted_path(output, file.name, ".jsonl").open("w", encoding="utf-8") as target:
            found = ((each.lines[0], each.size, each) for each in sentences(lines_of(characters(file, encoding))))
            for numbers, batch in batches(found):
                for sentence in batch:
                    tags.add(sentence, places(file, files, "line", sentence.lines))
                    row = {"tokens": sentence.tokens, "ner_tags": sentence.tags}
                    target.write(json.dumps(row, ensure_ascii=False) + "\n")
                columns = {
                    "tokens": pa.array([each.tokens for each in batch], TEXTS),
                    "ner_tags": pa.array([each.tags for each in batch], TEXTS),
                }
                table.add(pa.record_batch(columns), places(file, files, "line", numbers))
    if not table.rows:
        raise InvalidFile(
            "There is no sentence: give each line a token and its tag, and end sentences by a blank line."
        )
    tags.report(table.defects)
    report = table.report()
    report.encoding = encoding
    return report


def sentences(lines: Iterator[tuple[int, str]]) -> Iterator[Sentence]:
    """Yield the sentences of a file: a blank line or `-DOCSTART-` ends one, lines of `# ` before one are comments.

    Raises InvalidFile for a line with another number of columns than the first, and for too long a sentence.
    """
    sentence, columns, first = Sentence(), 0, 0
    for number, line in lines:
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentence.tokens:
                yield sentence
                sentence = Sentence()
            continue
        if "\t" in line:
            cells = line.rstrip("\t ").split("\t", MAX_COLUMNS)
        else:
            cells = GAP.split(line.strip(" "), MAX_COLUMNS)
        if not sentence.tokens and line.startswith("# ") and not TAG.fullmatch(cells[-1]):
            continue
        if not columns:
            columns, first = len(cells), number
        if len(cells) < 2 or not cells[0]:
            raise InvalidFile(f"Line {number:,} has no token and tag: write both, with a space or a tab between them.")
        if len(cells) > MAX_COLUMNS:
            raise InvalidFile(f"Line {number:,} has more than {MAX_COLUMNS} columns: write a token and its tag.")
        if len(cells) != columns:
            raise InvalidFile(
                f"Line {number:,} has {len(cells)} columns, but line {first:,} has {columns}: give every line as many, "
                f"and separate sentences by a blank line."
            )
        if len(cells[-1]) > MAX_TAG:
            raise InvalidFile(
                f"Line {number:,} has a tag of more than {MAX_TAG} characters: the last column is the tag."
            )
        sentence.tokens.append(cells[0])
        sentence.tags.append(cells[-1])
        sentence.lines.append(number)
        sentence.size += len(line)
        if len(sentence.tokens) > MAX_TOKENS or sentence.size > MAX_LINE:
            raise InvalidFile(
                f"The sentence that begins in line {sentence.lines[0]:,} has more than {MAX_TOKENS:,} tokens or "
                f"{MAX_LINE:,} characters: put a blank line after every sentence."
            )
    if sentence.tokens:
        yield sentence


class TagCheck:
    """Finds tags that no scheme of BIO allows: neither IOB2 (and BILOU, BIOES) nor, for the whole dataset, IOB1.

    IOB1 begins an entity with I-, and with B- only right after another of its class. So an I- without a beginning
    is a fault only where some entity begins as in IOB2.
    """

    def __init__(self) -> None:
        self._malformed = Faults()
        self._broken = Faults()
        self._iob2 = False

    def add(self, sentence: Sentence, place: Callable[[int], str]) -> None:
        """Check the tags of a sentence; `place` says where the token of an index stands."""
        for index, (previous, tag) in enumerate(pairwise(["O", *sentence.tags])):
            if tag == "O":
                continue
            match judged(previous, tag):
                case "begins":
                    self._iob2 = True
                case "malformed":
                    self._malformed.add(f"{place(index)}: {tag[:50]}")
                case "broken":
                    self._broken.add(f"{place(index)}: {tag[:50]} after {previous[:50]}")

    def report(self, defects: Defects) -> None:
        """Add what was found to `defects`."""
        message = (
            "Some tags break the BIO scheme: write O, or a prefix and a class such as B-PER, and begin every entity "
            "with B- before its I- (BILOU and BIOES may stand too)."
        )
        for faults in [self._malformed, self._broken] if self._iob2 else [self._malformed]:
            for place in faults.places:
                defects.add("invalid_tags", message, place, ("ner_tags",))
            if faults.count > len(faults.places):
                defects.add("invalid_tags", message, None, ("ner_tags",), faults.count - len(faults.places))


class Faults:
    """How many there are, and where the first are."""

    def __init__(self) -> None:
        self.count = 0
        self.places: list[str] = []

    def add(self, place: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.places) < MAX_EXAMPLES:
            self.places.append(place)


@lru_cache(maxsize=10_000)
def judged(previous: str, tag: str) -> Literal["begins", "fits", "broken", "malformed"]:
    """Return what a tag does after another; `begins` is said of a beginning that IOB1 would not write."""
    if not TAG.fullmatch(tag):
        return "malformed"
    prefix, name = tag[0], tag[2:]
    if prefix in "IEL":
        return "fits" if previous in (f"B-{name}", f"I-{name}") else "broken"
    if prefix == "B" and previous in (f"B-{name}", f"I-{name}"):
        return "fits"
    return "begins" if tag != "O" else "fits"
