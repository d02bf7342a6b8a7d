"""TensorFlow's .pb files and checkpoints. What is in tensorflow_files is TensorFlow 2.21's own; what it does
not write is encoded here from the field numbers of its .proto files.  `pytest tests/units/scanner/test_savedmodel.py`
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner import checkpoints
from lambdas.scanner.savedmodel import scan
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import assert_bounded, codes, edited, edits, made
from tests.units.scanner.protobufs import held, number, varint


def node(operator: str, *more: bytes) -> bytes:
    return held(1, held(1, f"the_{operator}"), held(2, operator), *more)


def saved_model(*meta_graph: bytes) -> bytes:
    return number(1, 1) + held(2, *meta_graph)


def graph(*parts: bytes) -> bytes:
    return held(2, *parts)


def test_what_tensorflow_writes_is_clean():
    found = scan(BytesSource(made("honest.pb")), "saved_model.pb")
    assert (found.verdict, found.format, found.framework) == ("clean", "savedmodel", "tensorflow")
    assert found.metadata == {"input_shape": [-1, 4], "output_shape": [-1, 2]}
    assert scan(BytesSource(made("frozen.pb")), "frozen.pb").verdict == "clean"
    assert scan(BytesSource(made("fingerprint.pb")), "fingerprint.pb").verdict == "clean"


def test_what_reaches_beyond_the_graph_is_named():
    found = scan(BytesSource(made("hostile.pb")), "saved_model.pb")
    assert (found.verdict, codes(found)) == ("suspicious", {"python_function", "file_access"})
    said = " ".join(finding.message for finding in found.findings)
    assert all(name in said for name in ("EagerPyFunc", "WriteFile", "ReadFile"))


@pytest.mark.parametrize(
    ("operator", "code"),
    [
        ("PyFunc", "python_function"),
        ("PyFuncStateless", "python_function"),
        ("MatchingFiles", "file_access"),
        ("TFRecordDatasetV2", "file_access"),
        ("SaveSlices", "file_access"),
        ("RpcCall", "network_access"),
        ("SimpleMLInferenceOp", "custom_operator"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda node: (saved_model(graph(node)), "saved_model.pb"), id="graph"),
        pytest.param(
            lambda node: (saved_model(graph(held(2, held(1, held(3, node[2:]))))), "saved_model.pb"), id="function"
        ),
        pytest.param(lambda node: (node + held(4, number(1, 1)), "frozen.pb"), id="graph alone"),
        pytest.param(lambda node: (held(2, graph(node)), "saved_model.pb"), id="without a version"),
    ],
)
def test_each_operator_in_each_place(place, operator: str, code: str):
    found = scan(BytesSource(place(node(operator))[0]), place(node(operator))[1])
    assert (found.verdict, codes(found)) == ("suspicious", {code})
    assert operator in found.findings[0].message


def test_functions_of_the_graphs_own_are_no_custom_operators():
    library = held(2, held(1, held(1, held(1, "mine")), held(3, held(1, "a"), held(2, "Relu"))))
    assert scan(BytesSource(saved_model(graph(node("mine"), library))), "saved_model.pb").verdict == "clean"
    hidden = held(2, held(1, held(1, held(1, "PyFunc")), held(3, held(1, "a"), held(2, "Relu"))))
    assert codes(scan(BytesSource(saved_model(graph(node("PyFunc"), hidden))), "saved_model.pb")) == {"python_function"}


def test_unknown_fields_do_not_make_a_savedmodel_something_else():
    hostile = saved_model(graph(node("PyFunc")))
    onnx_too = hostile + held(7, held(1, held(1, "x"), held(2, "y"), held(4, "Relu")))
    assert codes(scan(BytesSource(onnx_too), "saved_model.pb")) == {"python_function"}
    fingerprint_too = hostile + number(2, 7) + number(3, 7) + number(4, 7)
    assert codes(scan(BytesSource(fingerprint_too), "saved_model.pb")) == {"python_function"}
    frozen_too = held(2, graph(node("PyFunc"))) + node("Const")
    assert scan(BytesSource(frozen_too), "saved_model.pb").verdict == "suspicious"


def test_onnx_by_another_name_is_onnx():
    found = scan(BytesSource(made("external_parent.onnx")), "model.pb")
    assert (found.format, found.verdict) == ("onnx", "malicious")


def test_assets_outside_their_folder_are_malicious():
    asset = held(6, held(2, "../../../etc/passwd"))
    found = scan(BytesSource(saved_model(graph(node("Const")), asset)), "saved_model.pb")
    assert (found.verdict, codes(found)) == ("malicious", {"asset_path"})
    honest = held(6, held(2, "vocabulary.txt"))
    assert scan(BytesSource(saved_model(graph(node("Const")), honest)), "saved_model.pb").verdict == "clean"


def test_keras_lambdas_in_metadata_are_malicious():
    config = '{"class_name": "Lambda", "config": {"name": "l", "function": ["4wEA", null, null]}}'
    objects = held(7, held(1, held(4, held(1, "_tf_keras_layer"), held(3, config))))
    found = scan(BytesSource(saved_model(graph(node("Const")), objects)), "saved_model.pb")
    assert codes(found) == {"lambda_layer"}
    metadata = held(1, number(2, 1), held(3, "root"), held(4, "_tf_keras_layer"), held(5, config))
    assert "lambda_layer" in codes(scan(BytesSource(metadata), "keras_metadata.pb"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(number(1, 1) + varint(2 << 3 | 2) + varint(2**31 - 1), id="length of 2 GB"),
        pytest.param(saved_model(varint(2 << 3 | 2) + varint(2**40)), id="length beyond its message"),
        pytest.param(saved_model(), id="no graph"),
        pytest.param(b"\x80\x04cos\nsystem\n.", id="a pickle"),
        pytest.param(b"", id="empty"),
    ],
)
def test_bytes_that_are_no_model_are_suspicious(data: bytes):
    found = assert_bounded(scan, data, "saved_model.pb")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


@settings(max_examples=300, deadline=None)
@given(changes=edits(), name=st.sampled_from(["honest.pb", "hostile.pb", "frozen.pb"]))
def test_no_change_of_bytes_is_too_much(changes: tuple, name: str):
    assert_bounded(scan, edited(made(name), changes), "saved_model.pb")


def test_a_checkpoint_is_clean_and_an_index_must_be_one():
    index, data = made("variables.index"), made("variables.data-00000-of-00001")
    assert checkpoints.scan(BytesSource(index), "variables/variables.index").verdict == "clean"
    assert checkpoints.scan(BytesSource(data), "variables/variables.data-00000-of-00001").verdict == "clean"
    assert checkpoints.scan(BytesSource(data), "variables.index").verdict == "unscanned"
    lying = index[:-48] + b"\xff" * 40 + index[-8:]
    for cut in (lying, index[-8:], index[-50:]):
        assert codes(assert_bounded(checkpoints.scan, cut, "variables.index")) == {"malformed"}
