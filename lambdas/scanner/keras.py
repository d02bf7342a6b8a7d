"""Keras models: what their configuration would have Keras import, call or open to build the layers it describes."""

from __future__ import annotations

import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from lambdas.scanner.binary import MOST_AT_ONCE, Malformed, noting, parsed_json
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MOST_VALUES = 5_000_000  # of a configuration
MOST_NOTES = 50
OURS = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")  # packages whose classes Keras is made of
# Inside Keras, but they load, fetch or unlock: an honest configuration names none of their functions.
POWERFUL = ("utils", "saving", "config", "export", "models", "src.utils", "src.saving", "src.export", "src.backend")
POWERFUL_NAMES = {"get_file", "load_model", "load_weights", "enable_unsafe_deserialization", "deserialize_keras_object"}
POWERFUL_NAMES |= {"model_from_json", "py_function", "numpy_function", "eval", "exec", "compile", "open", "__import__"}
POWERFUL_NAMES |= {"getattr", "setattr", "breakpoint", "input"}
RUNTIMES = {"numpy", "torch", "tensorflow", "jax", "pip", "setuptools", "pkg_resources", "cloudpickle", "joblib"}
FUNCTIONS = {"function", "builtin_function_or_method", "method"}
OWN_LAYERS = {"TorchModuleWrapper": "a pickled PyTorch module", "TFSMLayer": "a TensorFlow program in another folder"}
FILE_CALLS = {"read_file", "write_file", "matching_files", "load_library", "load_op_library", "py_func", "load"}
FILE_CALLS |= {
    "ReadFile",
    "WriteFile",
    "MatchingFiles",
    "PyFunc",
    "EagerPyFunc",
    "PyFuncStateless",
}  # raw
STANDARD = set(sys.stdlib_module_names) - {"__main__", "builtins"}
JAX_LAYERS = {"JaxLayer", "FlaxLayer"}
LOOKUPS = {"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"}
# What zipfile and the decompressors under it raise for archives that are none.
BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    LookupError,
    ValueError,
    RuntimeError,
    EOFError,
    OSError,
)


def scan(source: Source, filename: str) -> Examination:
    """Examine what the configuration in a .keras archive says; the archive's members are walked elsewhere."""
    found = Examination("keras", "keras")
    with noting(found):
        examine_model_config(config_in(source), found)
    return found


def config_in(source: Source) -> str:
    """Return the text of config.json in an archive; raises Malformed."""
    try:
        with zipfile.ZipFile(source.stream()) as archive, archive.open("config.json") as member:
            data = member.read(MOST_AT_ONCE + 1)
    except BAD_ZIP as error:
        raise Malformed(f"Its config.json cannot be read: {error}") from None
    if len(data) > MOST_AT_ONCE:
        raise LimitExceeded("too_much_data", f"Its config.json has more than {MOST_AT_ONCE >> 20} MiB.")
    return data.decode(errors="replace")


def is_config(document: Any) -> bool:
    """Tell whether a JSON document describes a Keras model."""
    return isinstance(document, dict) and isinstance(document.get("class_name"), str) and "config" in document


def examine_model_config(text: str, found: Examination) -> None:
    """Note what is dangerous in a model's configuration, and take over its shapes; raises Malformed."""
    document = parsed_json(text)
    examine_objects(document, found)
    describe(document, found)


def examine_training_config(text: str, found: Examination) -> None:
    """Note what is dangerous in how a model was compiled; raises Malformed."""
    examine_objects(parsed_json(text), found)


def examine_objects(document: Any, found: Examination) -> None:
    """Note each object of a configuration that is not one of Keras's own, each kind once."""
    noted = set()
    for value in objects(document):
        for severity, code, message in judged(value):
            if message not in noted and len(noted) < (2 if severity == "malicious" else 1) * MOST_NOTES:
                noted.add(message)
                getattr(found, severity)(code, message)


def objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the dictionaries of a document in their order, however deep."""
    waiting, count = [document], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise LimitExceeded("too_many_values", f"The configuration has more than {MOST_VALUES} values.")
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def judged(value: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield severity, code and message of what is wrong with one dictionary of a configuration."""
    name = value.get("class_name")
    if not isinstance(name, str):
        return
    config = value.get("config")
    settings = config if isinstance(config, dict) else {}
    registered, module = text_of(value, "registered_name"), text_of(value, "module")
    plain = name.rsplit(">", 1)[-1]
    called = f"{plain[:100]} {text_of(settings, 'name')[:100]!r}"
    if name == "__lambda__":
        yield "malicious", "marshalled_code", "It holds marshalled Python code, which runs when the model is loaded."
    elif plain == "Lambda":
        yield from judged_lambda(called, settings.get("function", config))
    elif plain in OWN_LAYERS:
        yield "malicious", "foreign_code", f"The layer {called} loads {OWN_LAYERS[plain]}."
    elif plain == "TFOpLambda":
        yield from judged_operation(called, settings.get("function"))
    elif plain in JAX_LAYERS:
        yield "suspicious", "foreign_code", f"The layer {called} calls a function that is not part of Keras."
    elif plain in LOOKUPS and isinstance(settings.get("vocabulary"), str):
        yield "suspicious", "opens_file", f"The layer {called} reads the file {settings['vocabulary'][:100]}."
    elif name in FUNCTIONS or registered in FUNCTIONS:
        yield from judged_function(module, function_name(config))
    elif not name.startswith("__"):
        yield from judged_class(module, name, registered)


