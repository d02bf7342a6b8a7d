"""The checksum of a whole object from those of its parts, without reading them again, as S3 computes it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import cache

POLYNOMIALS = {  # reflected
    "CRC32": 0xEDB88320,
    "CRC32C": 0x82F63B78,
    "CRC64NVME": 0x9A6C9329AC4BC9B5,
}
BITS = {"CRC32": 32, "CRC32C": 32, "CRC64NVME": 64}


def full_object(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """The checksum, as S3 writes it, of parts whose checksums and sizes in bytes are these. Raises KeyError."""
    total = 0
    for written, size in parts:
        total = times(algorithm, shift(algorithm, size), total) ^ int.from_bytes(base64.b64decode(written), "big")
    return base64.b64encode(total.to_bytes(BITS[algorithm] // 8, "big")).decode()


@cache
def shift(algorithm: str, size: int) -> int:
    """What a checksum is multiplied with when `size` bytes follow: x to the power of their bits."""
    high = 1 << (BITS[algorithm] - 1)
    power, square, exponent = high, high >> 1, 8 * size
    while exponent:
        if exponent & 1:
            power = times(algorithm, power, square)
        square = times(algorithm, square, square)
        exponent >>= 1
    return power


def times(algorithm: str, a: int, b: int) -> int:
    """The product of two polynomials modulo the algorithm's, bits reflected."""
    product, bit = 0, 1 << (BITS[algorithm] - 1)
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ POLYNOMIALS[algorithm] if b & 1 else b >> 1
        bit >>= 1
    return product
