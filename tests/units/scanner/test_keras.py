"""Keras: what a configuration would import, call or open.  `pytest tests/units/scanner/test_keras.py`"""

import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner import hdf5, text
from lambdas.scanner.binary import Malformed
from lambdas.scanner.keras import examine_model_config, scan
from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import assert_bounded, codes, edited, edits, made

SHAPES = {
    "sequential": {"input_shape": [8, 8, 1], "output_shape": [3]},
    "functional": {"input_shape": [4], "output_shape": [5]},
}
PARAMETERS = {"sequential": 475, "functional": 128}


def layer(name: str, config: object = None, **more: object) -> dict:
    return {"class_name": name, "config": config if config is not None else {"name": "l"}, **more}


def model(*layers: object) -> str:
    return json.dumps(layer("Sequential", {"name": "s", "layers": layers}, module="keras", registered_name=None))


def examined(document: str) -> Examination:
    found = Examination("keras")
    examine_model_config(document, found)
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_what_keras_writes_is_clean_in_every_format(name: str):
    archive = scan(BytesSource(made(f"{name}.keras")), "m.keras")
    assert (archive.verdict, archive.format, archive.framework) == ("clean", "keras", "keras")
    assert archive.metadata == SHAPES[name]
    single = hdf5.scan(BytesSource(made(f"{name}.h5")), "m.h5")
    assert (single.verdict, single.format, single.framework) == ("clean", "hdf5", "keras")
    assert single.metadata == {**SHAPES[name], "num_parameters": PARAMETERS[name]}
    weights = hdf5.scan(BytesSource(made(f"{name}.weights.h5")), "m.weights.h5")
    assert (weights.verdict, weights.metadata) == ("clean", {"num_parameters": PARAMETERS[name]})
    described = text.scan(BytesSource(made(f"{name}.model.json")), "model.json")
    assert (described.verdict, described.framework, described.metadata) == ("clean", "keras", SHAPES[name])


@pytest.mark.parametrize(("name", "verdict"), [("lambda", "malicious"), ("own", "suspicious")])
def test_code_is_found_in_every_format(name: str, verdict: str):
    for found in (
        scan(BytesSource(made(f"{name}.keras")), "m.keras"),
        hdf5.scan(BytesSource(made(f"{name}.h5")), "m.h5"),
        text.scan(BytesSource(made(f"{name}.model.json")), "model.json"),
    ):
        assert found.verdict == verdict
        assert codes(found) == ({"lambda_layer", "marshalled_code"} if name == "lambda" else {"custom_object"})
    assert "lambda" in found.findings[0].message or "mine>Own" in found.findings[0].message


def function(module: str | None, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        pytest.param(layer("Lambda", {"function": ["4wEA", None, None]}), "malicious", id="100 lambda of Keras 2"),
        pytest.param(layer("Lambda", {"function": {"class_name": "__lambda__", "config": {}}}), "malicious", id="100"),
        pytest.param(layer("keras>Lambda", {"function": ["4wEA"]}), "malicious", id="lambda by its registered name"),
        pytest.param(layer("Lambda"), "malicious", id="lambda of an unknown form"),
        pytest.param(layer("Lambda", {"function": "named", "function_type": "function"}), "suspicious", id="named"),
        pytest.param(
            layer("Dense", {"activation": {"class_name": "__lambda__", "config": {}}}), "malicious", id="inside"
        ),
        pytest.param(layer("Dense", {"activation": function("os", "system")}), "malicious", id="os.system"),
        pytest.param(layer("Dense", {"activation": function("builtins", "eval")}), "malicious", id="eval"),
        pytest.param(layer("Dense", {"activation": function("keras.utils", "get_file")}), "malicious", id="get_file"),
        pytest.param(layer("Dense", {"activation": function("keras", "get_file")}), "malicious", id="get_file moved"),
        pytest.param(
            layer("Dense", {"a": function("keras.config", "enable_unsafe_deserialization")}), "malicious", id="unlock"
        ),
        pytest.param(layer("Dense", {"a": function("torch.hub", "load")}), "malicious", id="another framework"),
        pytest.param(layer("Dense", {"a": function("builtins", "my_loss")}), "suspicious", id="a loss of one's own"),
        pytest.param(layer("Dense", {"a": function("mine.losses", "my_loss")}), "suspicious", id="module of one's own"),
        pytest.param(layer("Popen", module="subprocess"), "malicious", id="standard library"),
        pytest.param(layer("os.system"), "malicious", id="dotted name"),
        pytest.param(layer("Own", module="mine"), "suspicious", id="class of one's own"),
        pytest.param(layer("mine.Own"), "suspicious", id="dotted class of one's own"),
        pytest.param(layer("Custom>Own"), "suspicious", id="registered class"),
        pytest.param(layer("Evil", module="kerasx.layers"), "suspicious", id="not quite Keras"),
        pytest.param(layer("TorchModuleWrapper", module="keras.layers"), "malicious", id="pickled module"),
        pytest.param(layer("TFSMLayer", {"filepath": "/x"}), "malicious", id="another model"),
        pytest.param(layer("TFOpLambda", {"name": "o", "function": "io.write_file"}), "malicious", id="file operation"),
        pytest.param(layer("JaxLayer"), "suspicious", id="JAX"),
        pytest.param(layer("StringLookup", {"vocabulary": "/etc/passwd"}), "suspicious", id="vocabulary file"),
        pytest.param(layer("StringLookup", {"vocabulary": ["a", "b"]}), "clean", id="vocabulary"),
        pytest.param(layer("TFOpLambda", {"name": "o", "function": "math.multiply"}), "clean", id="operation"),
        pytest.param(layer("Add", module="keras.src.ops.numpy", registered_name="Add"), "clean", id="inner module"),
        pytest.param(layer("Dense", module="tensorflow.keras.layers"), "clean", id="TensorFlow's Keras"),
        pytest.param({"class_name": "__tuple__", "items": [1, 2]}, "clean", id="tuple"),
    ],
)
def test_objects_of_a_configuration(value: dict, verdict: str):
    assert examined(model(layer("Dense"), value)).verdict == verdict


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"config":' * 100_000 + "1" + "}" * 100_000, "{", "", "null x", "\ud800"]
)
def test_what_is_no_json_or_too_deep_is_malformed(text: str):
    with pytest.raises(Malformed):
        examined(text)


def test_depth_within_reason_is_walked_to_its_end():
    deep = layer("Lambda", {"function": ["x"]})
    for _ in range(150):
        deep = layer("Bidirectional", {"layer": deep})
    assert examined(model(deep)).verdict == "malicious"


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, data in files.items():
            written.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(archive({"metadata.json": b"{}"}), id="no configuration"),
        pytest.param(archive({"config.json": b"[" * 100_000}), id="deep"),
        pytest.param(archive({"config.json": model().encode()})[:-30], id="cut"),
        pytest.param(b"", id="empty"),
    ],
)
def test_an_archive_without_a_readable_configuration_is_suspicious(data: bytes):
    found = assert_bounded(scan, data, "m.keras")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


@settings(max_examples=200, deadline=None)
@given(changes=edits(), name=st.sampled_from(["sequential.keras", "functional.keras", "lambda.keras"]))
def test_no_change_of_bytes_is_too_much(changes: tuple, name: str):
    assert_bounded(scan, edited(made(name), changes), "m.keras")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["Lambda", "function", "os"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["class_name", "config", "module", "registered_name", "layers", "name", "units", "function"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(document=JSON)
def test_no_document_is_too_much(document: object):
    examined(json.dumps(document))
