"""Audio files and videos as such, one file each, and the figures of any recordings."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lambdas.processing import flac, mp3, mp4, wav
from lambdas.processing.media_examples import Examples
from lambdas.processing.recording import Damaged, Recording, Stream
from lambdas.processing.report import Defects, InvalidFile, Media, Range, Report, counted
from lambdas.processing.source import BUFFER, InputFile

READERS: dict[str, tuple[str, Callable[[Stream], Recording]]] = {
    ".wav": ("WAV", wav.read),
    ".flac": ("FLAC", flac.read),
    ".mp3": ("MP3", mp3.read),
    ".mp4": ("MP4", mp4.read),
    ".m4v": ("MP4", mp4.read),
    ".mov": ("MP4", mp4.read),
}
MOST_VALUES = 100  # of a figure, such as the sizes of videos: only the most frequent ones


class Figures:
    """Figures of recordings while they are read, one by one; some 150 bytes of memory for each."""

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("formats", "sample_rates", "channels", "frame_rates", "sizes")
        }
        self._seconds: list[float] = []
        self._digests: set[bytes] = set()
        self._corrupt = 0

    def add(self, name: str, pieces: Iterable[bytes]) -> Recording | None:
        """Read a recording to its end; None for one that cannot be used, which is a defect then."""
        format, read = READERS[suffix_of(name)]
        found = hashlib.sha256()
        stream = Stream(hashed(pieces, found.update))
        try:
            recording = read(stream)
        except Damaged as error:
            stream.to_end()
            self._corrupt += 1
            message = (
                f"Recordings cannot be used, the first of them {name:.120}: {error}. Take them out or save them again."
            )
            self._defects.add("corrupt_media", message, name)
            return None
        stream.to_end()
        self._digests.add(found.digest())
        self._seconds.append(recording.seconds)
        for figure, value in (
            ("formats", format),
            ("sample_rates", recording.sample_rate),
            ("channels", recording.channels),
            ("frame_rates", recording.frame_rate),
            ("sizes", recording.size),
        ):
            if value is not None:
                self._counts[figure][str(value)] += 1
        return recording

    def result(self) -> Media:
        """Return the figures."""
        count, seconds = len(self._seconds), math.fsum(self._seconds)
        return Media(
            count=count,
            corrupt=self._corrupt,
            duplicates=count - len(self._digests),
            seconds=seconds,
            duration=Range(min(self._seconds), max(self._seconds), seconds / count) if count else None,
            **{name: dict(list(counted(values).items())[:MOST_VALUES]) for name, values in self._counts.items()},
        )


def hashed(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield pieces, and hash them on the way."""
    for piece in pieces:
        update(piece)
        yield piece


def suffix_of(name: str) -> str:
    """Return how a file's name ends, in small letters: `.wav`."""
    return Path(name).suffix.lower()


def pieces_of(file: InputFile) -> Iterator[bytes]:
    """Yield the bytes of a file in order."""
    with file.in_order() as stream:
        yield from iter(lambda: stream.read(BUFFER), b"")


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Read recordings that are one file each. Raises InvalidFile unless one of them can be used."""
    with Examples(output) as examples:
        figures = Figures(examples.defects)
        for file in files:
            if suffix_of(file.name) not in READERS:
                raise InvalidFile(f"{file.name} must end in {', '.join(READERS)}.")
            if recording := figures.add(file.name, pieces_of(file)):
                examples.add(file.name, None, recording, {})
        return examples.report(figures.result(), "files")
