"""ONNX: external data, foreign operators, graphs that are none.  `pytest tests/units/scanner/test_onnx.py`"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner import protobuf
from lambdas.scanner.onnx import is_plain, scan
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import CountingSource, assert_bounded, codes, edited, edits, made
from tests.units.scanner.protobufs import held, number, varint

NODE = held(1, held(1, "x"), held(2, "y"), held(4, "Relu"))


def model(*graph: bytes) -> bytes:
    return number(1, 9) + held(7, *graph)


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("product", {"input_shape": [-1, 3], "output_shape": [-1, 3], "num_parameters": 9}),
        ("function", {"input_shape": [-1, 3], "output_shape": [-1, 3], "num_parameters": 9}),
        ("external_sibling", {"input_shape": [-1, 3], "output_shape": [-1, 3], "num_parameters": 9}),
        ("logistic", {"input_shape": [-1, 4], "output_shape": [-1]}),
        ("forest", {"input_shape": [-1, 4], "output_shape": [-1]}),
    ],
)
def test_what_the_libraries_write_is_clean(name: str, metadata: dict):
    found = scan(BytesSource(made(f"{name}.onnx")), f"{name}.onnx")
    assert (found.verdict, found.format, found.framework) == ("clean", "onnx", "onnx")
    assert found.metadata == metadata


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param("parent", "../../etc/passwd", id="98"),
        ("absolute", "/etc/passwd"),
        ("url", "https://example.com/w"),
        ("windows", "..\\..\\secrets"),
        ("folder", "weights/../../x"),
        ("memory", "*/_ORT_MEM_ADDR_/*"),
    ],
)
def test_weights_outside_the_models_folder_are_malicious(name: str, target: str):
    found = scan(BytesSource(made(f"external_{name}.onnx")), "m.onnx")
    assert (found.verdict, codes(found)) == ("malicious", {"external_data"})
    assert target in found.findings[0].message
    assert "w" in found.findings[0].message


@pytest.mark.parametrize("padding", ["a" * 5000, "ä" * 200 + "a" * 200, "𝔞" * 2000])
def test_a_location_is_not_plain_because_its_end_is_far(padding: str):
    location = held(13, held(1, "location"), held(2, padding + "/../../etc/passwd"))
    assert scan(BytesSource(model(NODE, held(5, location))), "m.onnx").verdict == "malicious"


def test_a_location_is_plain_only_as_a_name():
    assert [
        name for name in ("w.bin", "weights", "a b.data", "..", ".", "", "c:w", "a/b", "a\\b", "a\0") if is_plain(name)
    ] == [
        "w.bin",
        "weights",
        "a b.data",
    ]


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("custom", "custom_operator", "Shell"),
        ("custom_in_branch", "custom_operator", "Own"),
        ("self_reading", "cyclic_graph", "y"),
        pytest.param("cyclic", "cyclic_graph", "z", id="99 cyclic graph"),
        ("duplicate", "duplicate_name", "y"),
    ],
)
def test_what_no_runtime_has_of_its_own_is_suspicious(name: str, code: str, word: str):
    found = scan(BytesSource(made(f"{name}.onnx")), "m.onnx")
    assert (found.verdict, codes(found)) == ("suspicious", {code})
    assert word in found.findings[0].message


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda tensor: model(NODE, held(5, tensor)), id="initializer"),
        pytest.param(lambda tensor: model(held(1, held(5, held(5, tensor)))), id="attribute"),
        pytest.param(lambda tensor: model(held(1, held(5, held(10, tensor)))), id="list in an attribute"),
        pytest.param(lambda tensor: model(held(15, held(1, tensor))), id="sparse"),
        pytest.param(lambda tensor: model(held(1, held(5, held(22, held(2, tensor))))), id="sparse in an attribute"),
        pytest.param(lambda tensor: model(held(1, held(5, held(6, held(5, tensor))))), id="graph in an attribute"),
        pytest.param(lambda tensor: model(held(1, held(5, held(11, held(5, tensor))))), id="graphs in an attribute"),
        pytest.param(lambda tensor: model(NODE) + held(20, held(2, held(5, tensor))), id="training"),
        pytest.param(lambda tensor: model(NODE) + held(25, held(7, held(5, held(5, tensor)))), id="function"),
        pytest.param(lambda tensor: model(NODE) + model(held(5, tensor)), id="second graph"),
    ],
)
def test_external_data_is_found_wherever_a_tensor_can_be(place):
    location = held(13, held(1, "location"), held(2, "/etc/shadow"))
    assert codes(scan(BytesSource(place(location)), "m.onnx")) == {"external_data"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(number(1, 9) + varint(7 << 3 | 2) + varint(2**31 - 1) + NODE, id="99 length of 2 GB"),
        pytest.param(number(1, 9) + varint(7 << 3 | 2) + b"\xff" * 20, id="99 number without end"),
        pytest.param(model(varint(1 << 3 | 2) + varint(2**40)), id="length beyond its message"),
        pytest.param(number(1, 9) + held(2, "producer"), id="no graph"),
        pytest.param(model(b"\x0b"), id="group"),
        pytest.param(model(held(5, number(1, 2**64 - 1), number(2, 1))), id="negative shape"),
        pytest.param(b"\x08", id="cut"),
        pytest.param(b"", id="empty"),
    ],
)
def test_bytes_that_are_no_model_are_suspicious(data: bytes):
    found = assert_bounded(scan, data, "m.onnx")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


def test_graphs_within_graphs_end_somewhere():
    inner = NODE
    for _ in range(200):
        inner = held(1, held(5, held(6, inner)))
    found = assert_bounded(scan, model(inner), "m.onnx")
    assert (found.verdict, found.findings[0].code) == ("unscanned", "too_deep")


def test_a_tensor_of_another_size_than_its_shape_is_suspicious():
    tensor = held(5, number(1, 1000), number(1, 1000), number(2, 1), held(8, "w"), held(9, bytes(16)))
    assert codes(scan(BytesSource(model(NODE, tensor)), "m.onnx")) == {"tensor_size"}


def test_weights_are_stepped_over():
    tensor = held(5, number(1, 10**7), number(2, 1), held(8, "w"), held(9, bytes(4 * 10**7)))
    source = CountingSource(model(NODE, tensor))
    found = scan(source, "m.onnx")
    assert (found.verdict, found.metadata) == ("clean", {"num_parameters": 10**7})
    assert source.bytes_read < 600_000


def test_numbers_of_an_attribute_are_passed_over_in_bulk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 1000)  # of fields looked at one by one
    attribute = held(5, held(1, "nodes_values"), b"\x3d\0\0\0\0" * 500_000, b"\x40\xff\x01" * 500_000)
    assert scan(BytesSource(model(held(1, held(4, "TreeEnsembleRegressor"), attribute))), "m").verdict == "clean"


def test_findings_have_an_end():
    nodes = b"".join(held(1, held(4, f"Op{n}"), held(7, f"domain{n}")) for n in range(5000))
    assert len(assert_bounded(scan, model(nodes), "m.onnx").findings) <= 50


@settings(max_examples=300, deadline=None)
@given(changes=edits(), name=st.sampled_from(["product", "logistic", "forest", "custom_in_branch", "function"]))
def test_no_change_of_bytes_is_too_much(changes: tuple, name: str):
    assert_bounded(scan, edited(made(f"{name}.onnx"), changes), "m.onnx")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_no_bytes_are_too_much(data: bytes):
    assert_bounded(scan, model(data), "m.onnx")
