"""Checksums of a whole from those of its parts.  `.venv/bin/python -m pytest tests/local/test_checksums.py`"""

import base64
import random
import zlib

import pytest

from local.checksums import POLYNOMIALS, full_object


def written(value: int, bits: int = 32) -> str:
    return base64.b64encode(value.to_bytes(bits // 8, "big")).decode()


@pytest.mark.parametrize("sizes", [[0], [1], [1, 0, 1], [5, 300_000, 2**20 + 1, 7], [1000] * 50])
def test_the_crc32_of_the_parts_is_that_of_the_whole(sizes: list[int]) -> None:
    parts = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    found = full_object("CRC32", [(written(zlib.crc32(part)), len(part)) for part in parts])
    assert found == written(zlib.crc32(b"".join(parts)))


@pytest.mark.parametrize("algorithm", POLYNOMIALS)
def test_every_algorithm_agrees_with_the_definition(algorithm: str) -> None:
    bits = 64 if algorithm.endswith("64NVME") else 32
    ones = (1 << bits) - 1

    def of(content: bytes) -> str:
        crc = ones
        for byte in content:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ POLYNOMIALS[algorithm] if crc & 1 else crc >> 1
        return written(crc ^ ones, bits)

    check = {"CRC32": 0xCBF43926, "CRC32C": 0xE3069283, "CRC64NVME": 0xAE8B14860A799888}[algorithm]
    assert full_object(algorithm, [(of(b"1234"), 4), (of(b"56789"), 5)]) == written(check, bits)
