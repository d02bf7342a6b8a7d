"""Reads plain text: every line is an example, as Hugging Face's `text` loader has it, blank ones left out."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import InputFile
from lambdas.processing.table import Table
from lambdas.processing.text_lines import UNICODE, batches, characters, encoding_of, lines_of, naming, places


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Report on the column `text`; the notes count blank lines.

    Raises InvalidFile for what is no text, for lines that are too long and when no line has text.
    """
    table, blank = Table(), 0
    encoding = encoding_of(files, (*UNICODE, "cp1252"))
    for file in files:
        with naming(file, files):
            # A blank line counts with its end, or a file of nothing else would be one batch.
            for numbers, lines in batches(
                (number, len(line) + 1, line) for number, line in lines_of(characters(file, encoding))
            ):
                full = [(number, line) for number, line in zip(numbers, lines, strict=True) if line.strip()]
                blank += len(lines) - len(full)
                if full:
                    texts = pa.array([line for _, line in full], pa.string())
                    where = places(file, files, "line", [number for number, _ in full])
                    table.add(pa.record_batch({"text": texts}), where)
    if not table.rows:
        raise InvalidFile("No line has text: upload a file with one example per line.")
    report = table.report()
    report.encoding = encoding
    if blank:
        report.notes.append(f"{blank:,} blank lines were left out.")
    return report
