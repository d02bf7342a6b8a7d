"""HDF5: every layout of the format, links that lead out, shapes that lie.  `pytest tests/units/scanner/test_hdf5.py`"""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner.hdf5 import has_cycle, scan
from lambdas.scanner.hdf5_file import File
from lambdas.scanner.hdf5_messages import ATTRIBUTE, ATTRIBUTE_INFO, LINK, LINK_INFO, attribute, value
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import CountingSource, assert_bounded, codes, edited, edits, made

LAYOUTS = ("layout_earliest", "layout_latest", "layout_v108")
# The description of a filter: its identifier, the length of its name, that it is optional, one value, its name.
DEFLATE = struct.pack("<HHHH", 1, 8, 1, 1) + b"deflate\0"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_to_its_end(name: str):
    found = scan(BytesSource(made(f"{name}.h5")), "data.h5")
    assert (found.verdict, found.format) == ("clean", "hdf5")
    # 5 x 6, 10 x 10 packed, 300 scalars in a group of many, 3 of a named type
    assert found.metadata == {"num_parameters": 30 + 100 + 300 + 3}


@pytest.mark.parametrize("name", LAYOUTS)
def test_attributes_are_read_from_headers_and_heaps(name: str):
    file = File(BytesSource(made(f"{name}.h5")))
    read = {}
    for message in file.messages(file.root):
        if message.type == ATTRIBUTE:
            told = attribute(file, message.body)
            read[told.name] = value(file, told)
    assert read == {"fixed": b"hello", "variable": "wörld".encode(), "number": None, "names": None}


def test_the_test_files_have_links_and_attributes_of_both_kinds():
    def types(name: str) -> set[int]:
        file = File(BytesSource(made(name)))
        return {message.type for message in file.messages(file.root)}

    assert LINK in types("layout_latest.h5")
    assert LINK_INFO in types("external_link_dense.h5") and LINK not in types("external_link_dense.h5")
    assert ATTRIBUTE_INFO in types("config_dense.h5") and ATTRIBUTE not in types("config_dense.h5")


@pytest.mark.parametrize("name", ["config_dense", "config_huge"])
def test_a_configuration_is_found_where_many_attributes_are(name: str):
    found = scan(BytesSource(made(f"{name}.h5")), "model.h5")
    assert (found.verdict, found.framework, codes(found)) == ("malicious", "keras", {"lambda_layer"})


def test_a_user_block_before_the_file_is_passed():
    assert scan(BytesSource(made("user_block.h5")), "data.h5").metadata == {"num_parameters": 3}


@pytest.mark.parametrize(
    ("name", "verdict", "code", "word"),
    [
        pytest.param("external_link", "malicious", "external_link", "/etc/passwd", id="102 external link"),
        ("external_link_dense", "malicious", "external_link", "/etc/passwd"),
        ("external_file", "malicious", "external_file", "/etc/passwd"),
        ("virtual", "malicious", "virtual_dataset", "/etc/other.h5"),
        pytest.param("soft_loop", "suspicious", "soft_link_loop", "/a", id="102 soft link loop"),
        ("hard_loop", "suspicious", "hard_link_loop", "itself"),
        pytest.param("shape_bomb", "suspicious", "shape_bomb", "1000000", id="101 shape bomb"),
        ("shape_bomb_packed", "suspicious", "shape_bomb", "1000000"),
        ("pickle", "suspicious", "pickle", "settings"),
    ],
)
def test_what_no_model_needs(name: str, verdict: str, code: str, word: str):
    found = assert_bounded(scan, made(f"{name}.h5"), "model.h5")
    assert (found.verdict, codes(found)) == (verdict, {code})
    assert word in found.findings[0].message


def test_a_filter_that_needs_a_plugin_is_suspicious():
    data = made("layout_earliest.h5")
    assert data.count(DEFLATE) == 1
    found = scan(BytesSource(data.replace(DEFLATE, struct.pack("<HHHH", 32001, 8, 1, 1) + b"blosc\0\0\0")), "m.h5")
    assert (found.verdict, codes(found)) == ("suspicious", {"filter"})
    assert "32001" in found.findings[0].message and "blosc" in found.findings[0].message


def test_a_link_of_a_users_own_kind_is_suspicious():
    data = made("external_link.h5")
    link = b"\x01\x08\x40\x01x"  # version 1, kind given, kind 64, a name of one letter
    assert data.count(link) == 1
    found = scan(BytesSource(data.replace(link, b"\x01\x08\x41\x01x")), "m.h5")
    assert codes(found) == {"user_defined_link"}


def test_a_b_tree_that_leads_to_itself_ends():
    data = bytearray(made("layout_earliest.h5"))
    at = data.index(b"TREE")
    _, used = struct.unpack_from("<BH", data, at + 5)
    for child in range(used):
        struct.pack_into("<Q", data, at + 24 + 8 + 16 * child, at)
    assert assert_bounded(scan, bytes(data), "m.h5").verdict == "suspicious"


def test_an_object_header_that_continues_in_itself_ends():
    data = bytearray(made("sequential.h5"))
    changed = False
    at = -1
    while (at := data.find(struct.pack("<HH", 0x10, 16), at + 1)) >= 0:
        target, length = struct.unpack_from("<QQ", data, at + 8)
        if target + length <= len(data):
            struct.pack_into("<QQ", data, at + 8, at, 24)
            changed = True
    assert changed
    assert assert_bounded(scan, bytes(data), "m.h5").verdict == "suspicious"


@pytest.mark.parametrize("keep", [0, 8, 20, 96, 500, 800, 2000, 5000])
def test_a_cut_file_is_suspicious(keep: int):
    found = assert_bounded(scan, made("sequential.h5")[:keep], "m.h5")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


def test_values_are_not_read():
    source = CountingSource(made("sequential.h5") + bytes(50_000_000))  # what no object is at
    assert scan(source, "m.h5").verdict == "clean"
    assert source.bytes_read < 300_000


def test_cycles():
    assert not has_cycle({1: [2, 3], 2: [3], 3: []})
    assert has_cycle({1: [2], 2: [3], 3: [2]})
    assert has_cycle({1: [1]})


@settings(max_examples=150, deadline=None)
@given(
    changes=edits(), name=st.sampled_from([*LAYOUTS, "sequential", "config_dense", "external_link_dense", "virtual"])
)
def test_no_change_of_bytes_is_too_much(changes: tuple, name: str):
    assert_bounded(scan, edited(made(f"{name}.h5"), changes), "m.h5")
