"""What is served from a model folder: which job or upload it came from, and that its files are the ones listed."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_containers.common.artefacts import sha256
from training_containers.common.contract import read_json_object

REGISTRY = ".slipway/registry.json"  # beside the files of an uploaded version, in S3 and so in the folder
MANIFEST = "manifest.json"
# What files are called decides what reads them, as it does in lambdas/endpoints/servable.py; a test compares the two.
LOADERS = {
    "onnx": "onnx",
    "skops": "skops",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "pickle",
    "ubj": "xgboost",
}
WELL_KNOWN = {"model.txt": "lightgbm", "model.json": "xgboost"}
BY_FORMAT = {"lightgbm": "lightgbm", "xgboost": "xgboost"}
TORCH = ("torch", "torch_sequence")


@dataclass(frozen=True)
class ServedFile:
    """A file of the version as its list has it; `format` is what the scanner saw in it."""

    name: str
    sha256: str | None
    crc32: int | None = None
    format: str | None = None
    primary: bool = False


def trained_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a model that one of the platform's own training types made; None for any other."""
    if (folder / REGISTRY).is_file():
        return None
    manifest = read_json_object(folder / MANIFEST)
    return None if manifest["training_type"] == "custom" else manifest


def verified_files(folder: Path) -> list[ServedFile]:
    """Return the files of an uploaded version, or of a custom job's model, once all are as they were listed.

    Raises ValueError naming a file that is missing, changed, or in the folder without being listed.
    """
    files = listed(folder)
    for file in files:
        if not is_as_listed(folder / file.name, file):
            raise ValueError(f"{file.name} is not the file that the registry lists: the model is damaged or changed.")
    known = {file.name for file in files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if more := sorted(name for name in there - known if not name.startswith(".slipway/") and name != MANIFEST):
        raise ValueError(f"{more[0]} is none of the files that the registry lists.")
    return files


def listed(folder: Path) -> list[ServedFile]:
    """Return the files as the registry, or the manifest of a custom job, lists them; raises ValueError."""
    if not (folder / REGISTRY).is_file():
        manifest = read_json_object(folder / MANIFEST)
        return [ServedFile(file["name"], file["sha256"]) for file in manifest["files"]]
    registry = read_json_object(folder / REGISTRY)
    if registry["record"]["verdict"] == "malicious":
        raise ValueError("The scanner calls this version malicious: it is not loaded.")
    return [
        ServedFile(file["filename"], file["file_hash"], file["crc32"], file["format"], file["is_primary"])
        for file in registry["files"]
    ]


def is_as_listed(path: Path, file: ServedFile) -> bool:
    """Whether a file has the content that is listed: by its SHA-256, by S3's CRC-32 where nobody computed that."""
    if not path.is_file():
        return False
    if file.sha256 is not None:
        return sha256(path) == file.sha256
    return file.crc32 is not None and crc32(path) == file.crc32


def crc32(path: Path) -> int:
    """The CRC-32 of a file."""
    value = 0
    with path.open("rb") as content:
        while chunk := content.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return value


def model_file(files: list[ServedFile]) -> tuple[ServedFile, str]:
    """Return the file that holds a model of one file and what loads it, the primary one first; raises ValueError."""
    for file in sorted(files, key=lambda file: not file.primary):
        if loader := loader_of(file):
            return file, loader
    raise ValueError("None of the files is a model that this image can serve.")


def loader_of(file: ServedFile) -> str | None:
    """Return what loads a file, None for what is no model that can be served."""
    name = file.name.rpartition("/")[2].lower()
    if file.format in BY_FORMAT:
        return BY_FORMAT[file.format]
    if file.format in TORCH:  # whatever it is called
        return None
    if file.format is None and name in WELL_KNOWN:
        return WELL_KNOWN[name]
    return LOADERS.get(name.rpartition(".")[2])


def model_root(files: list[ServedFile], marker: str) -> str | None:
    """Return the folder of the uppermost file of this name, "" or with a slash at its end; None where there is none."""
    found = [file.name for file in files if file.name.rpartition("/")[2] == marker]
    return min(found, key=lambda name: (name.count("/"), name))[: -len(marker)] if found else None
