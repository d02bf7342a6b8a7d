"""Resources of one kind, one JSON file each, replaced atomically so that `kill -9` leaves the last whole state."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Store:
    """Memory answers every read; the files are what the next start sees."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._records: dict[str, Record] = {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))}

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def get(self, name: str) -> Record | None:
        return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        """Keeps `record` (JSON values) under `name` (a valid file name); it may be changed and put again."""
        self._records[name] = record
        partial = self._folder / f"{name}.json.partial"
        partial.write_text(json.dumps(record))
        os.replace(partial, self._folder / f"{name}.json")

    def delete(self, name: str) -> None:
        self._records.pop(name, None)
        (self._folder / f"{name}.json").unlink(missing_ok=True)
