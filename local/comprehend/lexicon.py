"""The word lists: what is positive and negative in six languages, and names that are known in all.

`words/<language>.txt` holds sections of words; `excellent*` stands for every word that begins so.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODEL_VERSION = "slipway-lexicon-1.0"  # what stage local says analysed a text; a new list or rule is a new version
LONGEST = 30  # letters of a listed word
WORDS = Path(__file__).parent / "words"
LANGUAGES = tuple(sorted(file.stem for file in WORDS.glob("??.txt")))
# With English's contractions whole; elsewhere an apostrophe ends a word: l'hôtel, dell'arte.
ENGLISH_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


@dataclass(frozen=True)
class Words:
    """Words, some known by how they begin."""

    whole: frozenset[str]
    beginnings: frozenset[str]

    def __contains__(self, word: str) -> bool:
        return word in self.whole or any(word[:end] in self.beginnings for end in range(2, min(len(word), LONGEST) + 1))


NONE = Words(frozenset(), frozenset())


@dataclass(frozen=True)
class Token:
    """A word of a text: in lower case, and where it is."""

    word: str
    begin: int
    end: int


@dataclass(frozen=True)
class Lexicon:
    """What is known of one language; nothing of one that has no list."""

    language: str
    positive: Words = NONE
    negative: Words = NONE
    negations: Words = NONE
    intensifiers: Words = NONE
    weakeners: Words = NONE
    stop: frozenset[str] = frozenset()  # words that no key phrase holds
    months: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    relative: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return bool(self.stop)

    def tokens(self, text: str) -> list[Token]:
        """Return the words of a text."""
        pattern = ENGLISH_WORD if self.language == "en" else WORD
        return [Token(m.group().lower().replace("’", "'"), *m.span()) for m in pattern.finditer(text)]

    def is_ordinary(self, word: str) -> bool:
        """Return whether a word is in any list, so that it names nothing only because a sentence begins with it."""
        return word in self.stop or word in self.positive or word in self.negative


@cache
def lexicon(language: str) -> Lexicon:
    """Return the lexicon of a language."""
    if language not in LANGUAGES:
        return Lexicon(language)
    found = sections(WORDS / f"{language}.txt")
    little = [*found["stop"], *found["negations"], *found["intensifiers"], *found["weakeners"]]
    return Lexicon(
        language,
        positive=words(found["positive"]),
        negative=words(found["negative"]),
        negations=words(found["negations"]),
        intensifiers=words(found["intensifiers"]),
        weakeners=words(found["weakeners"]),
        stop=frozenset(little),
        months=tuple(found["months"]),
        days=tuple(found["days"]),
        relative=tuple(found["relative"]),
    )


@cache
def names() -> dict[str, frozenset[str]]:
    """Return the names that are known, by what they name; a hyphen in the list stands for a space."""
    found = sections(WORDS / "names.txt")
    return {kind: frozenset(name.replace("-", " ") for name in given) for kind, given in found.items()}


def sections(file: Path) -> dict[str, list[str]]:
    """Return the words of a file by the section they are in."""
    parts = re.split(r"^\[(\w+)\]$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {name: content.split() for name, content in zip(parts[::2], parts[1::2], strict=True)}


def words(given: list[str]) -> Words:
    """Return listed words, those that end in `*` as beginnings."""
    beginnings = frozenset(word[:-1] for word in given if word.endswith("*"))
    return Words(frozenset(word for word in given if not word.endswith("*")), beginnings)
