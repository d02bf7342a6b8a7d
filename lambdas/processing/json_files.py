"""Reads JSON Lines and JSON arrays of objects row by row, in flat memory; arrays are written as JSON Lines."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from lambdas.processing.converted import converted_path
from lambdas.processing.json_array import objects_of
from lambdas.processing.json_rows import JsonRows, Row, to_json
from lambdas.processing.json_text import Malformed, Unreadable, parse, refuse_many_values
from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import InputFile
from lambdas.processing.table import Table
from lambdas.processing.text_lines import batches, characters, encoding_of, lines_of, naming, places

ONE_OBJECT = (
    "write an array of objects, [{...}, {...}], or JSON Lines, one object per line (with pandas: "
    'to_json(orient="records")).'
)


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Report on the columns of the rows; write what is not plain JSON Lines to `converted/<name>.jsonl`.

    How the first file begins says whether they are arrays or lines. Raises InvalidFile for other JSON, for values
    that cannot be kept, and when there is no row or the files have not the same columns.
    """
    table, rows, names = Table(), JsonRows(), dict[str, set[str]]()
    encoding = encoding_of(files)
    array = is_array(files[0], encoding)
    convert = array or encoding != "utf-8" or any(is_json(file) for file in files)
    for file in files:
        present: set[str] = set()
        target = converted_path(output, file.name, ".jsonl").open("w", encoding="utf-8") if convert else nullcontext()
        with naming(file, files), target as stream:
            pieces = characters(file, encoding)
            for numbers, batch in batches(objects_of(pieces) if array else objects_in_lines(pieces)):
                word = "row" if array else "line"
                columns = rows.batch(batch, places(file, [file], word, numbers))
                table.add(columns, places(file, files, word, numbers))
                present.update(columns.schema.names)
                if stream:
                    stream.writelines(to_json(row) + "\n" for row in batch)
        names[file.name] = present
    if not any(names.values()):
        raise InvalidFile("There is no row with a value: " + ONE_OBJECT)
    if table.rows == 1 and not array and is_json(files[0]):
        raise InvalidFile("The file is one object, not rows: " + ONE_OBJECT)
    refuse_other_columns(names)
    report = table.report()
    rows.settle(report)
    return report


def is_json(file: InputFile) -> bool:
    """Return whether a file is named as JSON, in which many write JSON Lines too."""
    return file.name.lower().endswith(".json")


def is_array(file: InputFile, encoding: str) -> bool:
    """Return whether the text of a file begins as a JSON array."""
    for piece in characters(file, encoding):
        if piece.strip():
            return piece.lstrip().startswith("[")
    return False


def objects_in_lines(pieces: Iterable[str]) -> Iterator[tuple[int, int, Row]]:
    """Yield (line, its characters, row) of every line that is not blank; raises InvalidFile for what is no object."""
    for number, line in lines_of(pieces):
        text = line.strip(" \t")
        if not text:
            continue
        try:
            refuse_many_values(text)
            row, end = parse(text)
        except Malformed as error:
            if number == 1 and error.at == len(text):
                raise InvalidFile("Line 1 holds only the beginning of a value: " + ONE_OBJECT) from error
            raise InvalidFile(f"Line {number:,} {error} (character {error.at + 1:,}).") from error
        except Unreadable as error:
            raise InvalidFile(f"Line {number:,} {error}.") from error
        if not isinstance(row, dict):
            raise InvalidFile(f"Line {number:,} is not an object: write {{...}}, one object per line.")
        if end < len(text):
            raise InvalidFile(f"Line {number:,} goes on after its object: write one object per line.")
        yield number, len(text), row


def refuse_other_columns(names: dict[str, set[str]]) -> None:
    """Raise InvalidFile for a file whose columns are not those of the first one."""
    first, *others = names
    for other in others:
        if different := sorted(names[first] ^ names[other]):
            has, lacks = (first, other) if different[0] in names[first] else (other, first)
            raise InvalidFile(
                f"{has} has the column {different[0]!r}, but {lacks} has not: give every file the same columns."
            )
