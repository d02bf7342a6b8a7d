"""Hostile Excel workbooks."""

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl

from tests.units.processing.hostile_case import MIB, Content, Hostile


def workbook(write: Callable[[openpyxl.Workbook], object]) -> bytes:
    book = openpyxl.Workbook()
    write(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(part: str, change: Callable[[bytes], bytes], **added: bytes) -> bytes:
    """An honest workbook with one part changed and others added."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(plain())) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, change(old.read(info)) if info.filename == part else old.read(info))
        for name, content in added.items():
            new.writestr(name, content)
    return file.getvalue()


def plain() -> bytes:
    return workbook(lambda book: fill(book, {"A1": "a", "B1": "b", "A2": 1, "B2": "x", "A3": 2, "B3": "y"}))


def fill(book: openpyxl.Workbook, cells: dict[str, Any]) -> None:
    for name, value in cells.items():
        book[book.sheetnames[0]][name] = value


def put(**cells: Any) -> bytes:
    """A workbook with these cells."""
    return workbook(lambda book: fill(book, cells))


SHEET = "xl/worksheets/sheet1.xml"
LAUGHS = b"<!DOCTYPE x [<!ENTITY a0 'lol'>%s]>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 10)
)


def entities(text: bytes) -> bytes:
    """A sheet whose first cell is a text of a billion laughs."""
    return LAUGHS + re.sub(rb'<c r="A2".*?</c>', b'<c r="A2" t="inlineStr"><is><t>&a9;</t></is></c>', text, count=1)


def outside(text: bytes) -> bytes:
    """A sheet whose first cell is the text of a file on the machine."""
    doctype = b"<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    return doctype + re.sub(rb'<c r="A2".*?</c>', b'<c r="A2" t="inlineStr"><is><t>&x;</t></is></c>', text, count=1)


def empties(text: bytes) -> bytes:
    """A sheet with a row of 300,000 cells that hold nothing."""
    cells = b"".join(b'<c r="%s%d"/>' % (column, 3) for column in (b"A", b"ZZ", b"XFD") for _ in range(100_000))
    return text.replace(b"</row>", cells + b"</row>", 1)


def shared(text: bytes) -> bytes:
    """A sheet with a hundred thousand cells of one text of 32 kB."""
    rows = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(4, 100_000))
    return text.replace(b"</sheetData>", rows + b"</sheetData>")


def failed(text: bytes) -> bytes:
    """A sheet whose last number is an error."""
    return text.replace(b"<v>2</v>", b"<v>#DIV/0!</v>").replace(b'r="A3" t="n"', b'r="A3" t="e"')


def named(text: bytes) -> bytes:
    """An index whose sheet has a name of a billion laughs."""
    return LAUGHS + text.replace(b'"Sheet"', b'"&a9;"')


def workbooks() -> list[Hostile]:
    """Workbooks."""
    spaces = b" " * (200 * MIB)
    texts = {"xl/sharedStrings.xml": b"<sst><si><t>" + b"x" * 32_000 + b"</t></si></sst>"}
    call = b'<externalLink><ddeLink ddeService="cmd" ddeTopic="/c calc"/></externalLink>'
    link = {"xl/externalLinks/externalLink1.xml": call}
    unknown = "cannot be read as a workbook .*entity"
    found: dict[str, tuple[Content, str | None]] = {
        "XLSX of no bytes": (b"", "no Excel workbook"),
        "XLSX that is a page": (b"<html><table>", "web page"),
        "XLSX truncated": (lambda: plain()[:-100], "cut off"),
        "XLSX ZIP bomb": (lambda: changed(SHEET, lambda text: text + spaces), "times its size"),
        "XLSX ZIP slip": (lambda: changed("", bytes, **{"../../x.xml": b"x"}), "leaves its folder"),
        "XLSX of another kind": (lambda: plain().replace(b"xl/workbook.xml", b"xl/workbook.bin"), "another kind"),
        "XLSX entity bomb": (lambda: changed(SHEET, entities), unknown),
        "XLSX external entity": (lambda: changed(SHEET, outside), unknown),
        "XLSX entity bomb in its index": (lambda: changed("xl/workbook.xml", named), unknown),
        "XLSX external links": (lambda: changed("", bytes, **link), None),
        "XLSX text bomb": (lambda: changed(SHEET, shared, **texts), "memory"),
        "XLSX cell far away": (lambda: put(A1="a", B1="b", A2=1, XFD1048576=2), "memory"),
        "XLSX of 16,384 columns": (lambda: put(A1="a", A2=1, XFD2=2), "16,384 columns"),
        "XLSX of 9,437,184 cells": (lambda: put(A1="a", I1="b", A2=1, I1048576=2), "9,437,184 cells|memory"),
        "XLSX of 300,000 empty cells": (lambda: changed(SHEET, empties), "times its size"),
        "XLSX error": (lambda: changed(SHEET, failed), "A3 holds the error #DIV/0!"),
        "XLSX formula never calculated": (lambda: put(A1="a", A2=1, A3="=A2*2"), "A3 holds a formula"),
        "XLSX two columns of a name": (lambda: put(B3="a", C3="a", B4=1, C4=2), "cells B3 and C3 both say"),
        "XLSX column without a name": (lambda: put(A1="a", A2=1, B2=2), "B1 is empty and B2 is not"),
        "XLSX without cells": (lambda: put(), "no visible sheet has cells"),
        "XLSX of only a header": (lambda: put(A1="a", B1="b"), "no rows below"),
        "XLS of zeros": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(MIB), "cannot be read as a workbook"),
    }
    return [Hostile(name, "tabular", "excel", {"data.xlsx": made}, said) for name, (made, said) in found.items()]
