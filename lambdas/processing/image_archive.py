"""Images in ZIPs, never unpacked: class folders, metadata files, COCO annotations, captions, or images alone."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from lambdas.processing.boxes import OBJECTS, usable
from lambdas.processing.coco import Coco, is_coco
from lambdas.processing.examples import TEXT, Columns, Examples
from lambdas.processing.image_file import ImageFile
from lambdas.processing.image_layout import Contents, Folders, contents_of, is_image, stem
from lambdas.processing.image_metadata import Metadata
from lambdas.processing.image_rows import Rows
from lambdas.processing.images import Figures
from lambdas.processing.report import Defects, InvalidFile, Layout, Report
from lambdas.processing.source import InputFile
from lambdas.processing.zip_archive import Archive, Member

MAX_CAPTION = 64 * 1024  # bytes


class Annotations(Protocol):
    """What files in the ZIPs say of the images."""

    layout: Layout
    untyped: bool
    """Whether all that they say is texts, as in a CSV."""

    def load(self, defects: Defects) -> None:
        """Read them. Raises InvalidFile."""
        ...

    def take(self, zip: str, name: str, defects: Defects) -> list[Columns]:
        """Return what they say of an image, for each example it makes; nothing for one that they do not list."""
        ...

    def missing(self) -> Iterator[str]:
        """Yield the images that they list and that nobody asked for."""
        ...


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Read images in ZIPs by what lies beside them; raises InvalidFile as `read_images` does."""
    return read_images(files, output, needs_coco=False)


def read_coco(files: Sequence[InputFile], output: Path) -> Report:
    """Read images in ZIPs with their COCO files; raises InvalidFile as `read_images` does."""
    return read_images(files, output, needs_coco=True)


def read_images(files: Sequence[InputFile], output: Path, needs_coco: bool) -> Report:
    """Read images in ZIPs by what lies beside them: a COCO file, else metadata, else captions, else folders.

    Raises InvalidFile for a ZIP that is not honest, for annotations that cannot be read or are needed and not there,
    and without a usable image.
    """
    contents = [contents_of(file) for file in files]
    folders = Folders(contents)
    with ExitStack() as stack:
        annotations = annotations_of(contents, folders, stack.enter_context(Rows(output)))
        if needs_coco and not isinstance(annotations, Coco):
            raise InvalidFile(
                "There is no COCO file in it, which is JSON with images, annotations and categories: put it beside the "
                "images, or make a dataset of the format zip."
            )
        examples = stack.enter_context(Examples(output, annotations is not None and annotations.untyped))
        figures = Figures(output, examples.defects)
        if annotations:
            annotations.load(examples.defects)
        has_captions = 2 * sum(one.captions for one in contents) >= max(1, sum(one.images for one in contents))
        for file in files:
            with Archive(file) as archive:
                if annotations:
                    read_annotated(archive, file.name, annotations, figures, examples)
                elif has_captions:
                    read_captioned(archive, file.name, folders, figures, examples)
                else:
                    read_in_folders(archive, file.name, folders, figures, examples)
        layout: Layout = "class_folders" if folders.has_labels and not has_captions else "files"
        if annotations:
            note_missing(annotations, examples.defects)
            layout = annotations.layout
        return examples.report(figures.result(), layout, notes_of(contents))


def annotations_of(contents: Sequence[Contents], folders: Folders, rows: Rows) -> Annotations | None:
    """Return the annotations in the ZIPs, not read yet; None without any."""
    found: list[tuple[Contents, Member]] = []
    for one in contents:
        with Archive(one.file) as archive:
            found += [(one, member) for member in one.json if is_coco(archive, member)]
    if found:
        return Coco(found, rows)
    return Metadata(contents, folders, rows) if any(one.metadata for one in contents) else None


def read_in_folders(archive: Archive, zip: str, folders: Folders, figures: Figures, examples: Examples) -> None:
    """Make an example of every image, with the label and the split that its folders name."""
    for member in archive:
        if is_image(member.name) and (image := figures.add(member.name, archive.read(member))):
            examples.add(member.name, zip, image, folders.columns(member.name))


def read_annotated(archive: Archive, zip: str, annotations: Annotations, figures: Figures, examples: Examples) -> None:
    """Make an example of every image that the annotations list, with what they say; boxes must lie in it."""
    defects = examples.defects
    for member in archive:
        name = member.name
        if not is_image(name):
            continue
        rows = annotations.take(zip, name, defects)
        if not rows:
            message = f"Images are not listed in the annotations, the first one is {name}: list them or leave them out."
            defects.add("unlisted_file", message, name)
        elif image := figures.add(name, archive.read(member)):
            for columns in rows:
                if columns.get(OBJECTS) is not None:
                    columns[OBJECTS] = usable(columns[OBJECTS], name, image.width, image.height, defects)
                examples.add(name, zip, image, columns)


def read_captioned(archive: Archive, zip: str, folders: Folders, figures: Figures, examples: Examples) -> None:
    """Make an example of every image with the text file of its name, once both were read, in whatever order."""
    stems = {stem(member.name) for member in archive.members if is_image(member.name)}
    texts: dict[str, str | None] = {}
    images: dict[str, tuple[str, ImageFile]] = {}
    for member in archive:
        key = stem(member.name)
        if is_image(member.name):
            if image := figures.add(member.name, archive.read(member)):
                images[key] = member.name, image.without_thumbnail()
        elif member.name.lower().endswith(".txt") and key in stems:
            texts[key] = caption(archive, member, examples.defects)
        if key in texts and key in images:
            name, image = images.pop(key)
            examples.add(name, zip, image, {TEXT: texts.pop(key)} | folders.split(name))
    for name, image in images.values():
        examples.add(name, zip, image, {TEXT: None} | folders.split(name))


def caption(archive: Archive, member: Member, defects: Defects) -> str | None:
    """Return the text of a caption; None for what is none, which is a defect then."""
    try:
        if member.size <= MAX_CAPTION:
            return archive.read(member).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        pass  # as one that is too long
    message = f"Captions are not UTF-8 or longer than {MAX_CAPTION:,} bytes, the first one is {member.name}: mend them."
    defects.add("invalid_metadata", message, member.name, (TEXT,))
    return None


def note_missing(annotations: Annotations, defects: Defects) -> None:
    """Count the images that are listed and not there."""
    for name in annotations.missing():
        message = (
            f"Annotations list images that are not in the ZIP, the first one is {name!r:.120}: add or unlist them."
        )
        defects.add("missing_file", message, name[:120])


def notes_of(contents: Sequence[Contents]) -> list[str]:
    """Say what was left out."""
    others = sum(one.others for one in contents)
    return [f"{others:,} files in the ZIPs are no images that can be read, and were left out."] if others else []
