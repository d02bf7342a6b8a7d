"""Which format a file is in: by its content first, by its name only where the content does not say."""

from __future__ import annotations

from lambdas.scanner import checkpoints, zip_directory
from lambdas.scanner.source import Source

HEAD = 64 * 1024  # what detection looks at

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x93NUMPY", "numpy"),
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"\x7fELF", "executable"),
    (b"MZ", "executable"),
    (b"\xcf\xfa\xed\xfe", "executable"),
    (b"\xca\xfe\xba\xbe", "executable"),
    (b"\x00asm", "executable"),
    (b"#!", "script"),
)
ALSO_WORDS = (b"MZ", b"BZh")
TORCH_SEQUENCE = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number that torch.save began with
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
EXTENSIONS = {
    "safetensors": "safetensors",
    "onnx": "onnx",
    "h5": "hdf5",
    "hdf5": "hdf5",
    "keras": "keras",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "joblib",
    "pt": "torch",
    "pth": "torch",
    "gguf": "gguf",
    "npy": "numpy",
    "npz": "zip",
    "zip": "zip",
    "tar": "tar",
    "pb": "savedmodel",
    "ubj": "xgboost",
}
# Where a file's content says only what it is written in, its name says for whom (the upload form's table).
FRAMEWORKS = {
    "pt": "pytorch",
    "pth": "pytorch",
    "h5": "keras",
    "hdf5": "keras",
    "keras": "keras",
    "pb": "tensorflow",
    "onnx": "onnx",
    "pkl": "sklearn",
    "joblib": "sklearn",
    "safetensors": "huggingface",
    "bin": "huggingface",
}
ONNX_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2"  # the fields of a ModelProto, as they are on the wire
HDF5_STARTS = (512, 1024, 2048, 4096, 8192)  # a user block may stand before the superblock


def detect(head: bytes, filename: str, source: Source) -> str | None:
    """Return the format of a file from its first bytes and its name; None when neither says.

    `pickle` is meant for anything whose bytes begin like one: a scanner of pickles finds out what wrote it.
    """
    return by_content(head, filename, source) or by_extension(head, filename) or ("text" if is_text(head) else None)


def by_content(head: bytes, filename: str, source: Source) -> str | None:
    """Return the format that the first bytes say."""
    if is_safetensors(head, source.size):  # first: the length of a header may look like any magic
        return "safetensors"
    for magic, format in MAGIC:
        if head.startswith(magic) and not (magic in ALSO_WORDS and is_text(head)):
            return format
    if head[:2] in ZLIB and not is_text(head):
        return "zlib"
    if TORCH_SEQUENCE in head[:32]:
        return "torch_sequence"
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return "pickle"
    if is_tar(head):
        return "tar"
    if any(head[start : start + 8] == b"\x89HDF\r\n\x1a\n" for start in HDF5_STARTS):
        return "hdf5"
    if head.startswith((b"{L", b"{i\x07learner", b"binf")):
        return "xgboost"
    if head.startswith(b"tree\nversion=v"):
        return "lightgbm"
    if filename.rsplit("/", 1)[-1] == "saved_model.pb":
        return "savedmodel"
    if len(head) > 3 and head[0] == 8 and 1 <= head[1] <= 20 and head[2] in ONNX_TAGS:
        return "savedmodel" if extension(filename) == "pb" else "onnx"
    return None


def by_extension(head: bytes, filename: str) -> str | None:
    """Return the format that the name promises."""
    name = extension(filename)
    if name == "json" or (name not in EXTENSIONS and head.lstrip()[:1] in (b"{", b"[") and is_text(head)):
        return "json"
    if checkpoints.NAME.fullmatch(filename):
        return "checkpoint"
    return EXTENSIONS.get(name)


def framework_by_name(filename: str) -> str | None:
    """Return the framework that a file of this name usually belongs to."""
    return FRAMEWORKS.get(extension(filename))


def extension(filename: str) -> str:
    """Return what stands after the last dot, in small letters."""
    name = filename.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[-1].lower() if "." in name else ""


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell whether the file begins with the length of a header and its brace."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def is_tar(head: bytes) -> bool:
    """Tell whether the file begins with a header of tar, by its checksum."""
    if len(head) < 512 or not any(head[:512]):
        return False
    field = head[148:156].strip(b" \x00")
    if not field or field.strip(b"01234567"):
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:512]) == int(field, 8)


def is_text(head: bytes) -> bool:
    """Tell whether the first bytes read as text in UTF-8."""
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) > 3  # cut inside a letter
    return True


def has_zip_end(source: Source) -> bool:
    """Tell whether a reader that begins at the end finds a ZIP archive's directory, or thinks that it does."""
    tail_at = max(0, source.size - zip_directory.LONGEST_TAIL)
    tail = source.read(tail_at, zip_directory.LONGEST_TAIL)
    at = tail.rfind(zip_directory.END)
    if at < 0 or len(tail) - at < 22:
        return False
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    return source.read(max(0, tail_at + at - size), 4) in (b"PK\x01\x02", zip_directory.END) or size == 0xFFFFFFFF
