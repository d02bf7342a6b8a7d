"""Hostile tables and texts: CSV, JSON, JSON Lines, plain text and CoNLL."""

import gzip
from collections.abc import Iterable

from tests.units.processing.hostile_case import MIB, Content, Hostile, repeated

ROWS = b"".join(b"%d,text %d\n" % (number, number) for number in range(1000))
GIB = 1024


def wide(columns: int) -> bytes:
    """A CSV of so many columns."""
    names = ",".join(f"c{number}" for number in range(columns))
    return f"{names}\n{','.join('1' * columns)}\n".encode()


def late_quote() -> Iterable[bytes]:
    """A quote that opens after 200 MB and is never closed."""
    yield b"a,b\n"
    piece = ROWS * 80
    for _ in range(200 * MIB // len(piece)):
        yield piece
    yield b'1,"never closed\n'
    yield ROWS


def csvs() -> list[Hostile]:
    """CSV files."""
    found: dict[str, tuple[Content, str | None]] = {
        "CSV of no bytes": (b"", "The file is empty"),
        "CSV of only a header": (b"a,b\n", "a header but no rows"),
        "CSV of a million columns": (lambda: wide(1_000_000), "columns; at most 1,000"),
        "CSV with NUL bytes": (b"a,b\n1,x\n\0\0\0,y\n", "NUL character"),
        "CSV of NUL bytes": (bytes(MIB), "NUL character"),
        "CSV in two encodings": (b"a,b\n" + "é,1\n".encode() * 500 + "é,1\n".encode("latin-1") * 500, None),
        "CSV with two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbfa,b\n1,2\n2,3\n", None),
        "CSV in UTF-16 that breaks off": ("a,b\n1,2\n".encode("utf-16") + b"\xd8", "NUL character"),
        "CSV with a quote never closed": (b'a,b\n1,"x\n' + ROWS, "quotation mark is opened and never closed"),
        "CSV with a quote never closed after 200 MB": (late_quote, "quotation mark is opened and never closed"),
        "CSV with one field of 1 GB": (repeated(b"x" * MIB, GIB, b"a,b\n1,", b"\n"), "more than 1,048,576 characters"),
        "CSV with one quoted field of 1 GB": (
            repeated(b"x\n" * (MIB // 2), GIB, b'a,b\n1,"', b'"\n'),
            "more than 1,048,576 characters",
        ),
        "CSV of one line of 1 GB": (repeated(b"x" * MIB, GIB), "more than 1,048,576 characters"),
        "CSV of 1 GB of commas": (repeated(b"," * MIB, GIB, b"a,b\n"), "has at least .* fields, but the header has 2"),
        "CSV of 1 GB of empty lines": (repeated(b"\n" * MIB, GIB, b"a,b\n"), "a header but no rows"),
        "CSV of 100 MB of quotes": (repeated(b'"' * MIB, 100, b"a,b\n"), "more than 1,048,576 characters"),
        "CSV that is gz of gz": (gzip.compress(gzip.compress(ROWS)), "gzip archive"),
        "CSV that is a ZIP": (b"PK\x03\x04" + bytes(100), "ZIP archive"),
        "CSV with rows of different lengths": (b"a,b\n1,2\n1,2,3\n1,2\n", "Row 3 has 3 fields, but the header has 2"),
        "CSV with a name of 1 MB": (b"a," + b"x" * MIB + b"\n1,2\n", "the name of column 2 is longer"),
        "CSV with duplicate names": (b"a,a\n1,2\n", "'a' is there twice"),
    }
    heavy = {name for name in found if "1 GB" in name}
    return [
        Hostile(name, "tabular", "csv", {"data.csv": made}, said, (), name in heavy)
        for name, (made, said) in found.items()
    ]


def jsons() -> list[Hostile]:
    """JSON and JSON Lines."""
    depth = 100_000
    found: dict[str, tuple[str, Content, str | None]] = {
        "JSON of depth 10^5": ("json", b'[{"a":' + b"[" * depth + b"]" * depth + b"}]", "nested deeper"),
        "JSON of arrays 10^6 deep": ("json", b"[" * 1_000_000, "every row must be an object"),
        "JSON array never closed": ("json", b'[{"a": 1}, {"a": 2}', "the file ends"),
        "JSON of no bytes": ("json", b"", "There is no row"),
        "JSON of 10^400": ("json", b'[{"a": 1' + b"0" * 400 + b"}]", "outside ±1.8e308"),
        "JSON of 10^6 digits": ("json", b'[{"a": ' + b"9" * 1_000_000 + b"}]", "more than 4,300 digits"),
        "JSON with NaN": ("json", b'[{"a": NaN}]', "NaN"),
        "JSON with -0": ("json", b'[{"a": -0}, {"a": -0.0}]', None),
        "JSON with a key twice": ("json", b'[{"a": 1, "a": 2}]', "key 'a' twice"),
        "JSON with a lone surrogate": ("json", b'[{"a": "\\ud800"}]', "surrogate"),
        "JSON of an object of 1 GB": (
            "json",
            repeated(b"x" * MIB, GIB, b'[{"a": "', b'"}]'),
            "16,777,216 characters",
        ),
        "JSON of 1 GB of spaces": ("json", repeated(b" " * MIB, GIB, b"[", b'{"a": 1}]'), None),
        "JSONL of depth 10^5": ("jsonl", b'{"a":' + b"[" * depth + b"]" * depth + b"}\n", "nested deeper"),
        "JSONL of objects 10^5 deep": ("jsonl", b'{"a":' * depth + b"1" + b"}" * depth + b"\n", "nested deeper"),
        "JSONL of 10^400": ("jsonl", b'{"a": 1e400}\n', "outside ±1.8e308"),
        "JSONL with Infinity": ("jsonl", b'{"a": -Infinity}\n', "Infinity"),
        "JSONL of one line of 1 GB": (
            "jsonl",
            repeated(b"x" * MIB, GIB, b'{"a": "', b'"}\n'),
            "16,777,216 characters",
        ),
        "JSONL of a million keys": (
            "jsonl",
            b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}\n",
            "more than 500,000 values",
        ),
        "JSONL of new keys in every line": (
            "jsonl",
            b"".join(b'{"k%d": 1}\n' % number for number in range(100_000)),
            "more than 1,000",
        ),
        "JSONL in two encodings": ("jsonl", b'{"a": "\xc3\xa9"}\n{"a": "\xe9"}\n', "not UTF-8"),
    }
    heavy = {name for name in found if "1 GB" in name}
    return [
        Hostile(name, "text", end, {f"data.{end}": made}, said, (), name in heavy)
        for name, (end, made, said) in found.items()
    ]


def texts() -> list[Hostile]:
    """Plain text and CoNLL."""
    line = repeated(b"x" * MIB, GIB)
    long = "16,777,216 characters"
    return [
        Hostile("TXT of one line of 1 GB", "text", "txt", {"data.txt": line}, long, (), True),
        Hostile("TXT with NUL bytes", "text", "txt", {"data.txt": b"a\0b\n"}, "NUL character"),
        Hostile("TXT of no bytes", "text", "txt", {"data.txt": b""}, "No line has text"),
        Hostile("CoNLL of one line of 1 GB", "text", "conll", {"data.conll": line}, long, (), True),
        Hostile(
            "CoNLL of one sentence of 1 GB", "text", "conll", {"data.conll": repeated(b"a O\n" * (MIB // 4), GIB)},
            "more than 10,000 tokens", (), True,
        ),
        Hostile("CoNLL of 10^6 columns", "text", "conll", {"data.conll": b"a " * 1_000_000}, "more than 100 columns"),
    ]  # fmt: skip
