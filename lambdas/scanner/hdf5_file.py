"""An HDF5 file as addresses and object headers: superblock, pages that are kept, messages with their continuations."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from lambdas.scanner.binary import Malformed, exactly
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.source import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
STARTS = (0, *(512 << power for power in range(12)))  # where a superblock may be, behind a user block
PAGE = 64 * 1024
PAGES_KEPT = 128
MOST_PAGES = 10_000  # read anew
MOST_BYTES = 256 * 1024 * 1024  # of metadata, looked at
MOST_READS = 2_000_000
MOST_MESSAGES = 1_000_000
CONTINUATION = 0x10
SHARED = 2  # flag of a message that is kept elsewhere


class Fields:
    """The fields of a structure, taken one after another; raises Malformed at its end."""

    def __init__(self, file: File, data: bytes, position: int = 0) -> None:
        self.file = file
        self.data = data
        self.position = position

    def take(self, length: int) -> bytes:
        taken = self.data[self.position : self.position + length]
        if len(taken) < length:
            raise Malformed(f"A structure of {len(self.data)} bytes ends within a field.")
        self.position += length
        return taken

    def uint(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def address(self) -> int | None:
        """Return an address, None where there is none."""
        value = self.uint(self.file.offset_size)
        return None if value == (1 << 8 * self.file.offset_size) - 1 else value

    def length(self) -> int:
        return self.uint(self.file.length_size)

    def skip(self, length: int) -> None:
        self.take(length)

    def expect(self, signature: bytes) -> None:
        """Step over a signature; raises Malformed when it is another."""
        if self.take(len(signature)) != signature:
            raise Malformed(f"A structure is not marked {signature.decode()} as it should be.")

    def left(self) -> int:
        return len(self.data) - self.position


@dataclass(frozen=True)
class Message:
    """A message of an object header: one property of the object."""

    type: int
    flags: int
    body: bytes


class File:
    """An HDF5 file: what is at an address, and what it says of an object."""

    offset_size = 8
    length_size = 8

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._pages_left = MOST_PAGES
        self._bytes_left = MOST_BYTES
        self._reads_left = MOST_READS
        self._messages_left = MOST_MESSAGES
        self._base = 0
        self.size = source.size
        self.root = self._superblock()

    def at(self, address: int | None, length: int) -> Fields:
        """Return the structure at an address; raises Malformed, LimitExceeded."""
        if address is None:
            raise Malformed("An address that is needed is not defined.")
        self._bytes_left -= length
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise LimitExceeded("too_much_data", f"Its structure takes more than {MOST_BYTES >> 20} MiB.")
        return Fields(self, self._read(self._base + address, length))

    def messages(self, address: int) -> Iterator[Message]:
        """Yield the messages of the object header at an address, without continuations."""
        first = self.at(address, min(16, self.size - self._base - address))
        if first.data[:4] == b"OHDR":
            yield from self._messages_v2(address)
            return
        version, _ = first.uint(1), first.skip(7)
        size = first.uint(4)
        if version != 1:
            raise Malformed(f"There is no object header at address {address}.")
        chunks, seen = deque([(address + 16, size)]), set()
        while chunks:
            chunk = self._once(chunks.popleft(), seen)
            while chunk.left() >= 8:
                type, size, flags, _ = chunk.uint(2), chunk.uint(2), chunk.uint(1), chunk.skip(3)
                yield from self._followed(Message(type, flags, chunk.take(size)), chunks)

    def _messages_v2(self, address: int) -> Iterator[Message]:
        head = self.at(address, min(38, self.size - self._base - address))
        head.expect(b"OHDR")
        _, flags = head.uint(1), head.uint(1)
        head.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
        size = head.uint(1 << (flags & 3))
        chunks, seen = deque([(address + head.position, size)]), set()
        ordered = 2 if flags & 4 else 0
        while chunks:
            first = not seen
            chunk = self._once(chunks.popleft(), seen)
            if not first:
                chunk.expect(b"OCHK")
            end = len(chunk.data) - (0 if first else 4)  # a continuation's length counts its checksum
            while end - chunk.position >= 4 + ordered:
                type, size, flags, _ = chunk.uint(1), chunk.uint(2), chunk.uint(1), chunk.skip(ordered)
                yield from self._followed(Message(type, flags, chunk.take(size)), chunks)

    def _once(self, chunk: tuple[int, int], seen: set[int]) -> Fields:
        if chunk[0] in seen:
            raise Malformed(f"The object header at address {chunk[0]} continues in itself.")
        seen.add(chunk[0])
        return self.at(*chunk)

    def _followed(self, message: Message, chunks: deque[tuple[int, int]]) -> Iterator[Message]:
        self._messages_left -= 1
        if self._messages_left < 0:
            raise LimitExceeded("too_many_messages", f"Its objects have more than {MOST_MESSAGES} messages.")
        if message.type != CONTINUATION:
            yield message
            return
        fields = Fields(self, message.body)
        address, length = fields.address(), fields.length()
        if address is not None:
            chunks.append((address, length))

    def resolved(self, type: int, flags: int, body: bytes) -> bytes | None:
        """Return a message's body, also of one that other objects share; None where that is not supported."""
        if not flags & SHARED:
            return body
        fields = Fields(self, body)
        version, kind = fields.uint(1), fields.uint(1)
        if version == 3 and kind == 1:
            return None
        fields.skip(6 if version == 1 else 0)
        address = fields.address()
        if address is None:
            return None
        found = (m.body for m in self.messages(address) if m.type == type and not m.flags & SHARED)
        return next(found, None)

    def _superblock(self) -> int:
        """Read the superblock, and return the address of the root group."""
        start = next((s for s in STARTS if self._source.read(s, 8) == SIGNATURE), None)
        if start is None:
            raise Malformed("There is no superblock of HDF5 in it.")
        fields = Fields(self, self._read(start, min(128, self.size - start)), 8)
        version = fields.uint(1)
        if version > 3:
            raise Malformed(f"Its superblock is of version {version}, which is not known.")
        fields.skip(0 if version >= 2 else 4)
        self.offset_size, self.length_size = fields.uint(1), fields.uint(1)
        if self.offset_size not in (2, 4, 8) or self.length_size not in (2, 4, 8):
            raise Malformed("Its superblock gives addresses or lengths a size that they cannot have.")
        if version < 2:
            fields.skip(9 + (4 if version == 1 else 0))
        else:
            fields.skip(1)
        self._base = fields.address() or 0
        # v0, v1: free space, end of file, driver, and of the root group's entry its name; v2, v3: extension, end.
        fields.skip(self.offset_size * (4 if version < 2 else 2))
        root = fields.address()
        if root is None:
            raise Malformed("Its superblock names no root group.")
        return root

    def _read(self, offset: int, length: int) -> bytes:
        if offset // PAGE != (offset + length - 1) // PAGE or length <= 0:
            self._count_page()
            return exactly(self._source, offset, length)
        number = offset // PAGE
        page = self._pages.get(number)
        if page is None:
            page = self._page(number)
        else:
            self._pages.move_to_end(number)
        piece = page[offset - number * PAGE : offset - number * PAGE + length]
        if len(piece) < length:
            raise Malformed(f"{length} bytes at offset {offset} reach beyond the end of the file.")
        return piece

    def _page(self, number: int) -> bytes:
        self._count_page()
        page = self._pages[number] = self._source.read(number * PAGE, PAGE)
        if len(self._pages) > PAGES_KEPT:
            self._pages.popitem(last=False)
        return page

    def _count_page(self) -> None:
        self._pages_left -= 1
        if self._pages_left < 0:
            raise LimitExceeded("too_much_data", "Its structure is spread over too many places.")
