"""Names that no honest model imports: what runs code, starts programs, opens files or connections, or loads more.

The list only decides between `malicious` and `suspicious`: what neither list names is suspicious.
"""

from __future__ import annotations

# Whatever these modules have, at any depth.
MODULES_WORDS = """
    IPython _aix_support _asyncio _bootsubprocess _ctypes _frozen_importlib _frozen_importlib_external _imp _io
    _osx_support _pickle _posixsubprocess _pyio _pyrepl _sitebuiltins _socket _sqlite3 _thread _winapi aifc aiohttp
    antigravity ast asyncio asyncore atexit bdb bz2 cPickle cProfile cffi cgi cgitb cloudpickle cmd code codeop
    commands compileall concurrent crypt ctypes curses dbm dill dis distutils doctest encodings ensurepip
    faulthandler fileinput ftplib gc gzip http httplib httpx idlelib imaplib imp importlib inspect io jinja2
    jsonpickle lib2to3 linecache logging lzma mailbox marshal mmap modulefinder msvcrt multiprocessing netrc nntplib
    nt ntpath nturl2path os paramiko parso pathlib pdb pexpect pickle pickletools pip pkg_resources pkgutil platform
    popen2 poplib posix posixpath profile pstats pty ptyprocess pwn py_compile pyclbr pydoc pydoc_data pyrepl pytest
    readline requests resource rlcompleter runpy select selectors setuptools shelve shutil signal site smtpd smtplib
    socket socketserver sqlite3 ssl subprocess symtable sys sysconfig tabnanny tarfile telnetlib tempfile threading
    timeit tkinter tokenize trace traceback tracemalloc tty turtle turtledemo types unittest urllib urllib2 urllib3
    uuid venv webbrowser winreg wsgiref xmlrpc yaml zipapp zipfile zipimport numpy.testing numpy.distutils
    numpy.f2py numpy.ctypeslib numpy.lib.npyio numpy.lib._npyio_impl numpy.lib.format numpy.lib._format_impl
    numpy.lib._datasource numpy.compat numpy.lib.utils numpy._core._internal scipy._build_utils scipy.io scipy.misc
    scipy._lib._ccallback scipy.datasets pandas.io pandas.core.computation pandas.compat.pickle_compat
    pandas.testing pandas._testing pandas.util joblib.memory joblib.parallel joblib.pool joblib.externals
    joblib.executor joblib.func_inspect joblib.backports joblib._store_backends joblib._parallel_backends
    joblib._memmapping_reducer joblib.testing sklearn.datasets sklearn.externals sklearn.utils._testing
    sklearn.utils._show_versions sklearn._build_utils sklearn.utils.fixes sklearn.utils._joblib torch.hub torch.jit
    torch.fx torch.package torch.utils torch._dynamo torch._inductor torch.distributed torch.multiprocessing
    torch.ops torch._ops torch.classes torch._classes torch.onnx torch.testing torch.export torch._export
    torch._appdirs torch._jit_internal test.support
"""
MODULES = frozenset(MODULES_WORDS.split())
# These, wherever a module has them: `pandas.io.common.os.system` is `os.system`.
NAMES_WORDS = """
    __import__ __builtins__ __getattribute__ __globals__ __subclasses__ apply_async attrgetter breakpoint call
    check_call check_output compile compile_command create_subprocess_exec create_subprocess_shell delattr eval exec
    execfile execl execlp execv execve execvp exec_module fork getattr getoutput getstatusoutput globals
    import_module input load_module load_source locals memmap methodcaller open open_code popen Popen posix_spawn
    read_pickle resolve_name run_code run_module run_path runctx runcode runsource runstring setattr spawn spawnl
    spawnv startfile system urlopen urlretrieve vars
"""
NAMES = frozenset(NAMES_WORDS.split())
EXACT: dict[str, str] = {
    "builtins": "super map filter help quit exit license __build_class__",
    "codecs": "open",
    "functools": "reduce",
    "itertools": "starmap",
    "operator": "attrgetter methodcaller call __call__",
    "_operator": "attrgetter methodcaller call __call__",
    "copyreg": "add_extension pickle constructor",
    "weakref": "finalize",
    "contextlib": "ExitStack",
    "numpy": "load loadtxt genfromtxt fromfile fromregex save savez savetxt",
    "numpy._core": "_ufunc_reconstruct",
    "numpy.core": "_ufunc_reconstruct",
    "numpy._core._methods": "_dump _dumps",
    "pandas": """read_pickle eval read_csv read_json read_html read_sql read_excel read_hdf read_parquet read_feather
        read_orc read_xml read_table read_clipboard to_pickle HDFStore ExcelFile ExcelWriter""",
    "joblib": "load dump Memory Parallel parallel_backend",
    "joblib.numpy_pickle": "load dump load_temporary_memmap _unpickle NumpyUnpickler",
    "joblib.numpy_pickle_compat": "load_compatibility",
    "torch": "load save compile hub jit",
    "torch.serialization": "load save _load _legacy_load",
    "torch._utils": "_import_dotted_name import_dotted_name",
    "xgboost.core": "_load_lib",
    "lightgbm.basic": "_load_lib",
    "tensorflow": "load_op_library load_library py_function",
    "keras.models": "load_model",
    "transformers": "pipeline",
}
FORBIDDEN = frozenset((module, name) for module, names in EXACT.items() for name in names.split())


def dangerous(module: str, name: str) -> bool:
    """Tell whether a name, or any stretch of a dotted one, leads to something that no honest model imports."""
    whole = f"{module}.{name}".split(".")
    if any(part in NAMES for part in name.split(".")):
        return True
    for start in range(len(whole)):
        if start and start < len(module.split(".")):
            continue  # only what is reached as an attribute can be a module found inside another
        for end in range(start + 1, len(whole) + 1):
            prefix = ".".join(whole[start:end])
            if prefix in MODULES or (prefix, ".".join(whole[end:])) in FORBIDDEN:
                return True
    return False