def judged_lambda(called: str, function: Any) -> Iterator[tuple[str, str, str]]:
    """Judge a Lambda layer: it carries code, or only the name of a function that a loader must be given."""
    if isinstance(function, str) or (isinstance(function, dict) and text_of(function, "class_name") in FUNCTIONS):
        yield "suspicious", "lambda_layer", f"The layer {called} calls a function that is not part of Keras."
    else:
        yield "malicious", "lambda_layer", f"The layer {called} holds Python code, which runs when the model is loaded."


def judged_operation(called: str, function: Any) -> Iterator[tuple[str, str, str]]:
    """Judge a layer that calls any function of TensorFlow by its path."""
    path = function if isinstance(function, str) else ""
    if path.rsplit(".", 1)[-1] in FILE_CALLS or named_powerful(path):
        yield "malicious", "foreign_code", f"The layer {called} calls TensorFlow's {path[:100]}."


def judged_function(module: str, function: str) -> Iterator[tuple[str, str, str]]:
    """Judge a reference to a function, which Keras imports and calls."""
    inside = inside_keras(module)
    where = f"{module}.{function}" if module else function
    powerful = named_powerful(function) or (inside is not None and under(inside, POWERFUL))
    if powerful or (module != "builtins" and inside is None and top(module) in RUNTIMES | STANDARD):
        yield "malicious", "foreign_function", f"It has Keras import and call {where[:200]}."
    elif inside is None:
        yield "suspicious", "custom_object", f"It needs the function {where[:200]}, which is not part of Keras."


def judged_class(module: str, name: str, registered: str) -> Iterator[tuple[str, str, str]]:
    """Judge a reference to a class."""
    where = f"{module}.{name}" if module else name
    if (module and top(module) in RUNTIMES | STANDARD and inside_keras(module) is None) or top(name) in STANDARD:
        yield "malicious", "foreign_class", f"It has Keras import and call {where[:200]}."
    elif (module and inside_keras(module) is None) or "." in name:
        yield "suspicious", "custom_object", f"It needs the class {where[:200]}, which is not part of Keras."
    elif ">" in name or ">" in registered:
        custom = registered if ">" in registered else name
        yield "suspicious", "custom_object", f"It needs the class {custom[:200]}, which is not part of Keras."


def text_of(value: dict[str, Any], key: str) -> str:
    """Return a text of a configuration, "" for anything else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def top(module: str) -> str:
    return module.split(".", 1)[0]


def under(module: str, packages: tuple[str, ...]) -> bool:
    """Tell whether a module is one of some packages or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def inside_keras(module: str) -> str | None:
    """Return a module's path inside Keras, "" for Keras itself, None for what is not of it."""
    for package in OURS:
        if under(module, (package,)):
            return module[len(package) + 1 :]
    return None


def named_powerful(function: str) -> bool:
    return function.rsplit(".", 1)[-1] in POWERFUL_NAMES


def function_name(config: Any) -> str:
    """Return the name of a function as its configuration has it."""
    if isinstance(config, dict):
        config = config.get("name") or config.get("class_name")
    return config if isinstance(config, str) else "without a name"


def describe(document: Any, found: Examination) -> None:
    """Take over the shape of one example for the first input layer, and that of the last layer if it is dense."""
    for value in objects(document):
        shape = value.get("batch_shape", value.get("batch_input_shape"))
        if isinstance(shape, list) and all(length is None or type(length) is int for length in shape) and shape[1:]:
            found.metadata["input_shape"] = [-1 if length is None else length for length in shape[1:]]
            break
    units = last_units(document)
    if units:
        found.metadata["output_shape"] = [units]


def last_units(document: Any) -> int | None:
    """Return the units of the dense layer that gives a model's output."""
    config = document.get("config") if isinstance(document, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(layers, list):
        return None
    outputs = config.get("output_layers")
    while isinstance(outputs, list) and outputs and isinstance(outputs[0], list):
        outputs = outputs[0]
    wanted = outputs[0] if isinstance(outputs, list) and outputs else None
    for layer in reversed(layers):
        settings = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(settings, dict):
            return None
        if wanted is None or settings.get("name") == wanted:
            units = settings.get("units") if layer.get("class_name") == "Dense" else None
            return units if type(units) is int and units > 0 else None
    return None
