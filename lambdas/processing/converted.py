"""Where a file goes that trains instead of the one that was uploaded."""

from pathlib import Path

from lambdas.processing.process import CONVERTED


def converted_path(output: Path, name: str, suffix: str) -> Path:
    """Return the path to write, e.g. `converted/train.jsonl` for train.json; the folder is made.

    Where another file took it, the path keeps the whole name: `converted/train.txt.jsonl`.
    """
    folder = output / CONVERTED
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(name).stem}{suffix}"
    return path if not path.exists() else folder / f"{Path(name).name}{suffix}"
