"""Which ZIPs can be scripts, judged by their directory.  `pytest tests/units/test_script_zip.py`"""

from collections.abc import Mapping

import pytest

from lambdas.common.zip_directory import Entry, ZipProblem
from lambdas.jobs import script_zip
from tests.script_zips import HOSTILE, example, packed


def check(archive: bytes) -> list[Entry]:
    return script_zip.check(lambda offset, length: archive[offset : offset + length], len(archive))


def test_the_example_can_be_used() -> None:
    files = check(example())
    assert {file.name for file in files} == {"README.md", "train.py"}
    script_zip.check_entry_point(files, "train.py")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_dishonest_zip_is_refused_with_what_is_wrong(kind: str) -> None:
    archive, problem = HOSTILE[kind]
    with pytest.raises(ZipProblem, match=problem):
        check(archive)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"train.txt": ""}, "has no Python file"),
        ({"train.py": "", "wheels/setup.py": ""}, r"has 'wheels/setup.py' in wheels/, which holds wheels \(.whl\)"),
        ({"train.py": "", "wheels/deeper/a.whl": ""}, "has 'wheels/deeper/a.whl' in wheels/"),
    ],
)
def test_what_is_in_the_wrong_place_is_named(files: Mapping[str, str], problem: str) -> None:
    with pytest.raises(ZipProblem, match=problem):
        check(packed(files))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"folder/train.py": ""}, "has 'folder/train.py' but no train.py: pack the files themselves"),
        ({"main.py": "", "b.py": ""}, "has no train.py: .* Python files at its top are: b.py, main.py"),
    ],
)
def test_a_missing_entry_point_comes_with_what_there_is(files: Mapping[str, str], problem: str) -> None:
    with pytest.raises(ZipProblem, match=problem):
        script_zip.check_entry_point(check(packed(files)), "train.py")


def test_what_systems_add_is_no_file_of_the_script() -> None:
    files = check(packed({"train.py": "", "__MACOSX/._train.py": "", ".DS_Store": "", "wheels/a.whl": ""}))
    assert [file.name for file in files] == ["train.py", "wheels/a.whl"]


def test_a_zip_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ZipProblem, match="268,435,456 are possible"):
        script_zip.check(lambda offset, length: pytest.fail("it was read"), script_zip.MAX_BYTES + 1)
