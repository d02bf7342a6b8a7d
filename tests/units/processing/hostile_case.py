"""What a hostile dataset is in tests: its files, made when they are needed, and the verdict that it must get."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

Content = bytes | Callable[[], bytes | Iterable[bytes]]
MIB = 1024 * 1024


@dataclass(frozen=True)
class Hostile:
    """A dataset that does harm to a careless reader.

    `refused` is what the reason must say; without it the dataset is ready, and has the `defects` of these codes.
    """

    name: str
    type: str
    format: str
    files: dict[str, Content]
    refused: str | None = None
    defects: tuple[str, ...] = ()
    heavy: bool = field(default=False)

    def write(self, folder: Path) -> list[Path]:
        """Write the files to a folder."""
        return [write(folder / name, content) for name, content in self.files.items()]


def write(path: Path, content: Content) -> Path:
    """Write a file, piece by piece where it comes so."""
    made = content if isinstance(content, bytes) else content()
    with path.open("wb") as file:
        file.writelines([made] if isinstance(made, bytes) else made)
    return path


def repeated(piece: bytes, times: int, before: bytes = b"", after: bytes = b"") -> Callable[[], Iterable[bytes]]:
    """Return what makes a large content of one piece, without ever holding it."""

    def pieces() -> Iterable[bytes]:
        yield before
        for _ in range(times):
            yield piece
        yield after

    return pieces
