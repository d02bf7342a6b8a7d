"""GGUF: counts and lengths that lie, and templates that are programs.  `pytest tests/units/scanner/test_gguf.py`"""

import struct

import pytest
from hypothesis import given, settings

from lambdas.scanner.chat_templates import examine_template
from lambdas.scanner.gguf import scan
from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource
from tests.units.scanner.format_samples import assert_bounded, codes, edited, edits, made


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def file(tensors: int, entries: int, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + rest


def test_what_the_library_writes_is_clean_and_counted():
    found = scan(BytesSource(made("chat.gguf")), "chat.gguf")
    assert (found.verdict, found.format, found.framework) == ("clean", "gguf", "other")
    assert found.metadata == {"num_parameters": 32 * 4 + 8 * 4}


def test_a_template_that_reaches_for_python_is_suspicious():
    found = scan(BytesSource(made("escape.gguf")), "escape.gguf")
    assert codes(found) == {"template_escape"}
    assert "__class__" in found.findings[0].message


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(file(2**63, 0), id="tensors without end"),
        pytest.param(file(0, 2**63), id="entries without end"),
        pytest.param(file(0, 1, text(b"k") + struct.pack("<IQ", 8, 2**62)), id="text longer than the file"),
        pytest.param(file(0, 1, text(b"k") + struct.pack("<IIQ", 9, 4, 2**62)), id="numbers beyond the end"),
        pytest.param(file(0, 1, text(b"k") + struct.pack("<IIQ", 9, 8, 2**62)), id="texts beyond the end"),
        pytest.param(file(0, 1, text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 1000), id="deep arrays"),
        pytest.param(file(0, 1, text(b"k") + struct.pack("<I", 99)), id="unknown type"),
        pytest.param(file(1, 0, text(b"t") + struct.pack("<I", 2**31)), id="dimensions"),
        pytest.param(file(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 2**40, 0, 0)), id="tensor beyond the end"),
        pytest.param(file(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 0, 0, 2**40)), id="offset beyond the end"),
        pytest.param(file(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 1, 0, 3) + bytes(64)), id="offset not aligned"),
        pytest.param(file(0, 1, text(b"general.alignment") + struct.pack("<II", 4, 0)), id="alignment 0"),
        pytest.param(file(0, 0, version=77), id="unknown version"),
        pytest.param(b"GGUF", id="cut"),
    ],
)
def test_a_header_that_lies_is_suspicious(data: bytes):
    found = assert_bounded(scan, data, "m.gguf")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


def test_big_endian_files_are_read():
    entry = struct.pack(">Q", 1) + b"k" + struct.pack(">IQ", 8, 2) + b"ab"
    assert scan(BytesSource(b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + entry), "m").verdict == "clean"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ x['__globals__'] }}",
        "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
        "{{ lipsum.x }}",
        "{% import 'os' as o %}",
        "{%- include '/etc/passwd' %}",
        "{{ cycler['x'] }}",
    ],
)
def test_ways_out_of_a_sandbox(template: str):
    found = Examination("text")
    examine_template(template, "chat_template", found)
    assert codes(found) == {"template_escape"}


def test_templates_of_known_models_are_clean():
    found = Examination("text")
    examine_template(
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
        "{% set ns = namespace(is_first=false) %}{%- for message in messages %}{%- if loop.first and "
        "messages[0]['role'] != 'system' %}{{ bos_token }}{% endif %}{{ '<|im_start|>' + message.role + '\\n' + "
        "message['content'] | trim }}{%- if tool.function.arguments is mapping %}{{ arguments | tojson }}{% endif %}"
        "{%- endfor %}{{ raise_exception('import from python: self explained request') if false }}",
        "chat_template",
        found,
    )
    assert found.findings == []


@settings(max_examples=200, deadline=None)
@given(changes=edits())
def test_no_change_of_bytes_is_too_much(changes: tuple):
    assert_bounded(scan, edited(made("chat.gguf"), changes), "chat.gguf")
