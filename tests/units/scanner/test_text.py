"""Texts, lists of packages, boosters, programs.  `pytest tests/units/scanner/test_text.py`"""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.scanner import boosters, programs
from lambdas.scanner.documents import examine_document
from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource
from lambdas.scanner.text import MOST_PARSED, scan
from tests.units.scanner.format_samples import assert_bounded, codes, edited, edits, made


def scanned(data: str | bytes | dict | list, name: str) -> Examination:
    if isinstance(data, dict | list):
        data = json.dumps(data)
    return scan(BytesSource(data.encode() if isinstance(data, str) else data), name)


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("README.md", "# Model\n\n[![build](x)](y) Hello, wörld! `!!python/object` in prose is no tag.", "text"),
        ("notes.txt", "plain\r\nlines\tand tabs", "text"),
        ("config.yaml", "model: &base\n  layers: [1, 2]\n  name: !!str 5\nother: *base  # !important\n", "text"),
        ("data.json", "{}", "json"),
        ("list.json", "\ufeff[1, 2.5, null]", "json"),
        ("lines.jsonl", '{"a": 1}\n{"a": 2}\n', "json"),
        ("vocab.txt", "[PAD]\n[CLS]\n##ing\n", "text"),
        ("merges.txt", "#version: 0.2\nĠ t\n", "text"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "text"),
        ("template.j2", "{{ message.content }}", "text"),
    ],
)
def test_texts_are_clean(name: str, data: str | bytes, format: str):
    found = scanned(data, name)
    assert (found.verdict, found.format, found.findings) == ("clean", format, [])


@pytest.mark.parametrize("data", [b"\xff\xfe\xfd", b"text\0more", b"caf\xe9", b"\xc3"])
def test_what_is_no_text_is_unscanned(data: bytes):
    found = scanned(data, "notes.txt")
    assert (found.verdict, found.format) == ("unscanned", None)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['id']",
        "!!python/name:os.system",
        "!<tag:yaml.org,2002:python/object/apply:os.system> [id]",
        "!!p%79thon/object/apply:os.system [id]",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "a: {}", "- [1, {}]", '"#": {}', "# looks like a comment\nb: {}"])
@pytest.mark.parametrize("name", ["config.yaml", "config.yml", "MLmodel"])
def test_yaml_tags_of_python_are_malicious(tag: str, frame: str, name: str):
    found = scanned(frame.format(tag), name)
    assert (found.verdict, codes(found)) == ("malicious", {"yaml_tag"})
    assert "thon/" in found.findings[0].message


def test_yaml_tags_are_found_where_pieces_of_a_long_text_meet():
    for shift in range(0, 40, 3):
        data = (
            "# x" + "x" * (1024 * 1024 - 20 - shift) + "\na: !!python/object/apply:os.system [id]\n" + "b: 1\n" * 1000
        )
        assert scanned(data, "long.yaml").verdict == "malicious"


def test_yaml_directives_that_rename_tags_are_not_clean():
    whole = scanned("%TAG !p! tag:yaml.org,2002:python/\n---\n!p!object/apply:os.system [id]\n", "a.yaml")
    split = scanned("%TAG !p! tag:yaml.org,2002:pyth\n---\n!p!on/object/apply:os.system [id]\n", "a.yaml")
    assert (whole.verdict, split.verdict) == ("malicious", "suspicious")


