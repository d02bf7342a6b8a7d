"""The formats that each type of dataset comes in, and what their files are called."""

from dataclasses import dataclass

from lambdas.common.errors import BadRequest
from lambdas.datasets.schemas import Format, Type


@dataclass(frozen=True)
class FileKind:
    """What the files of a format end in, and their media type."""

    extensions: tuple[str, ...]
    content_type: str


KINDS: dict[Format, FileKind] = {
    "csv": FileKind((".csv", ".tsv"), "text/csv"),
    "json": FileKind((".json",), "application/json"),
    "jsonl": FileKind((".jsonl", ".ndjson"), "application/jsonl"),
    "txt": FileKind((".txt",), "text/plain"),
    "parquet": FileKind((".parquet",), "application/vnd.apache.parquet"),
    "excel": FileKind((".xlsx", ".xls"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "conll": FileKind((".conll", ".txt", ".tsv", ".iob", ".bio"), "text/plain"),
    "zip": FileKind((".zip",), "application/zip"),
    "coco": FileKind((".zip",), "application/zip"),
    "png": FileKind((".png",), "image/png"),
    "jpg": FileKind((".jpg", ".jpeg"), "image/jpeg"),
    "wav": FileKind((".wav",), "audio/wav"),
    "flac": FileKind((".flac",), "audio/flac"),
    "mp3": FileKind((".mp3",), "audio/mpeg"),
    "mp4": FileKind((".mp4",), "video/mp4"),
}
FORMATS: dict[Type, tuple[Format, ...]] = {
    "tabular": ("csv", "parquet", "excel", "json", "jsonl"),
    "text": ("csv", "json", "jsonl", "txt", "parquet", "conll"),
    "image": ("zip", "coco", "png", "jpg"),
    "audio": ("wav", "flac", "mp3", "zip"),
    "video": ("mp4", "zip"),
}


def refuse_format(type: Type, format: Format) -> None:
    """Raise BadRequest for a format that this type does not come in."""
    if format not in FORMATS[type]:
        message = f"for {type} datasets it can be {', '.join(FORMATS[type])}"
        raise BadRequest(f"The format is not accepted: {message}.", errors=[{"field": "format", "message": message}])


def refuse_names(format: Format, names: list[str]) -> None:
    """Raise BadRequest for names that are not of the format, or of which two are one."""
    kind, seen = KINDS[format], set[str]()
    for name in names:
        if not name.lower().endswith(kind.extensions):
            raise wrong_files(f"{name} must end in {' or '.join(kind.extensions)}")
        if name.lower() in seen:  # two are one where a file system ignores case
            raise wrong_files(f"{name} is given twice")
        seen.add(name.lower())


def wrong_files(message: str) -> BadRequest:
    """Return the error for a list of files that cannot be."""
    return BadRequest(f"The files cannot be used: {message}.", errors=[{"field": "files", "message": message}])
