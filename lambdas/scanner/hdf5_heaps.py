"""Where HDF5 keeps what is of any length: B-trees of both versions, and local, global and fractal heaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lambdas.scanner.binary import Malformed
from lambdas.scanner.hdf5_file import Fields, File
from lambdas.scanner.limits import LimitExceeded

DEEPEST_HEAP = 8  # indirect blocks within each other
LONGEST_NAME = 4096  # of an object, a path or a file
MANAGED, HUGE, TINY = 0, 1, 2


@dataclass(frozen=True)
class Entry:
    """An entry of a group of the old kind: an object's address, or the path of a soft link."""

    name: str
    address: int | None
    soft: str | None


def entries(file: File, tree: int | None, heap: int | None) -> Iterator[Entry]:
    """Yield the entries of a group that is kept in a symbol table: B-tree, nodes of symbols, local heap of names."""
    names = local_heap(file, heap)
    nodes, seen = [tree], set()
    while nodes:
        address = nodes.pop()
        if address in seen:
            raise Malformed(f"The B-tree of a group has the node at address {address} twice.")
        seen.add(address)
        head = file.at(address, 8)
        if head.data[:4] == b"SNOD":
            head.skip(6)
            symbols = file.at(address, 8 + head.uint(2) * (2 * file.offset_size + 24))
            symbols.skip(8)
            while symbols.left():
                yield symbol(symbols, names)
            continue
        head.expect(b"TREE")
        type, _, count = head.uint(1), head.uint(1), head.uint(2)
        if type != 0:
            raise Malformed(f"The B-tree at address {address} is not of a group.")
        width = file.offset_size + file.length_size
        children = file.at(address, 8 + 2 * file.offset_size + count * width)
        children.skip(8 + 2 * file.offset_size)
        for _ in range(count):
            children.skip(file.length_size)
            nodes.append(children.address())


def symbol(fields: Fields, names: bytes) -> Entry:
    """Return the next entry of a node of symbols."""
    name = terminated(names, fields.uint(fields.file.offset_size))
    address, kind, _ = fields.address(), fields.uint(4), fields.skip(4)
    scratch = fields.take(16)
    if kind == 2:
        return Entry(name, None, terminated(names, int.from_bytes(scratch[:4], "little")))
    return Entry(name, address, None)


def local_heap(file: File, address: int | None) -> bytes:
    """Return the data of a local heap."""
    head = file.at(address, 8 + 2 * file.length_size + file.offset_size)
    head.expect(b"HEAP")
    head.skip(4)
    size, _, data = head.length(), head.length(), head.address()
    return file.at(data, size).data


def terminated(data: bytes, start: int) -> str:
    """Return the text that ends with a NUL; raises Malformed for one that is no name of anything."""
    end = data.find(b"\0", start, start + LONGEST_NAME)
    if end < 0:
        raise Malformed(f"A text at offset {start} of a heap does not end.")
    return data[start:end].decode(errors="replace")


