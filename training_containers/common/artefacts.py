"""What a job leaves behind: JSON files, the model files with their SHA-256, and copies for the control plane."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

from training_containers.common.contract import Paths


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: Any) -> Any:
    """The same JSON value with NaN and infinities, which JSON cannot say, as null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def list_files(folder: Path) -> list[dict[str, Any]]:
    """Path, size in bytes and SHA-256 of each file below a folder, sorted by path."""
    return [
        {"name": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def publish(paths: Paths, manifest: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Complete the model folder with metrics.json and manifest.json (last, with every file's hash in it).

    Both are copied to output/data, so that the control plane never opens the model archive.
    """
    write_json(paths.model / "metrics.json", metrics)
    write_json(paths.model / "manifest.json", {**manifest, "files": list_files(paths.model)})
    paths.output_data.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "manifest.json"):
        shutil.copyfile(paths.model / name, paths.output_data / name)


def verified_file(folder: Path, manifest: dict[str, Any], name: str) -> Path:
    """The path of a model file whose content is the one the manifest lists; raises ValueError otherwise."""
    listed = {file["name"]: file["sha256"] for file in manifest["files"]}
    path = folder / name
    if name not in listed or not path.is_file() or sha256(path) != listed[name]:
        raise ValueError(f"{name} is not the file that manifest.json lists: the model is damaged or was changed.")
    return path
