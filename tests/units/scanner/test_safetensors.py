"""safetensors: an honest header, and every way for one to lie.  `pytest tests/units/scanner/test_safetensors.py`"""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner.safetensors import scan
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import CountingSource, assert_bounded, edited, edits, made


def file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


def tensor(shape: list, begin: int, end: int, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_what_the_library_writes_is_clean_and_counted():
    found = scan(BytesSource(made("weights.safetensors")), "weights.safetensors")
    assert (found.verdict, found.format, found.framework) == ("clean", "safetensors", "huggingface")
    assert found.metadata == {"num_parameters": 19}
    assert [finding.message for finding in found.findings] == ["Its header says that it holds tensors of pytorch."]
    assert scan(BytesSource(made("many.safetensors")), "m").metadata == {"num_parameters": 200 * 64}


def test_white_space_behind_the_header_and_metadata_with_braces_are_honest():
    header = json.dumps({"__metadata__": {"notes": 'a "quoted" {brace}'}, "w": tensor([2], 0, 8)}) + "   "
    assert scan(BytesSource(file(header, bytes(8))), "w").verdict == "clean"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="95 header length 2^63"),
        pytest.param(struct.pack("<Q", 2**64 - 1) + b"{}", id="header length 2^64 - 1"),
        pytest.param(struct.pack("<Q", 100_000_001) + b"{}", id="97 header longer than the library takes"),
        pytest.param(file({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)), id="96 overlapping"),
        pytest.param(file({"a": tensor([2], 0, 8)}, bytes(4)), id="96 out of range"),
        pytest.param(file({"a": tensor([2], 0, 8), "b": tensor([2], 12, 20)}, bytes(20)), id="a hole"),
        pytest.param(file({"a": tensor([2], 4, 12)}, bytes(12)), id="a hole at the start"),
        pytest.param(file({"a": tensor([2], 0, 8)}, bytes(9)), id="trailing byte"),
        pytest.param(file({}, b"trailing"), id="nothing but data"),
        pytest.param(file({"a": tensor([2], 8, 0)}, bytes(8)), id="end before begin"),
        pytest.param(file({"a": tensor([-2], 0, 8)}, bytes(8)), id="negative shape"),
        pytest.param(file({"a": tensor([True, 2], 0, 8)}, bytes(8)), id="shape of a truth value"),
        pytest.param(file({"a": tensor([2.0], 0, 8)}, bytes(8)), id="shape of a fraction"),
        pytest.param(file({"a": tensor([2**62, 4], 0, 0)}), id="shape that overflows"),
        pytest.param(file({"a": tensor([3], 0, 8)}, bytes(8)), id="shape of another size"),
        pytest.param(file({"a": tensor([2], 0, 8, "PICKLE")}, bytes(8)), id="unknown type"),
        pytest.param(file({"a": tensor([2], 0, 8, None)}, bytes(8)), id="no type"),
        pytest.param(file({"a": {**tensor([2], 0, 8), "more": 1}}, bytes(8)), id="one key more"),
        pytest.param(file('{"a": [[1]]}'), id="a list for an entry"),
        pytest.param(file('{"__metadata__": {"a": 1}}'), id="metadata of numbers"),
        pytest.param(file('{"a":' * 100_000 + "1" + "}" * 100_000), id="97 depth 10^5"),
        pytest.param(file('{"a": {"shape": ' + "[" * 100_000 + "]" * 100_000 + "}}"), id="97 depth 10^5 inside"),
        pytest.param(file('{"a": {"dtype": "F32"'), id="cut JSON"),
        pytest.param(file('{"a": {}} {"b": {}}'), id="two headers"),
        pytest.param(b"\x80\x04cos\nsystem\n(S'id'\ntR.", id="82 a pickle"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_header_that_lies_is_suspicious(data: bytes):
    found = assert_bounded(scan, data, "model.safetensors")
    assert found.verdict == "suspicious"
    assert [finding.code for finding in found.findings] == ["malformed"]


def test_names_said_twice_are_suspicious():
    one = json.dumps(tensor([2], 0, 8))
    twice = file(f'{{"a": {one}, "a": {one}}}', bytes(8))
    inside = file('{"a": {"dtype": "F32", "shape": [2], "shape": [2], "data_offsets": [0, 8]}}', bytes(8))
    assert [scan(BytesSource(data), "m").verdict for data in (twice, inside)] == ["suspicious"] * 2


def test_a_header_as_long_as_the_library_takes_costs_memory_in_proportion():
    text = (
        "{" + ",".join(f'"{n:020d}": {{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(20_000)) + "}"
    )
    assert assert_bounded(scan, file(text), "m.safetensors").verdict == "clean"
    long = file('{"__metadata__": {"a": "' + "x" * 20_000_000 + '"}}')
    found = scan(BytesSource(long), "m")
    assert (found.verdict, found.findings[0].code) == ("unscanned", "too_much_data")


def test_of_a_large_file_only_the_header_is_read():
    class Large(CountingSource):
        def __init__(self, head: bytes, size: int) -> None:
            super().__init__(head)
            self.size = size

    head = file({"w": tensor([10**9], 0, 4 * 10**9)})
    source = Large(head, len(head) + 4 * 10**9)
    found = scan(source, "large.safetensors")
    assert (found.verdict, found.metadata) == ("clean", {"num_parameters": 10**9})
    assert source.bytes_read == len(head)


@settings(max_examples=300, deadline=None)
@given(changes=edits(), name=st.sampled_from(["weights.safetensors", "many.safetensors"]))
def test_no_change_of_bytes_is_too_much(changes: tuple, name: str):
    data = edited(made(name), changes)
    if assert_bounded(scan, data, name).verdict == "clean":
        assert len(data) == len(made(name))
