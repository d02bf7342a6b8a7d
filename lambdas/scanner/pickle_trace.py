"""What a pickle would import, call and set: the part of its machine that knows names.

It keeps to the real unpickler's rules (protocols, Python 2's names), so that what it sees imported is what loading
would import.
"""

from __future__ import annotations

import _compat_pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.pickle_reader import Blob, BrokenPickle, Reader
from lambdas.scanner.pickle_state import State
from lambdas.scanner.pickle_values import (
    OPAQUE,
    Global,
    Items,
    Keys,
    Made,
    Storage,
    counts,
    dtype_of,
    dtype_with,
)

MOST_NAMES = 10_000
ARRAY_WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
TENSORS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}


@dataclass
class Trace:
    """What loading would do, in the order of first times; offsets are those of the opcodes."""

    names: dict[Global, int] = field(default_factory=dict)
    called: set[Global] = field(default_factory=set)
    computed_names: list[int] = field(default_factory=list)
    computed_calls: list[int] = field(default_factory=list)
    patched: dict[Global, int] = field(default_factory=dict)  # names whose attributes are set
    extensions: list[int] = field(default_factory=list)
    inner_torch: list[Blob | None] = field(default_factory=list)  # given to torch.storage._load_from_bytes
    tensors: set[tuple[Any, ...]] = field(default_factory=set)
    storages: dict[str, Storage] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)  # the last object's, that is the outermost one's
    constants: dict[str, str] = field(default_factory=dict)  # strings under the few keys that say a version
    largest_tuple: int = 0  # values that walking through it meets
    wrapped_arrays: int = 0
    first_array: int | None = None


class Tracer(State):
    """What opcodes do to names. `arrays` passes over joblib's array bytes, as joblib's own unpickler does."""

    def __init__(self, reader: Reader, trace: Trace, look: Callable[[], None], arrays: bool = False) -> None:
        super().__init__()
        self.reader, self.trace, self.look, self.arrays = reader, trace, look, arrays
        self.protocol = 0
        self.frame_end = 0
        self.at = 0  # offset of the opcode under way

    def nested(self) -> Tracer:
        """Follow another pickle that begins here, with a stack and a memo of its own, to its end."""
        raise NotImplementedError

    def find(self, module: Any, name: Any) -> None:
        """Push what loading would import, under the name that Python 3 has for it."""
        if not isinstance(module, str) or not isinstance(name, str):
            self.trace.computed_names.append(self.at)
            self.push(OPAQUE)
            return
        if self.protocol < 3:
            module, name = python3_name(module, name)
        found = Global(module, name)
        if found not in self.trace.names and len(self.trace.names) >= MOST_NAMES:
            raise LimitExceeded("pickle_too_large", "The pickle imports more names than the scanner follows.")
        self.trace.names.setdefault(found, self.at)
        self.push(found)

    def call(self, callee: Any, arguments: Any) -> None:
        """Push what a call gives."""
        if not isinstance(callee, Global):
            self.trace.computed_calls.append(self.at)
            self.push(OPAQUE)
            return
        self.trace.called.add(callee)
        first = arguments.values[0] if isinstance(arguments, Items) and arguments.values else None
        made = Made(first if callee.module == "copyreg" and isinstance(first, Global) else callee)
        if callee == Global("numpy", "dtype"):
            made.dtype = dtype_of(arguments)
        elif ARRAY_WRAPPER in (callee, first):
            made.wrapper = {}
        elif callee == Global("torch.storage", "_load_from_bytes"):
            self.trace.inner_torch.append(first if isinstance(first, Blob) else None)
        elif callee.module == "torch._utils" and callee.name in TENSORS:
            self.tensor(arguments)
        self.push(made)

    def tensor(self, arguments: Any) -> None:
        """Note the shape of a tensor; one that two names share is one."""
        if isinstance(arguments, Items) and len(arguments.values) > 2 and isinstance(arguments.values[0], Storage):
            storage, offset, shape = arguments.values[0], arguments.values[1], counts(arguments.values[2])
            if shape is not None and type(offset) is int and len(self.trace.tensors) < MOST_NAMES * 10:
                self.trace.tensors.add((storage.key, offset, shape))

    def build(self) -> None:
        """Give an object its state: its attributes, or whatever its class makes of it."""
        state = self.pop()
        target = self.top()
        if isinstance(target, Global):
            self.trace.patched.setdefault(target, self.at)
        elif isinstance(target, Made):
            if target.by == Global("numpy", "dtype"):
                target.dtype = dtype_with(target.dtype, state)
            if target.wrapper is not None:
                self.wrapped_array(target, state)
        self.trace.state = state.values if isinstance(state, Keys) else {}

    def wrapped_array(self, target: Made, state: Any) -> None:
        """Pass over the array that joblib keeps behind its wrapper; nothing of it is ever kept."""
        self.trace.wrapped_arrays += 1
        if self.trace.first_array is None:
            self.trace.first_array = self.reader.tell()
        if not self.arrays or target.wrapper is None:
            return
        if not isinstance(state, Keys):
            raise BrokenPickle("an array's description is not one that joblib writes")
        target.wrapper |= state.values
        shape, made = counts(target.wrapper.get("shape")), target.wrapper.get("dtype")
        dtype = made.dtype if isinstance(made, Made) else None
        alignment = target.wrapper.get("numpy_array_alignment_bytes")
        if shape is None or dtype is None or not (alignment is None or type(alignment) is int):
            raise BrokenPickle("an array's size cannot be told from its description")
        if self.reader.tell() < self.frame_end:
            raise BrokenPickle("an array stands inside a frame, where joblib would not find it")
        if dtype.objects:
            inner = self.nested()
            if self.reader.tell() < inner.frame_end:
                raise BrokenPickle("the pickle of an array of objects ends before its frame")
        else:
            self.reader.skip(self.reader.byte() if alignment is not None else 0)
            size = dtype.itemsize
            for count in shape:
                size *= count
            self.reader.skip(size)
        self.stack[-1] = OPAQUE

    def persistent(self, value: Any) -> None:
        """Push what torch has for ('storage', kind, key, device, count), or for ('module', class, its source)."""
        values = value.values if isinstance(value, Items) else ()
        if len(values) >= 2 and values[0] == "module" and isinstance(values[1], Global):
            self.push(values[1])
            return
        if len(values) >= 5 and values[0] == "storage" and isinstance(values[1], Global):
            kind, key, numel = values[1], values[2], values[4]
            if isinstance(key, str) and type(numel) is int and len(self.trace.storages) < MOST_NAMES * 10:
                storage = self.trace.storages.setdefault(key, Storage(kind, key, numel))
                self.push(storage)
                return
        self.push(OPAQUE)

    def set_items(self, target: Any, pairs: list[Any]) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=False):
            if isinstance(key, str) and key in ("_sklearn_version", "python_version") and isinstance(value, str):
                self.trace.constants.setdefault(key, value)
            if isinstance(target, Keys):
                target.set(key, value)


def python3_name(module: str, name: str) -> tuple[str, str]:
    """Return what Python 3 calls a name that protocols 0 to 2 write as Python 2 did."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name
