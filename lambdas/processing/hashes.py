"""Hashes of Arrow arrays: 64 bits a row, equal for equal values however batches are cut, found by whole columns.

They tell values apart, no more: whoever wants two texts with one hash can make them, and then miscounts his own data.
"""
# pyright: reportAttributeAccessIssue=false

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc  # makes its functions when imported, out of the type checker's sight
import pyarrow.types as types

from lambdas.processing.sketch import Hashes

LONG = 256  # bytes; longer texts go through hashlib, one by one
PRIMES = tuple(np.uint64(prime) for prime in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
SALTS = {"boolean": np.uint64(0xA0761D6478BD642F), "integer": np.uint64(0xE7037ED1A0B428DB)}
EMPTY_LIST = np.uint64(0x8EBC6AF09C88C6E3)
MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)  # the first `count` bytes of a word


def hashes(array: pa.Array) -> Hashes:
    """Return a hash for each row, 0 where the value is null (or, of a float, NaN)."""
    array = plain(array)
    found = present_hashes(array)
    if array.null_count:
        found[is_null(array)] = 0
    return found


def plain(array: pa.Array) -> pa.Array:
    """Return the same values in a type that stands for itself and that Arrow can filter."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if types.is_binary_view(array.type) else array


def present_hashes(array: pa.Array) -> Hashes:
    """Return a hash for each row; those of nulls mean nothing."""
    kind = array.type
    if types.is_null(kind):
        return np.zeros(len(array), np.uint64)
    if types.is_boolean(kind):
        return mixed(values(array.cast(pa.uint8())).astype(np.uint64) ^ SALTS["boolean"])
    if types.is_integer(kind):
        return integer_hashes(values(array))
    if types.is_floating(kind):
        return float_hashes(values(array).astype(np.float64))
    if types.is_struct(kind):
        return struct_hashes(array)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind) or types.is_fixed_size_list(kind):
        return list_hashes(array)
    if types.is_temporal(kind) and not types.is_interval(kind):
        wide = array.type.bit_width == 64
        return integer_hashes(values(array.cast(pa.int64() if wide else pa.int32())))
    if types.is_binary(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_large_binary(kind):
        return text_hashes(array)
    return text_hashes(array.cast(pa.large_string()))  # decimals


def mixed(words: Hashes) -> Hashes:
    """Spread the bits of 64-bit words evenly, in place, one to one (the end of SplitMix64)."""
    words ^= words >> np.uint64(30)
    words *= PRIMES[1]
    words ^= words >> np.uint64(27)
    words *= PRIMES[2]
    words ^= words >> np.uint64(31)
    return words


def float_hashes(numbers: npt.NDArray[np.float64]) -> Hashes:
    """Return hashes of numbers, 0 for NaN. -0.0 is 0.0."""
    found = mixed((numbers + 0.0).view(np.uint64) + PRIMES[0])
    found[np.isnan(numbers)] = 0
    return found


def integer_hashes(numbers: npt.NDArray[np.integer]) -> Hashes:
    """Return hashes of whole numbers: those of the floats they equal, if there is one."""
    found = float_hashes(numbers.astype(np.float64))
    if numbers.dtype.itemsize == 8:
        signed = numbers.view(np.int64)
        beyond = (signed > 2**53) | (signed < -(2**53))  # floats skip some of these
        found[beyond] = mixed(numbers[beyond].view(np.uint64) ^ SALTS["integer"])
    return found


def struct_hashes(array: pa.StructArray) -> Hashes:
    """Return hashes of structs; a field that is null counts like one that is absent, the order of fields not at all."""
    found = np.full(len(array), EMPTY_LIST)
    for index, field in enumerate(array.type):
        name = int(text_hashes(pa.array([field.name]))[0]) | 1
        found += hashes(pc.struct_field(array, index)) * np.uint64(name)
    return mixed(found)


def list_hashes(array: pa.Array) -> Hashes:
    """Return hashes of lists, by their items in order."""
    items, lengths = flattened(array)
    starts = np.cumsum(lengths) - lengths
    places = np.arange(len(items), dtype=np.uint64) - np.repeat(starts, lengths).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed(hashes(items) + places * PRIMES[0]))])
    return mixed(sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64) * PRIMES[1] + EMPTY_LIST)


def flattened(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return the items of all lists in order, and how many each list has; a null has none."""
    if types.is_map(array.type):
        array = array.cast(pa.list_(pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])))
    if types.is_fixed_size_list(array.type):
        array = array.cast(pa.large_list(array.type.value_type))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return array.flatten(), lengths


def text_hashes(array: pa.Array) -> Hashes:
    """Return hashes of texts or bytes: eight bytes of all rows at a time."""
    starts, lengths, data = text_parts(array)
    found = lengths.astype(np.uint64) * PRIMES[0] + PRIMES[2]
    if not len(found):
        return found
    padded = np.zeros(len(data) + 8, np.uint8)
    padded[:-8] = data
    words = np.ndarray((len(padded) - 7,), np.uint64, padded.data, strides=(1,))  # one begins at every byte
    shortest, longest = int(lengths.min()), int(lengths.max())
    short = lengths if longest <= LONG else np.where(lengths > LONG, 0, lengths)
    for begin in range(0, min(longest, LONG), 8):
        rows = slice(None) if begin < shortest and short is lengths else np.flatnonzero(short > begin)
        word = words[starts[rows] + begin]
        if begin + 8 > shortest:
            word &= MASKS[np.minimum(short[rows] - begin, 8)]
        state = (found[rows] ^ word) * PRIMES[1]
        state ^= state >> np.uint64(29)
        found[rows] = state
    for row in np.flatnonzero(lengths > LONG) if longest > LONG else ():
        text = data[starts[row] : starts[row] + lengths[row]].data
        found[row] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return mixed(found)


def text_parts(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return where each text starts in the bytes, its length in bytes, and the bytes, none of them copied."""
    if not len(array):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    large = types.is_large_string(array.type) or types.is_large_binary(array.type)
    _, offset_buffer, data = array.buffers()
    assert offset_buffer is not None
    offsets = np.frombuffer(offset_buffer, np.int64 if large else np.int32)[
        array.offset : array.offset + len(array) + 1
    ]
    used = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.empty(0, np.uint8)
    starts = offsets.astype(np.int64) - int(offsets[0])
    return starts[:-1], starts[1:] - starts[:-1], used


def values(array: pa.Array) -> np.ndarray:
    """Return the values of an array of fixed width, anything where it is null."""
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    if types.is_floating(array.type):
        return array.to_numpy(zero_copy_only=False)
    return pc.fill_null(array, 0).to_numpy(zero_copy_only=False)


def is_null(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which rows have no value."""
    return array.is_null().to_numpy(zero_copy_only=False)
