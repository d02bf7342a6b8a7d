"""Files of text as characters and as lines, in flat memory, whatever their encoding and line ends."""

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lambdas.processing.csv_dialect import sniff_encoding
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import BUFFER, InputFile

MAX_LINE = 16 * 1024 * 1024  # characters of one line, and of one row of a JSON array
UNICODE = ("utf-8", "utf-8-sig", "utf-16")
SHOWN = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252",
}
LINE_END = re.compile(rb"\r\n|\r|\n")
SAMPLE = 1024 * 1024  # bytes that say the encoding
BATCH = 1024 * 1024  # characters of the rows that go on together
BINARY = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook or Word document",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"%PDF": "a PDF",
    b"{\\rtf": "an RTF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x7fELF": "a program",
}


def lines_of(pieces: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield every line of a text with its number from 1, without its end.

    Raises InvalidFile for a line of more than MAX_LINE characters.
    """
    number, parts, length = 1, list[str](), 0
    for text in pieces:
        first, *others = text.split("\n")
        parts.append(first)
        length += len(first)
        if length > MAX_LINE:
            raise InvalidFile(f"Line {number:,} has more than {MAX_LINE:,} characters: split it.")
        if not others:
            continue
        yield number, "".join(parts)
        for line in others[:-1]:
            number += 1
            yield number, line
        number, parts, length = number + 1, [others[-1]], len(others[-1])
    if length:
        yield number, "".join(parts)


def characters(file: InputFile, encoding: str) -> Iterator[str]:
    """Yield a file's text piece by piece, without a byte order mark and with `\\n` for `\\r\\n` and `\\r`.

    Raises InvalidFile for another format, for bytes that are not of the encoding and for NUL characters.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line, start = 1, True
    with file.in_order() as stream:
        while data := stream.read(BUFFER):
            if start:
                refuse_binary(data)
                start = False
            text = decoded(decoder, data, line)
            if "\0" in text:
                line += text[: text.index("\0")].count("\n")
                raise InvalidFile(f"Line {line:,} has a NUL character: save the file as text in UTF-8.")
            line += text.count("\n")
            yield text
        yield decoded(decoder, b"", line)


def decoded(decoder: io.IncrementalNewlineDecoder, data: bytes, line: int) -> str:
    """Return the next bytes as text, no bytes being the end; `line` is where they begin."""
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):  # whose line ends are not bytes that can be counted
            raise InvalidFile(f"The text after line {line:,} is not UTF-16: save the file in UTF-8.") from error
        line += len(LINE_END.findall(error.object, 0, error.start))
        raise InvalidFile(
            f"Line {line:,} is not {SHOWN.get(error.encoding, 'Windows-1252')}: save the file in UTF-8."
        ) from error


def refuse_binary(data: bytes) -> None:
    """Raise InvalidFile when the first bytes of a file are those of a format that is no text."""
    for magic, what in BINARY.items():
        if data.startswith(magic):
            raise InvalidFile(f"The file is {what}, not text: save it as text and upload that.")


def encoding_of(files: Sequence[InputFile], possible: Sequence[str] = UNICODE) -> str:
    """Return the codec of all the files, from their first bytes; raises InvalidFile when they have none in common.

    Without a byte order mark a file is UTF-8, or Windows-1252 (Latin-1 with the characters Windows adds) where its
    first bytes are not UTF-8 and that is possible.
    """
    found: dict[str, str] = {}
    for file in files:
        with file.open() as stream:
            sample = stream.read(SAMPLE)
        # A sample may end inside a character, the file may not: a line end after it tells.
        encoding = sniff_encoding(sample if len(sample) == SAMPLE else sample + b"\n")
        found.setdefault(encoding if encoding in possible else "utf-8", file.name)
    if found.keys() <= {"utf-8", "utf-8-sig"}:
        return max(found)  # utf-8-sig reads both
    if len(found) > 1:
        mixed = ", ".join(f"{name} is {SHOWN[encoding]}" for encoding, name in found.items())
        raise InvalidFile(f"The files have several encodings: {mixed}. Save all of them in UTF-8.")
    return next(iter(found))


Example = TypeVar("Example")


def batches(examples: Iterable[tuple[int, int, Example]]) -> Iterator[tuple[list[int], list[Example]]]:
    """Yield the numbers and the examples of about BATCH characters, from (number, characters, example)."""
    numbers, batch, length = list[int](), list[Example](), 0
    for number, characters, example in examples:
        numbers.append(number)
        batch.append(example)
        length += characters
        if length >= BATCH:
            yield numbers, batch
            numbers, batch, length = [], [], 0
    if batch:
        yield numbers, batch


@contextmanager
def naming(file: InputFile, files: Sequence[InputFile]) -> Iterator[None]:
    """Put the file's name before what is wrong with it, where there are several."""
    try:
        yield
    except InvalidFile as error:
        if len(files) == 1:
            raise
        raise InvalidFile(f"{file.name}: {error}") from error


def places(file: InputFile, files: Sequence[InputFile], word: str, numbers: list[int]) -> Callable[[int], str]:
    """Return where the row of an index stands: `line 17`, or `a.jsonl, line 17` where there are several files."""
    before = word if len(files) == 1 else f"{file.name}, {word}"
    return lambda index: f"{before} {numbers[index]}"
