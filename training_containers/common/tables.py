"""How a table's file is written: what the platform's own check of datasets finds, found again from the bytes."""

import codecs
from pathlib import Path

from training_containers.common.contract import TrainingError

DELIMITERS = ",;\t|"


def find_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of the channel with these suffixes, by name; raises TrainingError if there are none, or of several."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in suffixes)
    if len({file.suffix.lower() for file in files}) != 1:
        found = ", ".join(file.name for file in files[:5]) or "none"
        raise TrainingError(f"The dataset must hold files of one format, {', '.join(suffixes)}; found: {found}.")
    return files


def encoding_of(file: Path) -> str:
    """The encoding of a text file: by its byte order mark, else UTF-8, else Windows-1252 (old spreadsheets)."""
    with file.open("rb") as binary:
        if binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as binary:
        try:
            while block := binary.read(1 << 20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def delimiter_of(header: str) -> str:
    """The character between the names of a CSV's first line."""
    return max(DELIMITERS, key=header.count)
