"""What a shared object says of itself: the machine it is for and the libraries it asks for (System V ABI, 64 bits)."""

import struct

AARCH64 = 183  # e_machine, <elf.h> EM_AARCH64
SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
SHT_DYNAMIC, DT_NEEDED = 6, 1


def machine(data: bytes) -> int | None:
    """Return a file's machine, None when it is no ELF file of 64 bits, lower byte first."""
    return int.from_bytes(data[18:20], "little") if data[:6] == b"\x7fELF\x02\x01" else None


def needed(data: bytes) -> set[str]:
    """Return the names of the libraries that the loader must find for this one."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [SECTION.unpack_from(data, table + size * index) for index in range(count)]
    names = set()
    for _, kind, _, _, start, length, link, *_ in sections:
        if kind == SHT_DYNAMIC:
            texts = sections[link][4]
            for tag, value in struct.iter_unpack("<QQ", data[start : start + length]):
                if tag == DT_NEEDED:
                    names.add(data[texts + value : data.index(b"\0", texts + value)].decode())
    return names
