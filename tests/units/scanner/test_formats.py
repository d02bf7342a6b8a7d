"""Every made file through the whole scanner.  `pytest tests/units/scanner/test_formats.py`"""

import pytest

from lambdas.scanner.registry import scan_file
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import HERE, folder, made

PICKLE = b"\x80\x04cos\nsystem\n(S'id'\ntR."
NOT_CLEAN = {
    "malicious": "config_dense.h5 config_huge.h5 external_absolute.onnx external_file.h5 external_folder.onnx "
    "external_link.h5 external_link_dense.h5 external_memory.onnx external_parent.onnx external_url.onnx "
    "external_windows.onnx lambda.h5 lambda.keras lambda.model.json virtual.h5",
    "suspicious": "custom.onnx custom_in_branch.onnx cyclic.onnx duplicate.onnx escape.gguf hard_loop.h5 hostile.pb "
    "own.h5 own.keras own.model.json pickle.h5 self_reading.onnx shape_bomb.h5 shape_bomb_packed.h5 soft_loop.h5",
}
FORMATS = {
    "h5": "hdf5",
    "pb": "savedmodel",
    "index": "checkpoint",
    "data-00000-of-00001": "checkpoint",
    "txt": "lightgbm",
    "ubj": "xgboost",
}


@pytest.mark.thorough
def test_every_made_file_has_its_verdict_format_and_framework():
    names = [file.name for place in (folder(), HERE / "tensorflow_files") for file in place.iterdir()]
    assert len(names) > 50
    for name in names:
        found = scan_file(BytesSource(made(name)), name)
        expected = next((verdict for verdict, files in NOT_CLEAN.items() if name in files.split()), "clean")
        assert (name, found.verdict) == (name, expected)
        suffix = name.rsplit(".", 1)[-1]
        expected = "xgboost" if name == "boosted.json" else FORMATS.get(suffix, suffix)
        assert (name, found.format) == (name, expected)
        assert found.framework


@pytest.mark.parametrize("name", ["product.onnx", "sequential.h5", "weights.safetensors", "chat.gguf", "boosted.ubj"])
def test_a_file_of_another_name_is_known_by_its_content(name: str):
    named, unnamed = scan_file(BytesSource(made(name)), name), scan_file(BytesSource(made(name)), "download")
    assert (unnamed.format, unnamed.verdict, unnamed.metadata) == (named.format, named.verdict, named.metadata)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.h5", "model.onnx", "model.gguf", "model.json", "model.pb"]
)
def test_82_a_pickle_by_any_other_name_is_malicious(name: str):
    assert scan_file(BytesSource(PICKLE), name).verdict == "malicious"
    assert scan_file(BytesSource(PICKLE[2:]), name).verdict == "malicious"
