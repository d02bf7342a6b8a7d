"""Pickles, those of joblib with arrays between their opcodes included: what loading one would import and call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lambdas.scanner.allow_list import allowed
from lambdas.scanner.danger_list import dangerous
from lambdas.scanner.detect import extension
from lambdas.scanner.limits import LimitExceeded, Walk, within
from lambdas.scanner.pickle_machine import Machine
from lambdas.scanner.pickle_reader import BrokenPickle, Reader
from lambdas.scanner.pickle_trace import Trace
from lambdas.scanner.pickle_values import Global, Made
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source, WindowSource

FRAMEWORKS = {  # package -> framework, the more telling first
    "torch": "pytorch",
    "torchvision": "pytorch",
    "transformers": "huggingface",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "sklearn": "sklearn",
    "xgboost": "other",
    "lightgbm": "other",
}
PACKAGES = {"sklearn": "scikit-learn"}  # where the name to install differs
MOST_SHARED = 10_000_000  # values of one tuple, unless the file has as many bytes
KNOWN_PACKAGES = {*FRAMEWORKS, "numpy", "scipy", "pandas", "joblib"}


@dataclass
class Followed:
    """One pickle that was followed from `start` to `end`, to its STOP or to where it breaks."""

    start: int
    trace: Trace = field(default_factory=Trace)
    end: int = 0
    broken: str | None = None
    limit: LimitExceeded | None = None
    result: Any = None


def follow(source: Source, start: int, walk: Walk, arrays: bool = False) -> Followed:
    """Follow one pickle. Whatever stops it, what was seen until then is told."""
    followed = Followed(start)
    reader = Reader(source, start)
    machine = Machine(reader, followed.trace, walk.check_time, arrays)
    try:
        machine.run()
        followed.result = machine.result
    except BrokenPickle as error:
        followed.broken = f"at byte {machine.at}: {error}"
    except LimitExceeded as error:
        followed.limit = error
    followed.end = reader.tell()
    return followed


def scan(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine a file of one pickle or several."""
    found = Examination("joblib" if extension(filename) == "joblib" else "pickle")
    start: int | None = 0
    with within(found):
        while start is not None and start < source.size:
            start = scan_at(found, source, start, walk)
            if start:
                walk.spend_entry()
                walk.check_time()
    return found


def scan_at(found: Examination, source: Source, start: int, walk: Walk) -> int | None:
    """Examine the pickle at `start`; return where it ends, or None when it does not come to its end."""
    followed = follow(source, start, walk)
    if followed.trace.wrapped_arrays:
        found.format = "joblib"
        plainly, followed = followed, follow(source, start, walk, arrays=True)
        # joblib takes the bytes of an array for numbers, but pickle.load would take them for opcodes.
        judge_stray(found, plainly, followed)
    if start and followed.broken:
        judge_stray(found, followed, followed)
        found.suspicious("trailing_data", f"{source.size - start} bytes follow the pickle, from byte {start}.")
        rest = walk.examine(WindowSource(source, start, source.size - start), "")
        found.findings += [finding for finding in rest.findings if finding.severity != "info"]
        return None
    judge(found, followed, source, walk)
    return None if followed.broken or followed.limit else followed.end


def judge(found: Examination, followed: Followed, source: Source, walk: Walk) -> None:
    """Say what the names and calls of a pickle mean."""
    trace = followed.trace
    for name in trace.names:
        judge_name(found, name, trace)
    for offset in trace.computed_names[:1]:
        found.suspicious("computed_name", f"It computes the name of what it imports, at byte {offset}.")
    for offset in trace.computed_calls[:1]:
        found.suspicious("computed_call", f"It calls what another call gave, at byte {offset}.")
    for offset in trace.extensions[:1]:
        found.suspicious("extension_code", f"It imports by a number that only its loader knows, at byte {offset}.")
    for name, offset in list(trace.patched.items())[:3]:
        found.suspicious("patched_name", f"It changes {name} itself, at byte {offset}.")
    if trace.largest_tuple > max(MOST_SHARED, source.size):
        found.suspicious("memo_bomb", "It builds a tuple of more than ten million values out of a few shared ones.")
    if followed.broken:
        found.suspicious("broken_pickle", f"The pickle breaks {followed.broken}.")
    if followed.limit:
        found.unscanned(followed.limit.code, str(followed.limit))
    with within(found):
        judge_inner(found, trace, source, walk)
    describe(found, trace, followed.result)


def judge_name(found: Examination, name: Global, trace: Trace) -> None:
    """Say whether a name may be imported."""
    if allowed(name.module, name.name):
        return
    deed = "imports and calls" if name in trace.called else "imports"
    if dangerous(name.module, name.name):
        found.malicious("dangerous_import", f"Loading it {deed} {name} (byte {trace.names[name]}), which can run code.")
    else:
        found.suspicious("unknown_import", f"Loading it {deed} {name} (byte {trace.names[name]}), which is unknown.")


def judge_stray(found: Examination, stray: Followed, known: Followed) -> None:
    """Say what bytes do that happen to read as opcodes; only calls, since single names may be chance."""
    for name in stray.trace.called:
        if name not in known.trace.called or known is stray:
            judge_name(found, name, stray.trace)


def judge_inner(found: Examination, trace: Trace, source: Source, walk: Walk) -> None:
    """Examine the torch files that tensors in a plain pickle are made from."""
    for blob in trace.inner_torch:
        if blob is None:
            found.suspicious("computed_bytes", "It loads a torch file from bytes that it computes.")
            continue
        walk.spend_entry()
        inner = walk.examine(WindowSource(source, blob.offset, blob.length), "")
        found.absorb(inner, f"the tensor at byte {blob.offset}")
        found.framework = found.framework or inner.framework


def describe(found: Examination, trace: Trace, outermost: Any) -> None:
    """Say whose model it is, how large it is and what loading it needs."""
    roots = list(dict.fromkeys(name.module.split(".")[0] for name in trace.names))
    first = [outermost.by.module.split(".")[0]] if isinstance(outermost, Made) else []
    for root in [*first, *(root for root in FRAMEWORKS if root in roots)]:
        found.framework = found.framework or FRAMEWORKS.get(root)
    needed = sorted(PACKAGES.get(root, root) for root in roots if root in KNOWN_PACKAGES)
    version = trace.constants.get("_sklearn_version")
    if needed:
        pinned = [f"{name}=={version}" if name == "scikit-learn" and version else name for name in needed]
        found.metadata.setdefault("dependencies", pinned)
    features = trace.state.get("n_features_in_")
    if type(features) is int and 0 < features < 2**31:
        found.metadata.setdefault("input_shape", [-1, features])
    if trace.tensors:
        found.metadata["num_parameters"] = found.metadata.get("num_parameters", 0) + parameters(trace)


def parameters(trace: Trace) -> int:
    """Return how many numbers the tensors hold."""
    total = 0
    for _, _, shape in trace.tensors:
        count = 1
        for length in shape:
            count *= length
        total += count
    return total


def hidden(source: Source, walk: Walk) -> Examination | None:
    """Return what a file of another format does when it is loaded as a pickle; None when it is none.

    Nearly every other file breaks at its first bytes; one that calls something before it breaks was made to.
    """
    followed = follow(source, 0, walk)
    if not followed.trace.called and (followed.broken or not followed.trace.names):
        return None
    found = Examination("pickle")
    judge(found, followed, source, walk)
    return found
