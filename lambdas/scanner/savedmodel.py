"""TensorFlow's .pb files: SavedModel, GraphDef and Keras's metadata, and which operators they would run."""

from __future__ import annotations

import re

from lambdas.scanner import onnx
from lambdas.scanner.binary import Malformed, noting, parsed_json
from lambdas.scanner.keras import examine_objects
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.protobuf import BYTES, LONGEST_NAME, VARINT, Field, Wire, signed
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source
from lambdas.scanner.tensorflow_ops import OPERATORS

PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# A checkpoint is written and read back by SaveV2, RestoreV2 and MergeV2Checkpoints: those are in every SavedModel.
FILES = re.compile(
    r"ReadFile|WriteFile|MatchingFiles|Save|SaveSlices|Restore|RestoreSlice|FileSystemSetConfiguration"
    r"|(?:TextLine|TFRecord|WholeFile|FixedLengthRecord|LMDB)Reader(?:V2)?"
    r"|(?:Experimental)?(?:TextLine|TFRecord|FixedLengthRecord|LMDB|Sql|MatchingFiles|CSV|Cache)Dataset(?:V\d)?"
    r"|(?:Experimental)?DatasetToTFRecord|(?:Save|Load|Snapshot|SnapshotChunk)Dataset(?:V\d)?|DistributedSave"
    r"|CreateSummary(?:File|Db)Writer|DebugIdentity(?:V\d)?"
)
NETWORK = re.compile(r"Rpc(?:Client|Call|Server\w*)|DataServiceDataset(?:V\d)?")
FINGERPRINT = {*((number, VARINT) for number in range(1, 6)), (6, BYTES), (7, BYTES)}  # fingerprint.pb holds hashes
MOST_NAMES = 100_000
MOST_DIMENSIONS = 64
MOST_NOTES = 50
LONGEST_METADATA = 1024 * 1024


def scan(source: Source, filename: str) -> Examination:
    """Examine a .pb file; one that turns out to be ONNX is examined as such."""
    found = Examination("savedmodel", "tensorflow")
    with noting(found):
        kinds = {(part.number, part.wire) for part in Wire(source).fields(0, source.size)}
        if kinds <= FINGERPRINT and (2, VARINT) in kinds:
            return found
        walker = Walker(source, found)
        could_be_onnx = {(1, VARINT), (7, BYTES)} <= kinds
        try:
            walker.walk(kinds, named=filename.rsplit("/", 1)[-1] == "saved_model.pb")
        except Malformed:
            if not could_be_onnx:
                raise
        if could_be_onnx and not walker.operators:
            return onnx.scan(source, filename)
        if not walker.operators:
            raise Malformed("It is no TensorFlow model: there is no operator in it.")
        walker.judge()
    return found


