"""Torch's own files: the old sequence of pickles and storages, and what the members of its archives mean."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lambdas.scanner import pickles
from lambdas.scanner.limits import Walk
from lambdas.scanner.pickle_trace import Trace
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MAGIC = 0x1950A86A20F9469CFC6C
HEADERS = 3  # magic number, protocol, system
ELEMENT_SIZES = {
    "BoolStorage": 1,
    "ByteStorage": 1,
    "CharStorage": 1,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "UntypedStorage": 1,
    "BFloat16Storage": 2,
    "HalfStorage": 2,
    "ShortStorage": 2,
    "FloatStorage": 4,
    "IntStorage": 4,
    "QInt32Storage": 4,
    "ComplexFloatStorage": 8,
    "DoubleStorage": 8,
    "LongStorage": 8,
    "ComplexDoubleStorage": 16,
}
STORAGE = re.compile(r"(^|/)data/\d+$")
DATA = re.compile(r"(^|/)data\.pkl$")
CODE = re.compile(r"(^|/)(code/|constants\.pkl$)")


def is_archive(names: Iterable[str]) -> bool:
    """Tell whether an archive of these members is one that torch.load takes."""
    return any(DATA.search(name) for name in names)


def is_storage(name: str) -> bool:
    """Tell whether a member holds a tensor's numbers as they are; torch never takes it for anything else."""
    return STORAGE.search(name) is not None


def judge_code(found: Examination, names: Iterable[str]) -> None:
    """Say that a TorchScript archive brings a program: it cannot import, but it runs, and may read and write files."""
    code = next((name for name in names if CODE.search(name) and not name.endswith("constants.pkl")), None)
    if code is not None:
        found.suspicious("torchscript_code", f"It is a TorchScript program: running the model runs {code}.")


def is_sequence(source: Source, walk: Walk) -> bool:
    """Tell whether a pickle is the first of the sequence that torch.save wrote before it wrote archives."""
    first = pickles.follow(source, 0, walk)
    return type(first.result) is int and first.result == MAGIC


def scan_sequence(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine magic number, protocol, system, object and keys, five pickles; the storages' bytes follow."""
    found = Examination("torch", "pytorch")
    start = 0
    storages: Trace | None = None
    for number in range(HEADERS + 2):
        followed = pickles.follow(source, start, walk)
        pickles.judge(found, followed, source, walk)
        if followed.broken or followed.limit:
            return found
        if number == HEADERS:
            storages = followed.trace
        start = followed.end
    size = storages_size(storages) if storages else None
    if size != source.size - start:
        stray = pickles.follow(source, start, walk)
        pickles.judge_stray(found, stray, stray)
        found.suspicious("trailing_data", f"What follows byte {start} is not the tensors' numbers alone.")
    return found


def storages_size(trace: Trace) -> int | None:
    """Return how many bytes the storages of an object take in the file, each behind its length."""
    sizes = [(ELEMENT_SIZES.get(storage.kind.name), storage.numel) for storage in trace.storages.values()]
    return sum(8 + size * numel for size, numel in sizes if size) if all(size for size, _ in sizes) else None
