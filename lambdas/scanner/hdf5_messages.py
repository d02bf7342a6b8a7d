"""What the messages of HDF5 object headers say: shape, type, layout, filters, links and attributes."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.scanner.binary import Malformed
from lambdas.scanner.hdf5_file import Fields, File
from lambdas.scanner.hdf5_heaps import from_global_heap

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES = 0x01, 0x02, 0x03, 0x06, 0x07
LAYOUT, FILTERS, ATTRIBUTE, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x08, 0x0B, 0x0C, 0x11, 0x15
FIXED, FLOAT, STRING, OPAQUE, ENUM, VARIABLE = 0, 1, 3, 5, 8, 9  # classes of types
HARD, SOFT, EXTERNAL = 0, 1, 64  # kinds of links
MOST_RANK = 32
VIRTUAL = 3  # class of layouts


@dataclass(frozen=True)
class Datatype:
    """The class of a type and the size of one value in the file."""

    kind: int
    size: int
    is_text: bool = False


@dataclass(frozen=True)
class Link:
    """A member of a group: an object's address, the path of another, or a file and the path in it."""

    name: str
    kind: int
    address: int | None = None
    target: str = ""


@dataclass(frozen=True)
class Attribute:
    """A small value of an object; `datatype` is None when it is kept where we cannot follow."""

    name: str
    datatype: Datatype | None
    shape: list[int]
    data: bytes


def dataspace(file: File, body: bytes) -> list[int]:
    """Return a shape; [] is a single value, [0] none."""
    fields = Fields(file, body)
    version, rank, _ = fields.uint(1), fields.uint(1), fields.uint(1)
    kind = fields.uint(1)
    if version == 1:
        fields.skip(4)
    elif version != 2:
        raise Malformed(f"A shape is described in the unknown version {version}.")
    if rank > MOST_RANK:
        raise Malformed(f"A shape is said to have {rank} dimensions.")
    if version == 2 and kind == 2:
        return [0]
    return [fields.length() for _ in range(rank)]


def datatype(file: File, body: bytes) -> Datatype:
    """Return a type without what it is composed of."""
    fields = Fields(file, body)
    head, bits, size = fields.uint(1), fields.uint(3), fields.uint(4)
    kind = head & 15
    return Datatype(kind, size, is_text=kind == STRING or (kind == VARIABLE and bits & 15 == 1))


def filters(file: File, body: bytes) -> list[tuple[int, str]]:
    """Return the identifiers and names of a dataset's filters."""
    fields = Fields(file, body)
    version, count = fields.uint(1), fields.uint(1)
    fields.skip(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        id = fields.uint(2)
        length = fields.uint(2) if version == 1 or id >= 256 else 0
        _, values = fields.uint(2), fields.uint(2)
        name = fields.take(-(-length // 8) * 8 if version == 1 else length)
        fields.skip(4 * values + (4 if version == 1 and values % 2 else 0))
        found.append((id, name.split(b"\0")[0].decode(errors="replace")))
    return found


def link(file: File, body: bytes) -> Link:
    """Return a link of a group of the new kind."""
    fields = Fields(file, body)
    version, flags = fields.uint(1), fields.uint(1)
    if version != 1:
        raise Malformed(f"A link is described in the unknown version {version}.")
    kind = fields.uint(1) if flags & 8 else HARD
    fields.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = fields.take(fields.uint(1 << (flags & 3))).decode(errors="replace")
    if kind == HARD:
        return Link(name, kind, address=fields.address())
    value = fields.take(fields.uint(2))
    if kind == EXTERNAL:
        value = value[1:].replace(b"\0", b":", 1).rstrip(b"\0")
    return Link(name, kind, target=value.decode(errors="replace"))


def virtual_source(file: File, body: bytes) -> str | None:
    """Return the first file that a virtual dataset reads, `.` for its own; None when the layout is another."""
    fields = Fields(file, body)
    if fields.uint(1) < 4 or fields.uint(1) != VIRTUAL:
        return None
    address, index = fields.address(), fields.uint(4)
    if address is None:
        return "."
    listed = from_global_heap(file, address, index)
    return listed[1 + file.length_size :].split(b"\0")[0].decode(errors="replace")


def external_files(file: File, body: bytes) -> tuple[int | None, list[int]]:
    """Return the heap of names and the names' places in it of the files that hold a dataset's values."""
    fields = Fields(file, body)
    fields.skip(4)
    _, used, heap = fields.uint(2), fields.uint(2), fields.address()
    places = []
    for _ in range(used):
        places.append(fields.length())
        fields.skip(2 * file.length_size)
    return heap, places


def attribute(file: File, body: bytes) -> Attribute:
    """Return an attribute with its value as it is in the file."""
    fields = Fields(file, body)
    version, flags = fields.uint(1), fields.uint(1)
    if version not in (1, 2, 3):
        raise Malformed(f"An attribute is described in the unknown version {version}.")
    sizes = fields.uint(2), fields.uint(2), fields.uint(2)
    fields.skip(1 if version == 3 else 0)
    name, type, space = (fields.take(-(-size // 8) * 8 if version == 1 else size) for size in sizes)
    flags = flags if version > 1 else 0
    type_body = file.resolved(DATATYPE, 2 if flags & 1 else 0, type)
    space_body = file.resolved(DATASPACE, flags & 2, space)
    return Attribute(
        name.split(b"\0")[0].decode(errors="replace"),
        datatype(file, type_body) if type_body is not None and space_body is not None else None,
        dataspace(file, space_body) if space_body is not None else [],
        fields.take(fields.left()),
    )


def value(file: File, attribute: Attribute) -> bytes | None:
    """Return the value of an attribute that is one text or opaque value, None for others."""
    type = attribute.datatype
    if type is None or attribute.shape not in ([], [1]):
        return None
    if type.kind == VARIABLE and type.is_text:
        fields = Fields(file, attribute.data)
        length, address, index = fields.uint(4), fields.address(), fields.uint(4)
        return from_global_heap(file, address, index)[:length] if length and address is not None else b""
    return attribute.data[: type.size] if type.kind in (STRING, OPAQUE) else None