class Walker:
    """One walk over a model, in the order of its bytes; constants are stepped over."""

    def __init__(self, source: Source, found: Examination) -> None:
        self.wire = Wire(source)
        self.source = source
        self.found = found
        self.operators: dict[str, str] = {}  # -> the first node of each
        self.functions: set[str] = set()

    def walk(self, kinds: set[tuple[int, int]], named: bool) -> None:
        """Walk a SavedModel, which its name or a number in front tells, or a GraphDef."""
        if (1, BYTES) in kinds:
            if named:
                raise Malformed("It is no SavedModel, though it is named as one.")
            self.graph(Field(0, BYTES, 0, 0, self.source.size))
        if (1, VARINT) in kinds or (1, BYTES) not in kinds:
            self.saved_model()

    def saved_model(self) -> None:
        """Walk a SavedModel: its graphs, their signatures, files that they need, objects of Keras."""
        for meta_graph in self.wire.fields(0, self.source.size):
            if not meta_graph.is_bytes(2):
                continue
            for part in self.wire.fields(meta_graph.start, meta_graph.end):
                if part.is_bytes(2):
                    self.graph(part)
                elif part.is_bytes(5):
                    self.signature(part)
                elif part.is_bytes(6):
                    self.asset(part)
                elif part.is_bytes(7):
                    self.objects(part)

    def graph(self, part: Field) -> None:
        """Walk a GraphDef: nodes and a library of functions; or the nodes of Keras's metadata, which look alike."""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                self.node(inner)
            elif inner.is_bytes(2):
                for function in self.wire.fields(inner.start, inner.end):
                    if function.is_bytes(1):
                        self.function(function)

    def function(self, part: Field) -> None:
        """Walk a FunctionDef: its signature's name, and its nodes."""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(3):
                self.node(inner)
            elif inner.is_bytes(1):
                for signature in self.wire.fields(inner.start, inner.end):
                    if signature.is_bytes(1):
                        self.functions.add(self.wire.text(signature))
                        self.bounded(len(self.functions))

    def node(self, part: Field) -> None:
        """Take in a node's operator."""
        name = operator = ""
        for inner in self.wire.fields(part.start, part.end):
            if inner.is_bytes(1):
                name = self.wire.text(inner)
            elif inner.is_bytes(2):
                operator = self.wire.text(inner)
            elif inner.is_bytes(5):
                self.keras_metadata(inner)
        if operator:
            self.operators.setdefault(operator, name)
            self.bounded(len(self.operators))

    def bounded(self, names: int) -> None:
        if names > MOST_NAMES:
            raise LimitExceeded("too_many_names", f"It has more than {MOST_NAMES} operators or functions.")

    def keras_metadata(self, part: Field) -> None:
        """Examine what Keras notes of an object, where a field holds that."""
        length = part.end - part.start
        if not 2 < length <= LONGEST_METADATA:
            return
        if self.wire.begins(part, b"{"):
            text = self.source.read(part.start, length)
            if b'"class_name"' in text:
                examine_objects(parsed_json(text), self.found)

    def objects(self, part: Field) -> None:
        """Walk a SavedObjectGraph for what older Kerases note of their objects: nodes.user_object.metadata."""
        for node in self.wire.fields(part.start, part.end):
            if not node.is_bytes(1):
                continue
            for kind in self.wire.fields(node.start, node.end):
                if not kind.is_bytes(4):
                    continue
                for inner in self.wire.fields(kind.start, kind.end):
                    if inner.is_bytes(3):
                        self.keras_metadata(inner)

    def asset(self, part: Field) -> None:
        """Look at the name of a file that the model needs, which must be in its own folder of assets."""
        for inner in self.wire.fields(part.start, part.end):
            if not inner.is_bytes(2):
                continue
            name = self.wire.text(inner)
            if not is_inside(name) or inner.end - inner.start > LONGEST_NAME:
                self.found.malicious("asset_path", f"It reads the file {name}, outside its own folder.")

    def signature(self, entry: Field) -> None:
        """Take over the shapes of the first signature's first input and output."""
        for part in self.wire.fields(entry.start, entry.end):
            if not part.is_bytes(2):
                continue
            for tensor in self.wire.fields(part.start, part.end):
                key = {1: "input_shape", 2: "output_shape"}.get(tensor.number)
                if key and tensor.wire == BYTES and key not in self.found.metadata:
                    shape = self.shape(tensor)
                    if shape:
                        self.found.metadata[key] = shape

    def shape(self, entry: Field) -> list[int]:
        """Return a shape: entry.value.tensor_shape.dim.size."""
        shape = []
        for info in self.wire.fields(entry.start, entry.end):
            for held in self.wire.fields(info.start, info.end) if info.is_bytes(2) else ():
                for dimension in self.wire.fields(held.start, held.end) if held.is_bytes(3) else ():
                    if dimension.is_bytes(2) and len(shape) < MOST_DIMENSIONS:
                        sizes = [d.value for d in self.wire.fields(dimension.start, dimension.end) if d.is_varint(1)]
                        shape.append(max(-1, signed(sizes[-1])) if sizes else 0)
        return shape

    def judge(self) -> None:
        """Note the operators that reach beyond the graph."""
        for operator, node in self.operators.items():
            where = f"{operator} (node {node})"
            if len(self.found.findings) > MOST_NOTES:
                return
            if operator in PYTHON:
                self.found.suspicious("python_function", f"The operator {where} calls a Python function.")
            elif FILES.fullmatch(operator):
                self.found.suspicious("file_access", f"The operator {where} reads or writes files.")
            elif NETWORK.fullmatch(operator):
                self.found.suspicious("network_access", f"The operator {where} opens connections.")
            elif operator not in OPERATORS and operator not in self.functions and not operator.startswith("_"):
                self.found.suspicious("custom_operator", f"The operator {where} is of a library that must be loaded.")


def is_inside(path: str) -> bool:
    """Tell whether a relative path stays in its folder, on any system."""
    return not re.search(r"^[/~]|[\\:\x00-\x1f]|(?:^|/)\.\.(?:/|$)", path)
