"""Programs and pictures: files that are no model, known by their first bytes."""

from __future__ import annotations

from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
PROGRAMS = {
    b"\x7fELF": "a program or library for Linux",
    b"MZ": "a program or library for Windows",
    b"\xfe\xed\xfa\xce": "a program or library for macOS",
    b"\xfe\xed\xfa\xcf": "a program or library for macOS",
    b"\xce\xfa\xed\xfe": "a program or library for macOS",
    b"\xcf\xfa\xed\xfe": "a program or library for macOS",
    b"\xca\xfe\xba\xbe": "a program for macOS or a class of Java",
    b"\x00asm": "a program in WebAssembly",
}
OWN_NAMES = {"", "bin", "so", "dll", "exe", "dylib", "pyd", "class", "wasm", "node", "o"}  # which programs may have


def scan(source: Source, filename: str) -> Examination:
    """Examine a file that begins like a program or a picture."""
    head = source.read(0, 16)
    if head.startswith(PICTURES):
        return Examination("image")
    found = Examination("executable")
    kind = next((kind for magic, kind in PROGRAMS.items() if head.startswith(magic)), None)
    name = filename.rsplit("/", 1)[-1]
    suffixes = {part.lower() for part in name.split(".")[1:]} or {""}  # libx.so.1.2 is a library too
    if kind is None:
        found.format = None
        found.unscanned("unknown_format", "The scanner does not know this format.")
    elif suffixes & OWN_NAMES:
        found.suspicious("program", f"It is {kind}: machine code that runs if something loads it.")
    else:
        found.malicious("disguised_program", f"It is {kind}, though its name says that it is something else.")
    return found