def from_global_heap(file: File, address: int | None, index: int) -> bytes:
    """Return an object of a collection in the global heap."""
    head = file.at(address, 8 + file.length_size)
    head.expect(b"GCOL")
    head.skip(4)
    collection = file.at(address, head.length())
    collection.skip(8 + file.length_size)
    while collection.left() >= 8 + file.length_size:
        number, _, size = collection.uint(2), collection.skip(6), collection.length()
        if number == 0:
            break
        if number == index:
            return collection.take(size)
        collection.skip(min(-(-size // 8) * 8, collection.left()))
    raise Malformed(f"The heap at address {address} has no object {index}.")


def records(file: File, address: int | None) -> Iterator[Fields]:
    """Yield the records of a B-tree of version 2."""
    head = file.at(address, 22 + file.offset_size + file.length_size)
    head.expect(b"BTHD")
    head.skip(2)
    node_size, width, depth, _ = head.uint(4), head.uint(2), head.uint(2), head.skip(2)
    root, count = head.address(), head.uint(2)
    if root is None:
        return
    if not 10 + width < node_size <= 2**24 or not width or depth > 8:
        raise Malformed(f"The B-tree at address {address} has nodes of {node_size} bytes.")
    layout = NodeLayout(width, *pointer_sizes(node_size, width, depth, file.offset_size))
    nodes, seen = [(root, count, depth)], set()
    while nodes:
        node, count, depth = nodes.pop()
        if node in seen:
            raise Malformed(f"The B-tree at address {address} has the node at address {node} twice.")
        seen.add(node)
        yield from layout.read(file, node, count, depth, nodes)


def pointer_sizes(node_size: int, width: int, depth: int, address: int) -> tuple[int, list[int]]:
    """Return the bytes of a child's count of records, and per depth those of the count of all below it."""
    most = (node_size - 10) // width
    count_size, total, total_sizes = bytes_for(most), most, [0]
    for level in range(1, depth + 1):
        pointer = address + count_size + total_sizes[level - 1]
        here = max(0, node_size - 10 - pointer) // (width + pointer)
        total = (here + 1) * total + here
        total_sizes.append(bytes_for(total))
    return count_size, total_sizes


def bytes_for(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)


@dataclass(frozen=True)
class NodeLayout:
    """How the nodes of a B-tree of version 2 are laid out."""

    width: int
    count_size: int
    total_sizes: list[int]

    def read(self, file: File, node: int, count: int, depth: int, nodes: list) -> Iterator[Fields]:
        """Yield a node's records; note its children."""
        child = file.offset_size + self.count_size + (self.total_sizes[depth - 1] if depth > 1 else 0)
        body = file.at(node, 6 + count * self.width + (child * (count + 1) if depth else 0))
        body.expect(b"BTIN" if depth else b"BTLF")
        body.skip(2)
        for _ in range(count):
            yield Fields(file, body.take(self.width))
        for _ in range(count + 1 if depth else 0):
            address, below = body.address(), body.uint(self.count_size)
            body.skip(self.total_sizes[depth - 1] if depth > 1 else 0)
            if address is None:
                raise Malformed(f"The node at address {node} has a child without an address.")
            nodes.append((address, below, depth - 1))


class FractalHeap:
    """A heap of objects in blocks that double in size, row by row."""

    def __init__(self, file: File, address: int | None) -> None:
        self.file = file
        head = file.at(address, 22 + 12 * file.length_size + 3 * file.offset_size)
        head.expect(b"FRHP")
        head.skip(1)
        self.id_length, filters, _ = head.uint(2), head.uint(2), head.skip(1)
        self.largest, _ = head.uint(4), head.length()
        self.huge = head.address()
        head.skip(file.length_size + file.offset_size + 8 * file.length_size)
        self.width, self.first, self.largest_direct = head.uint(2), head.length(), head.length()
        self.bits, _, self.root, self.rows = head.uint(2), head.skip(2), head.address(), head.uint(2)
        if filters:
            raise LimitExceeded("filtered_heap", "A heap of links or attributes is compressed.")
        if not self.width or not self.first or self.largest_direct < self.first or self.bits > 64:
            raise Malformed(f"The heap at address {address} has blocks of impossible sizes.")
        self.offset_size = (self.bits + 7) // 8
        self.length_size = min((self.largest_direct.bit_length() + 6) // 8, bytes_for(self.largest))
        self.direct_rows = (self.largest_direct // self.first).bit_length() + 1

    def object(self, id: bytes) -> bytes:
        """Return the object of an identifier."""
        fields = Fields(self.file, id)
        kind = fields.uint(1) >> 4 & 3
        if kind == MANAGED:
            offset, length = fields.uint(self.offset_size), fields.uint(self.length_size)
            return self.managed(offset, length)
        if kind == TINY:
            return fields.take(min((id[0] & 15) + 1, fields.left()))
        if kind == HUGE:
            return self.huge_object(fields)
        raise Malformed("An object in a heap is of an unknown kind.")

    def managed(self, offset: int, length: int) -> bytes:
        """Return what lies at an offset of the heap, as if its blocks were one stretch."""
        block, rows, start = self.root, self.rows, 0
        for _ in range(DEEPEST_HEAP):
            if not rows:
                return self.file.at(None if block is None else block + offset - start, length).data
            block, rows, start = self.child(block, offset, start)
        raise Malformed(f"The blocks of a heap are nested more than {DEEPEST_HEAP} deep.")

    def child(self, block: int | None, offset: int, start: int) -> tuple[int | None, int, int]:
        """Return the block of an indirect block that an offset is in, its rows (0: direct) and where it starts."""
        row = 0
        size = self.first
        while offset >= start + self.width * size:
            start += self.width * size
            size = self.first << max(0, row)
            row += 1
            if row > 64:
                raise Malformed(f"The offset {offset} is beyond the blocks of a heap.")
        column = (offset - start) // size
        position = 5 + self.file.offset_size + self.offset_size + (row * self.width + column) * self.file.offset_size
        address = self.file.at(None if block is None else block + position, self.file.offset_size).address()
        rows = 0 if row < self.direct_rows else (size // self.first // self.width).bit_length()
        return address, rows, start + column * size

    def huge_object(self, fields: Fields) -> bytes:
        """Return an object too large for blocks, by its address or through the B-tree of such objects."""
        file = self.file
        if fields.left() >= file.offset_size + file.length_size:
            return file.at(fields.address(), fields.length()).data
        key = fields.uint(min(fields.left(), file.length_size))
        for record in records(file, self.huge):
            address, length, id = record.address(), record.length(), record.length()
            if id == key:
                return file.at(address, length).data
        raise Malformed(f"A heap has no object {key}.")
