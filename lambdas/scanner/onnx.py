"""ONNX models: which operators of whom they call, and which other files they would have a runtime open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lambdas.scanner.binary import MOST_PARAMETERS, Malformed, noting, product
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.protobuf import Field, Wire, runs_of
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft"}
DEEPEST_GRAPH = 16  # an If within a Loop within a function...
MOST_NAMES = 300_000  # of values in a graph
MOST_OPERATORS = 20_000  # of its own or of foreign domains
MOST_INPUTS = 1000
LONGEST_FILENAME = 255  # bytes, on any system
MOST_NOTES = 50
NUMBERS = runs_of(7, 8)  # the floats and ints of an attribute, a million in a forest of trees
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}


@dataclass
class Graph:
    """What has been seen of a graph or function: names of values are kept as their hashes."""

    made: set[int] = field(default_factory=set)
    wanted: set[int] = field(default_factory=set)  # read before any node has made them
    initialized: set[int] = field(default_factory=set)
    inputs: list[tuple[str, list[int] | None]] = field(default_factory=list)
    outputs: list[tuple[str, list[int] | None]] = field(default_factory=list)


def scan(source: Source, filename: str) -> Examination:
    """Examine an ONNX model."""
    walker = Walker(source)
    with noting(walker.found):
        walker.model()
    return walker.found


class Walker:
    """One walk over a model, in the order of its bytes; tensors are stepped over."""

    def __init__(self, source: Source) -> None:
        self.wire = Wire(source)
        self.size = source.size
        self.found = Examination("onnx", "onnx")
        self.parameters = 0
        self.foreign: dict[tuple[str, str], None] = {}  # operators that are of no known domain
        self.functions: set[tuple[str, str]] = set()
        self.noted: set[str] = set()

    def model(self) -> None:
        """Walk a ModelProto; raises Malformed, LimitExceeded."""
        main: Graph | None = None
        for part in self.wire.fields(0, self.size):
            if part.is_bytes(7):
                main = self.graph(part, 1)
            elif part.is_bytes(20):
                self.training(part)
            elif part.is_bytes(25):
                self.function(part)
        if main is None:
            raise Malformed("It is no ONNX model: there is no graph in it.")
        for domain, operator in self.foreign:
            if (domain, operator) not in self.functions:
                self.note(
                    "suspicious",
                    "custom_operator",
                    f"It needs the operator {operator} of the domain {domain}, which is code that a runtime must load.",
                )
        self.describe(main)

    def describe(self, main: Graph) -> None:
        """Take over the shape of the first real input and of the first output, and the number of parameters."""
        inputs = [shape for name, shape in main.inputs if hash(name) not in main.initialized]
        if inputs and inputs[0]:
            self.found.metadata["input_shape"] = inputs[0]
        if main.outputs and main.outputs[0][1]:
            self.found.metadata["output_shape"] = main.outputs[0][1]
        if 0 < self.parameters < MOST_PARAMETERS:
            self.found.metadata["num_parameters"] = self.parameters

    def training(self, part: Field) -> None:
        """Walk a TrainingInfoProto: an initialization graph and an algorithm graph."""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1) or inner.is_bytes(2):
                self.graph(inner, 1)

    def function(self, part: Field) -> None:
        """Walk a FunctionProto, which makes an operator out of nodes."""
        seen, name, domain = Graph(), "", ""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                name = self.wire.text(inner)
            elif inner.is_bytes(10):
                domain = self.wire.text(inner)
            elif inner.is_bytes(7):
                self.node(inner, seen, 1)
            elif inner.is_bytes(11):
                self.attribute(inner, 1)
        self.functions.add((domain, name))
        if len(self.functions) > MOST_OPERATORS:
            raise LimitExceeded("too_many_names", f"It has more than {MOST_OPERATORS} functions.")

    def graph(self, part: Field, depth: int) -> Graph:
        """Walk a GraphProto and the graphs in the attributes of its nodes."""
        if depth > DEEPEST_GRAPH:
            raise LimitExceeded("too_deep", f"Graphs are nested more than {DEEPEST_GRAPH} deep.")
        seen = Graph()
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                self.node(inner, seen, depth)
            elif inner.is_bytes(5):
                name = self.tensor(inner, counted=True)
                if depth == 1:
                    self.remember(seen.initialized, hash(name))
            elif inner.is_bytes(15):
                self.sparse_tensor(inner, counted=True)
            elif inner.is_bytes(11) and depth == 1 and len(seen.inputs) < MOST_INPUTS:
                seen.inputs.append(self.value(inner))
            elif inner.is_bytes(12) and depth == 1 and not seen.outputs:
                seen.outputs.append(self.value(inner))
        return seen

    def remember(self, names: set[int], name: int) -> None:
        """Keep a name; raises LimitExceeded when there are too many."""
        names.add(name)
        if len(names) > MOST_NAMES:
            raise LimitExceeded("too_many_names", f"It has more than {MOST_NAMES} named values.")

    def node(self, part: Field, seen: Graph, depth: int) -> None:
        """Walk a NodeProto; a node reads what nodes before it have made, so that a graph has no cycles."""
        inputs, outputs, operator, domain = [], [], "", ""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                inputs.append(self.wire.text(inner))
            elif inner.is_bytes(2):
                outputs.append(self.wire.text(inner))
            elif inner.is_bytes(4):
                operator = self.wire.text(inner)
            elif inner.is_bytes(7):
                domain = self.wire.text(inner)
            elif inner.is_bytes(5):
                self.attribute(inner, depth)
            if len(inputs) + len(outputs) > MOST_NAMES:
                raise LimitExceeded("too_many_names", f"A node has more than {MOST_NAMES} values.")
        if domain not in KNOWN_DOMAINS:
            self.foreign[domain, operator] = None
            if len(self.foreign) > MOST_OPERATORS:
                raise LimitExceeded("too_many_names", f"It calls more than {MOST_OPERATORS} custom operators.")
        if operator == "EPContext":
            self.note("suspicious", "compiled_code", "An EPContext node holds a compiled program for some accelerator.")
        self.ordered(inputs, outputs, operator, seen)

    def ordered(self, inputs: list[str], outputs: list[str], operator: str, seen: Graph) -> None:
        """Note the values of a node, and what is wrong with their order."""
        if own := {*inputs} & {*outputs} - {""}:
            self.note("suspicious", "cyclic_graph", f"The {operator} node reads its own output {min(own)}.")
        for name in filter(None, inputs):
            if hash(name) not in seen.made:
                self.remember(seen.wanted, hash(name))
        for name in filter(None, outputs):
            if hash(name) in seen.made:
                self.note("suspicious", "duplicate_name", f"Two nodes make the value {name}.")
            elif hash(name) in seen.wanted and name not in inputs:
                self.note("suspicious", "cyclic_graph", f"The value {name} is read before a {operator} node makes it.")
            self.remember(seen.made, hash(name))

    def attribute(self, part: Field, depth: int) -> None:
        """Walk an AttributeProto for the tensors and graphs in it."""
        for inner in self.wire.fields(part.start, part.end, passing=NUMBERS):
            if inner.is_bytes(5) or inner.is_bytes(10):
                self.tensor(inner, counted=False)
            elif inner.is_bytes(22) or inner.is_bytes(23):
                self.sparse_tensor(inner, counted=False)
            elif inner.is_bytes(6) or inner.is_bytes(11):
                self.graph(inner, depth + 1)

    def sparse_tensor(self, part: Field, counted: bool) -> None:
        """Walk a SparseTensorProto: values, which count as parameters, and indices."""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1) or inner.is_bytes(2):
                self.tensor(inner, counted and inner.number == 1)

    def tensor(self, part: Field, counted: bool) -> str:
        """Walk a TensorProto; returns its name."""
        dims, name, kind, raw = [], "", 0, None
        for inner in self.wire.fields(part.start, part.end):
            if inner.number == 1 and len(dims) < MOST_INPUTS:
                dims += self.wire.numbers(inner)
            elif inner.is_varint(2):
                kind = inner.value
            elif inner.is_bytes(8):
                name = self.wire.text(inner)
            elif inner.is_bytes(9):
                raw = inner.end - inner.start
            elif inner.is_bytes(13):
                self.external(inner, name)
        if any(length < 0 for length in dims):
            raise Malformed(f"The tensor {name} at offset {part.start} has the shape {dims[:8]}.")
        total = product(dims)
        if raw and kind in BITS and -(-total * BITS[kind] // 8) != raw:
            message = f"The tensor {name} of shape {dims[:8]} holds {raw} bytes, which is not its size."
            self.note("suspicious", "tensor_size", message)
        if counted:
            self.parameters = min(self.parameters + total, MOST_PARAMETERS)
        return name

    def external(self, part: Field, tensor: str) -> None:
        """Look at a key and value that say where a tensor's data is."""
        key, value, length = "", "", 0
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                key = self.wire.text(inner)
            elif inner.is_bytes(2):
                value, length = self.wire.text(inner), inner.end - inner.start
        if key != "location":
            return
        if is_plain(value) and length <= LONGEST_FILENAME:
            self.note("info", "external_data", f"Weights are in the file {value}, which must be beside it.")
        else:
            message = f"The tensor {tensor or 'without a name'} is read from {value}, outside the model's own folder."
            self.note("malicious", "external_data", message)

    def value(self, part: Field) -> tuple[str, list[int] | None]:
        """Return the name and shape of a ValueInfoProto: value.type.tensor_type.shape.dim."""
        name, shape = "", None
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                name = self.wire.text(inner)
            elif inner.is_bytes(2):
                for kind in self.wire.fields(inner.start, inner.end):
                    if kind.is_bytes(1):
                        shape = self.shape(kind)
        return name, shape

    def shape(self, part: Field) -> list[int] | None:
        """Return the shape of a TypeProto.Tensor, -1 for what is not fixed."""
        found = None
        for shape in self.wire.fields(part.start, part.end):
            if not shape.is_bytes(2):
                continue
            found = []
            for dimension in self.wire.fields(shape.start, shape.end):
                if dimension.is_bytes(1) and len(found) < MOST_INPUTS:
                    lengths = [d.value for d in self.wire.fields(dimension.start, dimension.end) if d.is_varint(1)]
                    found.append(lengths[-1] if lengths and 0 < lengths[-1] < MOST_PARAMETERS else -1)
        return found

    def note(self, severity: str, code: str, message: str) -> None:
        """Keep a finding, once, and not without end; what is malicious always has room."""
        if message in self.noted or (len(self.noted) >= MOST_NOTES and severity != "malicious"):
            return
        if len(self.noted) < 2 * MOST_NOTES:
            self.noted.add(message)
            getattr(self.found, severity)(code, message)


def is_plain(location: str) -> bool:
    """Return whether a location is the name of a file in the model's own folder, on any system."""
    return bool(re.fullmatch(r"[^/\\:\x00-\x1f]+", location)) and location not in (".", "..")
