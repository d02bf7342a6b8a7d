"""ZIPs of audio files or of videos: class folders, or a metadata file beside them, or neither."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from lambdas.processing.image_layout import METADATA, Contents, Folders, folder_of
from lambdas.processing.image_metadata import Metadata
from lambdas.processing.image_rows import Rows
from lambdas.processing.media import Figures, suffix_of
from lambdas.processing.media_examples import Examples
from lambdas.processing.report import Defects, InvalidFile, Layout, Report
from lambdas.processing.source import InputFile
from lambdas.processing.zip_archive import Archive

AUDIO = (".wav", ".flac", ".mp3")
VIDEO = (".mp4", ".m4v", ".mov")


def read_audio(files: Sequence[InputFile], output: Path) -> Report:
    """Read the audio files in ZIPs; raises InvalidFile as `read_members` does."""
    return read_members(files, output, AUDIO)


def read_videos(files: Sequence[InputFile], output: Path) -> Report:
    """Read the videos in ZIPs; raises InvalidFile as `read_members` does."""
    return read_members(files, output, VIDEO)


def read_members(files: Sequence[InputFile], output: Path, suffixes: Collection[str]) -> Report:
    """Read the recordings in ZIPs, those that end in `suffixes`.

    Raises InvalidFile for a ZIP that is not honest, for metadata that cannot be read, and unless one recording can be
    used.
    """
    notes: list[str] = []
    contents = [contents_of(file, suffixes, notes) for file in files]
    folders = Folders(contents)
    with ExitStack() as stack:
        rows = stack.enter_context(Rows(output))
        metadata = Metadata(contents, folders, rows) if any(one.metadata for one in contents) else None
        examples = stack.enter_context(Examples(output, untyped=metadata is not None and metadata.untyped))
        figures = Figures(examples.defects)
        if metadata:
            metadata.load(examples.defects)
        for file in files:
            read_archive(file, suffixes, figures, examples, folders, metadata)
        if metadata:
            tell_missing(metadata, examples.defects)
        media = figures.result()
        layout: Layout = "metadata" if metadata else "class_folders" if folders.has_labels else "files"
        report = examples.report(media, layout)
    report.notes += notes
    return report


def contents_of(file: InputFile, suffixes: Collection[str], notes: list[str]) -> Contents:
    """Return what lies in a ZIP, by its directory, and note what is left out. Raises InvalidFile."""
    found, others = Contents(file), Counter[str]()
    with Archive(file) as archive:
        for member in archive.members:
            suffix = suffix_of(member.name)
            if suffix in suffixes:
                found.images += 1
                found.folders.add(folder_of(member.name))
            elif Path(member.name).name.lower() in METADATA:
                found.metadata.append(member)
            else:
                others[suffix or "no suffix"] += 1
    if others:
        kinds = ", ".join(kind for kind, _ in others.most_common(5))
        notes.append(f"{file.name}: {others.total():,} other files were left out ({kinds}).")
    if not found.images:
        raise InvalidFile(f"{file.name} holds no file that ends in {', '.join(suffixes)}.")
    return found


def read_archive(
    file: InputFile,
    suffixes: Collection[str],
    figures: Figures,
    examples: Examples,
    folders: Folders,
    metadata: Metadata | None,
) -> None:
    """Read the recordings in a ZIP, in the order of their bytes, each with what is known of it."""
    with Archive(file) as archive:
        for member in archive:
            name = member.name
            if suffix_of(name) not in suffixes:
                continue
            known = [folders.columns(name)] if metadata is None else metadata.take(file.name, name, examples.defects)
            if not known:
                message = f"Recordings are not in the metadata, the first of them {name:.120}: list or drop them."
                examples.defects.add("unlisted_file", message, name)
            elif recording := figures.add(name, archive.chunks(member)):
                for columns in known:
                    examples.add(name, file.name, recording, columns)


def tell_missing(metadata: Metadata, defects: Defects) -> None:
    """Count the recordings that metadata name and no archive holds."""
    for name in metadata.missing():
        message = (
            f"Recordings in the metadata are in no archive, the first of them {name:.120}: add them or drop their rows."
        )
        defects.add("missing_file", message, name[:120])