@pytest.mark.parametrize("data", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_json_of_depth_100000_is_suspicious(data: str):
    found = scanned(data, "config.json")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


@pytest.mark.parametrize("data", ["{", "cos\nsystem\n(S'id'\ntR.", "{'a': 1}", "[1,]"])
def test_a_file_named_json_that_is_none_is_suspicious(data: str):
    assert scanned(data, "config.json").verdict == "suspicious"


@pytest.mark.parametrize(
    ("document", "verdict", "word"),
    [
        ({"architectures": ["BertModel"], "model_type": "bert"}, "clean", ""),
        ({"auto_map": {"AutoModel": "modeling_own.Own"}, "model_type": "own"}, "suspicious", "modeling_own.Own"),
        ({"model_type": "x", "trust_remote_code": True}, "suspicious", "trust_remote_code"),
        ({"custom_pipelines": {"a": {"impl": "own.Pipe"}}, "model_type": "x"}, "suspicious", "own.Pipe"),
        ({"tokenizer_class": "T", "chat_template": "{{ x.__class__ }}"}, "suspicious", "__class__"),
        (
            {"tokenizer_class": "T", "chat_template": [{"name": "d", "template": "{{ x.__init__ }}"}]},
            "suspicious",
            "__init__",
        ),
        ({"tokenizer_class": "T", "chat_template": "{{ messages[0].content }}"}, "clean", ""),
        ({"_class_name": "P", "unet": ["diffusers", "UNet2DConditionModel"], "x": [None, None]}, "clean", ""),
        ({"_class_name": "P", "unet": ["os", "system"]}, "suspicious", "os.system"),
        ({"peft_type": "LORA", "auto_mapping": {"parent_library": "transformers.models.bert"}}, "clean", ""),
        ({"peft_type": "LORA", "auto_mapping": {"parent_library": "evil"}}, "suspicious", "evil"),
    ],
)
def test_documents_of_hugging_face(document: dict, verdict: str, word: str):
    found = scanned(document, "config.json")
    assert (found.verdict, found.framework) == (verdict, "huggingface")
    assert word in " ".join(finding.message for finding in found.findings)


def test_other_documents_that_name_code():
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    assert scanned(modules, "modules.json").verdict == "clean"
    assert scanned([{**modules[0], "type": "evil.Module"}], "modules.json").verdict == "suspicious"
    hydra = {"trainer": {"_target_": "os.system"}}
    assert scanned(hydra, "config.json").verdict == "malicious"
    assert scanned({"trainer": {"_target_": "nemo.Trainer"}}, "config.json").verdict == "clean"
    assert scanned("model:\n  _target_: subprocess.Popen\n", "config.yaml").verdict == "malicious"


def test_a_long_document_is_searched_instead_of_parsed():
    filler = '"filler": "' + "x" * (MOST_PARSED + 1) + '"'
    assert scanned("{" + filler + "}", "tokenizer.json").verdict == "clean"
    assert scanned("{" + filler + ', "auto_map": {"a": "b"}}', "config.json").verdict == "suspicious"
    assert scanned("{" + filler + ', "class_name": "Lambda"}', "config.json").verdict == "suspicious"


@pytest.mark.parametrize(
    "name", ["modeling_own.py", "setup.py", "train.ipynb", "run.sh", "run.ps1", "x.js", "kernel.cu", "dir/a.PY"]
)
def test_sources_of_programs_are_suspicious(name: str):
    found = scanned("print(1)", name)
    assert (found.verdict, codes(found)) == ("suspicious", {"program"})


def test_a_script_is_known_by_its_first_line():
    assert codes(scanned("#!/bin/sh\nid\n", "weights")) == {"program"}


@pytest.mark.parametrize(
    ("data", "name", "verdict"),
    [
        (b"\x7fELF\x02\x01" + bytes(20), "ops.so", "suspicious"),
        (b"\x7fELF\x02\x01" + bytes(20), "libown.so.1.2", "suspicious"),
        (b"MZ\x90\0" + bytes(20), "own.dll", "suspicious"),
        (b"\x7fELF\x02\x01" + bytes(20), "model.bin", "suspicious"),
        (b"\x7fELF\x02\x01" + bytes(20), "model.h5", "malicious"),
        (b"\xcf\xfa\xed\xfe" + bytes(20), "model.safetensors", "malicious"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "loss.png", "clean"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "loss.jpg", "clean"),
    ],
)
def test_programs_and_pictures(data: bytes, name: str, verdict: str):
    assert programs.scan(BytesSource(data), name).verdict == verdict


def test_requirements_become_dependencies():
    lines = [
        "# comment",
        "numpy==2.4.6  # pinned",
        "scikit-learn>=1.5,<2",
        'torch ~= 2.4 ; python_version >= "3.10"',
        "uvicorn[standard]",
        "pandas==3.0 \\",
        "    --hash=sha256:00",
        "-r other.txt",
        "",
    ]
    found = scanned("\n".join(lines), "requirements.txt")
    assert found.verdict == "clean"
    assert found.metadata["dependencies"] == [
        "numpy==2.4.6",
        "scikit-learn>=1.5,<2",
        'torch ~= 2.4 ; python_version >= "3.10"',
        "uvicorn[standard]",
        "pandas==3.0",
    ]
    assert [finding.code for finding in found.findings] == ["included_requirements"]


@pytest.mark.parametrize(
    "line",
    [
        "git+https://example.com/x.git",
        "x @ https://example.com/x.whl",
        "https://example.com/x.whl",
        "-e .",
        "./local.whl",
        "--" + "index-url https://example.com/simple",
        "--" + "extra-index-url=https://example.com/simple",
        "-f https://example.com",
        "--trusted-host example.com",
    ],
)
def test_packages_from_elsewhere_are_suspicious(line: str):
    found = scanned(f"numpy==2.0\n{line}\n", "requirements-dev.txt")
    assert codes(found) == {"package_source"}
    assert "numpy==2.0" in found.metadata["dependencies"]


def test_lines_of_requirements_and_documents_have_an_end():
    assert scanned(("a" + " " * 990 + "!\n") * 500, "requirements.txt").verdict == "clean"
    assert scanned("\n" * 500_000, "conda.yaml").verdict == "clean"
    assert scanned("a\n" * 2000, "requirements.txt").verdict == "unscanned"


@pytest.mark.parametrize(
    ("name", "data", "version"),
    [
        (".python-version", "3.11.2\n", "3.11.2"),
        ("runtime.txt", "python-3.12.1", "3.12.1"),
        ("python_env.yaml", "python: 3.10.12\ndependencies:\n- -r requirements.txt\n", "3.10.12"),
        ("conda.yaml", "dependencies:\n- python=3.11.7\n- pip\n", "3.11.7"),
        ("runtime.txt", "none", None),
        (".python-version", "", None),
    ],
)
def test_the_version_of_python(name: str, data: str, version: str | None):
    assert scanned(data, name).metadata.get("python_version") == version


@pytest.mark.parametrize("name", ["boosted.ubj", "boosted.txt"])
def test_what_boosters_write_is_clean(name: str):
    found = boosters.scan(BytesSource(made(name)), name)
    assert (found.verdict, found.framework, found.metadata) == ("clean", "other", {"input_shape": [4]})
    assert found.format == ("lightgbm" if name.endswith("txt") else "xgboost")


def test_what_xgboost_writes_as_json_is_clean():
    found = scan(BytesSource(made("boosted.json")), "boosted.json")
    assert (found.verdict, found.format, found.metadata) == ("clean", "xgboost", {"input_shape": [4]})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{L" + struct.pack(">q", 2**62), id="key longer than the file"),
        pytest.param(b"{L" + struct.pack(">q", -1), id="negative length"),
        pytest.param(b"{U\x01a[$L#L" + struct.pack(">q", 2**62), id="numbers beyond the end"),
        pytest.param(b"{U\x01a" * 1000, id="deep"),
        pytest.param(b"{U\x01a" + b"[" * 100_000, id="deep lists"),
        pytest.param(b"{U\x01aQ}", id="unknown type"),
        pytest.param(b"{}behind", id="trailing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"tree\nversion=v4\n", id="no features"),
        pytest.param(b"tree\nmax_feature_idx=3\n\0", id="NUL"),
    ],
)
def test_boosters_that_lie_are_suspicious(data: bytes):
    found = assert_bounded(boosters.scan, data, "m.ubj")
    assert (found.verdict, codes(found)) == ("suspicious", {"malformed"})


def test_the_old_format_of_xgboost_is_unscanned():
    assert boosters.scan(BytesSource(b"binf" + bytes(100)), "m.model").verdict == "unscanned"


@settings(max_examples=200, deadline=None)
@given(changes=edits(), name=st.sampled_from(["boosted.ubj", "boosted.txt"]))
def test_no_change_of_a_boosters_bytes_is_too_much(changes: tuple, name: str):
    assert_bounded(boosters.scan, edited(made(name), changes), name)


@settings(max_examples=300, deadline=None)
@given(
    data=st.text(max_size=300).map(str.encode) | st.binary(max_size=300),
    name=st.sampled_from(
        ["a.json", "a.yaml", "requirements.txt", "a.md", ".python-version", "a.j2", "weights", "a.py"]
    ),
)
def test_no_bytes_are_too_much(data: bytes, name: str):
    assert_bounded(scan, data, name)


KEYS = ["auto_map", "chat_template", "learner", "version", "learner_model_param", "_target_", "_class_name", "path"]
KEYS += [
    "auto_mapping",
    "parent_library",
    "custom_pipelines",
    "class_name",
    "config",
    "type",
    "template",
    "num_feature",
]


@settings(max_examples=300, deadline=None)
@given(
    document=st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=20,
    )
)
def test_no_document_is_too_much(document: object):
    examine_document(json.loads(json.dumps(document)), "config.json", Examination("json"))
