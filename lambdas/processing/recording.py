"""One recording: what its headers say, and the reader that goes through its bytes once, from start to end."""

from collections.abc import Iterable
from dataclasses import dataclass

LARGEST_READ = 1024 * 1024


class Damaged(Exception):
    """The recording cannot be used; the message says what is wrong with it: `it ends inside a frame`."""


@dataclass(frozen=True)
class Recording:
    """What an audio file or a video is: seconds, samples per second of its sound, frames per second and size."""

    seconds: float
    sample_rate: int | None = None
    channels: int | None = None
    frame_rate: str | None = None
    size: str | None = None


class Stream:
    """Bytes in order, from pieces of any size; holds one piece, and what was asked for, in memory."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.position = 0
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def read(self, length: int) -> bytes:
        """Return exactly so many bytes; raises Damaged when there are fewer."""
        data = self.up_to(length)
        if len(data) < length:
            raise self.cut_off()
        return data

    def up_to(self, length: int) -> bytes:
        """Return so many bytes, or what there is of them; raises ValueError for more than LARGEST_READ."""
        if length > LARGEST_READ:
            raise ValueError(f"{length:,} bytes at once are too many.")
        stop = self._at + length
        if stop <= len(self._piece):
            data = self._piece[self._at : stop]
            self._at = stop
        else:
            parts, missing = [self._piece[self._at :]], stop - len(self._piece)
            while missing and self._next_piece():
                parts.append(self._piece[:missing])
                self._at = len(parts[-1])
                missing -= self._at
            data = b"".join(parts)
        self.position += len(data)
        return data

    def peek(self, length: int) -> bytes:
        """Return what `up_to` would, and stay."""
        data = self.up_to(length)
        self._piece, self._at = data + self._piece[self._at :], 0
        self.position -= len(data)
        return data

    def skip(self, length: int) -> int:
        """Go on so many bytes; return how many there were."""
        left = length
        while left > len(self._piece) - self._at:
            left -= len(self._piece) - self._at
            if not self._next_piece():
                break
        else:
            self._at += left
            left = 0
        self.position += length - left
        return length - left

    def skip_all(self, length: int) -> None:
        """Go on so many bytes; raises Damaged when there are fewer."""
        if self.skip(length) < length:
            raise self.cut_off()

    def cut_off(self) -> Damaged:
        """Return the error for a recording that ends where it should go on."""
        return Damaged(f"it is cut off: it ends after {self.position:,} bytes" if self.position else "it is empty")

    def to_end(self, keep: int = 0) -> bytes:
        """Go to the end; return the last bytes, at most `keep`."""
        tail = self._piece[self._at :]
        self.position += len(tail)
        while self._next_piece():
            self.position += len(self._piece)
            tail = (tail + self._piece)[-keep:] if keep else b""
            self._at = len(self._piece)
        return tail[-keep:] if keep else b""

    def _next_piece(self) -> bool:
        """Take the next piece that holds anything; at the end there is none."""
        self._at = 0
        self._piece = next((piece for piece in self._pieces if piece), b"")
        return bool(self._piece)
