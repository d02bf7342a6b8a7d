"""A ZIP of any size read strictly, file by file, from a stream: it has one meaning, or it is refused.

Nothing is ever unpacked to disk. The directory is checked before the first file is read, every entry's own header
when its turn comes, and its size and checksum while its bytes are unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lambdas.processing.source import InputFile


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `size` in bytes, unpacked: at most 256 MiB."""

    name: str
    size: int


class Archive:
    """The files in a ZIP, without folders and without what systems add (`__MACOSX`, `.DS_Store`, dot files).

    `with Archive(file) as archive: for member in archive: data = archive.read(member)`. `members` is the list in the
    order of their bytes; any may be read at any time, but in order costs fewest requests. Reading all of them in
    order also finds the SHA-256 of the file. Raises InvalidFile for a ZIP that is not honest.
    """

    def __init__(self, file: InputFile) -> None:
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield the files in the order of their bytes, each entry's own header checked."""
        raise NotImplementedError

    def read(self, member: Member) -> bytes:
        """Return the bytes of a file. Raises InvalidFile unless they have the size and the checksum that it says."""
        raise NotImplementedError

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a file piece by piece, in little memory; checked as by `read` when the last came."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError
