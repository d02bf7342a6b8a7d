"""CoNLL files: sentences, tags and what is refused.  `pytest tests/units/processing/test_conll.py`"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing import text_lines
from lambdas.processing.conll import read
from lambdas.processing.report import Column, InvalidFile, Report
from lambdas.processing.source import local_file

Pairs = Sequence[tuple[str, str]]


def sentences(count: int) -> list[list[tuple[str, str]]]:
    """Sentences with entities of three classes in IOB2, always the same."""
    chance = random.Random(7)
    made: list[list[tuple[str, str]]] = []
    for _ in range(count):
        sentence: list[tuple[str, str]] = []
        for _ in range(chance.randint(1, 8)):
            name = chance.choice(["PER", "LOC", "B-MISC"])
            tags = chance.choice([["O"], ["O"], [f"B-{name}"], [f"B-{name}", f"I-{name}", f"I-{name}"]])
            sentence += [(chance.choice(["Köln", "#", "said", "O", "-", "日本", '"']), tag) for tag in tags]
        made.append(sentence)
    return made


def conll_2003(sentences: Sequence[Pairs]) -> str:
    """The four columns of CoNLL-2003, with a document every ten sentences."""
    text = ""
    for number, sentence in enumerate(sentences):
        if number % 10 == 0:
            text += "-DOCSTART- -X- -X- O\n\n"
        text += "".join(f"{token} NNP B-NP {tag}\n" for token, tag in sentence) + "\n"
    return text


def two_columns(sentences: Sequence[Pairs]) -> str:
    return "\n\n".join("\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in sentences)


def commented(sentences: Sequence[Pairs]) -> str:
    """As WNUT and CoNLL-U do: comments before a sentence, Windows line ends."""
    blocks = ["\r\n".join(f"{token} _ {tag}" for token, tag in sentence) for sentence in sentences]
    return "".join(f"# sent_id = {number}\r\n# text\r\n{block}\r\n  \r\n" for number, block in enumerate(blocks))


def reported(folder: Path, *contents: str | bytes) -> Report:
    paths = [folder / f"{number}.conll" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read([local_file(path) for path in paths], folder)


def converted(folder: Path, name: str = "0.jsonl") -> list[dict[str, Any]]:
    text = (folder / "converted" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def column(report: Report, name: str) -> Column:
    return next(column for column in report.columns if column.name == name)


def faults(report: Report) -> tuple[int, list[str]]:
    """How many tags are wrong, and where the first are."""
    found = [each for each in report.defects if each.code == "invalid_tags"]
    assert all(each.columns == ["ner_tags"] for each in found)
    return sum(each.count for each in found), [place for each in found for place in each.examples]


@pytest.mark.parametrize("written", [conll_2003, two_columns, commented])
def test_every_sentence_and_tag_is_found(tmp_path: Path, written: Any):
    made = sentences(3000)
    report = reported(tmp_path, written(made))
    assert converted(tmp_path) == [
        {"tokens": [token for token, _ in sentence], "ner_tags": [tag for _, tag in sentence]} for sentence in made
    ]
    assert [(each.name, each.type, each.items, each.missing, each.empty) for each in report.columns] == [
        ("tokens", "list", "text", 0, 0),
        ("ner_tags", "list", "text", 0, 0),
    ]
    assert (report.rows, report.defects, report.encoding) == (3000, [], "utf-8")
    assert report.duplicates == 3000 - len(set(map(tuple, made)))
    tags = Counter(tag for sentence in made for _, tag in sentence)
    assert {each.value: each.count for each in column(report, "ner_tags").top or []} == tags
    assert column(report, "ner_tags").balance == min(tags.values()) / max(tags.values())
    lengths = [len(sentence) for sentence in made]
    found = column(report, "tokens").length
    assert found is not None
    assert (found.min, found.max, found.mean) == (min(lengths), max(lengths), pytest.approx(sum(lengths) / 3000))


@pytest.mark.parametrize(
    ("tags", "wrong"),
    [
        ("O B-PER I-PER O B-PER B-PER", []),
        ("B-PER I-LOC O", ["line 2: I-LOC after B-PER"]),
        ("B-PER O I-PER I-PER", ["line 3: I-PER after O"]),
        ("B-PER | I-PER", ["line 3: I-PER after O"]),
        ("B-A I-A L-A O U-A B-A L-A", []),
        ("S-A B-A I-A E-A O", []),
        ("S-A I-A", ["line 2: I-A after S-A"]),
        ("B-A O E-A", ["line 3: E-A after O"]),
        ("I-PER I-PER O I-LOC B-LOC I-LOC", []),  # IOB1
        ("I-PER I-LOC B-LOC", []),  # IOB1
        ("I-PER O B-LOC", ["line 1: I-PER after O"]),
        ("O B- I B-PER PER o b-PER X-PER", ["line 2: B-", "line 3: I", "line 5: PER", "line 6: o", "line 7: b-PER"]),
        ("B-A-b I-A-b I-A", ["line 3: I-A after I-A-b"]),
    ],
)
def test_tags_that_no_scheme_allows_are_named(tmp_path: Path, tags: str, wrong: list[str]):
    text = "".join("\n" if tag == "|" else f"token {tag}\n" for tag in tags.split())
    report = reported(tmp_path, text)
    count, places = faults(report)
    assert (places, count) == (wrong, len(wrong) + tags.count("X-PER"))


def test_wrong_tags_are_all_counted(tmp_path: Path):
    text = two_columns([[("a", "B-X"), ("b", "I-Y")]] * 5000 + [[("a", "?")]])
    assert faults(reported(tmp_path, text)) == (
        5001,
        ["line 15001: ?", *(f"line {3 * n + 2}: I-Y after B-X" for n in range(4))],
    )


def test_several_files_are_one_dataset(tmp_path: Path):
    report = reported(tmp_path, "a O\n", "b\tx\ty\tB-\n\n")
    assert report.rows == 2
    assert faults(report) == (1, ["1.conll, line 1: B-"])
    assert [converted(tmp_path, f"{number}.jsonl")[0]["tokens"] for number in range(2)] == [["a"], ["b"]]


def test_files_of_the_same_stem_keep_apart(tmp_path: Path):
    for name in ("train.txt", "train.conll"):
        (tmp_path / name).write_text(f"{name} O\n")
    read([local_file(tmp_path / name) for name in ("train.txt", "train.conll")], tmp_path)
    assert converted(tmp_path, "train.jsonl")[0]["tokens"] == ["train.txt"]
    assert converted(tmp_path, "train.conll.jsonl")[0]["tokens"] == ["train.conll"]


def test_tokens_keep_spaces_between_tabs_and_other_alphabets(tmp_path: Path):
    reported(tmp_path, "New York\tB-LOC\n\u00a0\tO\nde\u00a0facto\tO\n".encode("utf-16"))
    assert converted(tmp_path)[0]["tokens"] == ["New York", "\u00a0", "de\u00a0facto"]
    assert reported(tmp_path, "Málaga  B-LOC\n".encode("cp1252")).encoding == "cp1252"
    assert converted(tmp_path, "0.conll.jsonl")[0]["tokens"] == ["Málaga"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "There is no sentence"),
        ("\n\n-DOCSTART- -X- O O\n\n", "There is no sentence"),
        ("a O\nb\n", "Line 2 has no token and tag"),
        ("one\ntwo\n", "Line 1 has no token and tag"),
        ("a O\n\tO\n", "Line 2 has no token and tag"),
        ("a x O\n\nb O\n", "Line 3 has 2 columns, but line 1 has 3"),
        ("a O\n" * 10_001, "The sentence that begins in line 1 has more than 10,000 tokens"),
        ("a O\n\n" + "b O\n" * 20_000, "The sentence that begins in line 3 has more than 10,000 tokens"),
        (("x" * 10_000_000 + " O\n") * 2, "The sentence that begins in line 1 has more than"),
        ("a O\n" + "x" * 17_000_000, "Line 2 has more than 16,777,216 characters"),
        ("a O\n" + " x" * 5_000_000, "Line 2 has more than 100 columns"),
        ("x " * 200, "Line 1 has more than 100 columns"),
        ("a\tB-" + "x" * 199, "Line 1 has a tag of more than 200 characters"),
        ("a O\nb\0 O\n", "Line 2 has a NUL character"),
        (b"PK\x03\x04" + bytes(100), "The file is a ZIP archive"),
        ('{"tokens": ["a"]}', "no scheme"),
    ],
)
def test_what_is_no_conll_is_refused(tmp_path: Path, content: str | bytes, message: str):
    if message == "no scheme":  # two columns to the eye, but no tag
        assert faults(reported(tmp_path, content))[0] == 1
        return
    with pytest.raises(InvalidFile, match=f"^{message}"):
        reported(tmp_path, content)


words = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=6).filter(str.strip)
tags = st.sampled_from(["O", "B-X", "I-X", "B-Y", "S-Y"])


@settings(max_examples=60, deadline=None)
@given(
    made=st.lists(st.lists(st.tuples(words, tags), min_size=1, max_size=5), min_size=1, max_size=6),
    written=st.sampled_from([conll_2003, two_columns]),
    buffer=st.integers(1, 20),
)
def test_any_sentences_come_through(made: list[list[tuple[str, str]]], written: Any, buffer: int):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BUFFER", buffer)
        patch.setattr(text_lines, "BATCH", buffer)
        report = reported(Path(folder), written(made))
        assert report.rows == len(made)
        found = [list(zip(row["tokens"], row["ner_tags"], strict=True)) for row in converted(Path(folder))]
        assert found == made
