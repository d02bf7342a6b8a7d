"""The rules of the house: who imports whom, and that the README is true.  `pytest tests/test_house.py`"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticUndefined

from cdk_app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
LONGEST = 330  # lines; past about 300 a file is two nouns

# Package -> the packages of ours that it may import. What is not named here may import nothing of ours.
MAY_IMPORT = {
    "app": {"stacks", "cdk_app"},
    "stacks": {"cdk_app"},
    "cdk_app": set(),
    "lambdas": set(),
    "training_containers": set(),
    "local": set(),
    "operations": {"local", "cdk_app", "lambdas"},
    "benchmarks": {"app", "stacks", "cdk_app", "lambdas", "training_containers", "local", "operations"},
}
NOUNS = ["common", "datasets", "models", "jobs", "endpoints", "metrics", "stats"]  # each may call those before it
NOUNS_APART = ["accounts", "processing", "scanner", "system"]  # these call `common` only
SHOWN_TO_OTHER_NOUNS = {"service", "schemas"}
LAYERS = {  # module of a noun -> modules of the same noun that it may not import
    "schemas": {"handler", "routes", "tasks", "service"},
    "service": {"handler", "routes", "tasks"},
    "routes": {"handler", "tasks"},
    "tasks": {"handler", "routes"},
}
MINISTACK = {  # the only modules that know the emulator's private names
    f"local/{name}.py"
    for name in (
        *("bearer_tokens", "cloudwatch_hooks", "emulator", "emulator_hooks", "gateway_hooks", "log_hooks"),
        *("object_hooks", "upload_hooks", "vended_hooks"),
    )
}
NOT_OURS_TO_SAY = re.compile(
    r"/work/|/farm/|/root/|/tmp/b|\bsub-?agents?\b|\bissue #?\d|\bcontract\.md\b|--(extra-)?index-url|\"resolved\":",
    re.IGNORECASE,
)


def sources(*packages: str) -> list[Path]:
    """Every Python file of the given packages, or of all but the tests."""
    chosen = [ROOT / package for package in packages or [name for name in MAY_IMPORT if name != "app"]]
    return [ROOT / "app.py", *(file for folder in chosen for file in sorted(folder.rglob("*.py")))]


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imports_of(file: Path) -> Iterator[str]:
    """The dotted modules that a file imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(file: Path) -> set[str]:
    return {module for module in imports_of(file) if module.split(".")[0] in MAY_IMPORT}


def test_a_package_imports_only_what_the_house_allows():
    wrong = []
    for file in sources():
        package = file.relative_to(ROOT).parts[0].removesuffix(".py")
        used = {module.split(".")[0] for module in imports_of(file)} & {*MAY_IMPORT, "tests"}
        wrong += [f"{name_of(file)} imports {other}" for other in used - {package} - MAY_IMPORT[package]]
    assert wrong == []


def test_operations_takes_of_the_functions_code_only_the_schemas_and_what_judges_a_script():
    used = {module for file in sources("operations") for module in ours(file) if module.startswith("lambdas.")}
    judging = {"lambdas.jobs.script_zip", "lambdas.common.zip_directory"}
    others = {module for module in used if not any(module.startswith(name) for name in judging)} - {"lambdas.jobs"}
    assert {module.split(".")[2] for module in others} <= {"schemas"}


def test_a_noun_calls_the_services_of_earlier_nouns_and_nothing_else_of_them():
    wrong = []
    for file in sorted((ROOT / "lambdas").rglob("*/*.py")):
        noun, module = file.relative_to(ROOT / "lambdas").with_suffix("").parts
        earlier = {"common"} if noun in NOUNS_APART else set(NOUNS[: NOUNS.index(noun)])
        for used in ours(file) - {"lambdas"}:
            other, *inside = used.split(".")[1:]
            first = {*inside[:1]}
            if other == noun:
                allowed = not first & LAYERS.get(module, set())
            else:
                allowed = other in earlier and (other == "common" or first <= SHOWN_TO_OTHER_NOUNS)
            wrong += [] if allowed else [f"{name_of(file)} imports {used}"]
    assert wrong == []


def test_an_image_family_imports_its_own_folder_and_the_common_one():
    wrong = []
    for file in sorted((ROOT / "training_containers").rglob("*.py")):
        family = file.relative_to(ROOT / "training_containers").parts[0]
        allowed = {"training_containers", f"training_containers.{family}", "training_containers.common"}
        used = {".".join(module.split(".")[:2]) for module in ours(file)}
        wrong += [f"{name_of(file)} imports {module}" for module in used - allowed]
    assert wrong == []


def test_only_the_emulators_modules_know_the_emulator():
    knowing = {name_of(file) for file in sources() if any(m.split(".")[0] == "ministack" for m in imports_of(file))}
    assert knowing == MINISTACK


def test_every_module_says_in_its_first_line_what_it_is():
    files = [file for file in [*sources(), *(ROOT / "tests").rglob("*.py")] if file.read_text().strip()]
    assert [name_of(file) for file in files if not ast.get_docstring(ast.parse(file.read_text()))] == []


def test_no_file_is_two_nouns_long():
    assert [name_of(file) for file in sources() if len(file.read_text().splitlines()) > LONGEST] == []


def texts() -> Iterator[Path]:
    """Every text that people read: sources, documents, settings, locks."""
    kept = {".py", ".md", ".json", ".txt", ".in", ".toml", ".yaml", ""}
    folders = [ROOT / name for name in [*MAY_IMPORT, "tests", "docs", ".ci"] if (ROOT / name).is_dir()]
    for file in [*ROOT.iterdir(), *(file for folder in folders for file in folder.rglob("*"))]:
        caches = {"__pycache__", ".ruff_cache", ".pytest_cache"} & {*file.parts}
        if file.is_file() and file.suffix in kept and not caches and file != Path(__file__):
            yield file


def test_texts_speak_of_the_product_only():
    found = [
        f"{name_of(file)}: {line.strip()}"
        for file in texts()
        for line in file.read_text(errors="ignore").splitlines()
        if NOT_OURS_TO_SAY.search(line)
    ]
    assert found == []


# ----------------------------------------------------------------------------------------------- the README


def section(title: str) -> str:
    """The text of a section of the README."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"The README has no section {title!r}."
    return found[1]


def mapped_paths() -> list[str]:
    """The paths that the README's map names: the words before the comment of each line of its tree."""
    block = re.search(r"```\n(.*?)```", section("The map"), re.DOTALL)
    assert block
    paths, folder = [], ""
    for line in block[1].splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        if not line.startswith(" "):
            folder = names[0] if names[0].endswith("/") else ""
            paths += names
        else:
            paths += [folder + name for name in names]
    return paths


def test_the_map_names_only_what_there_is():
    assert [path for path in mapped_paths() if not (ROOT / path).exists()] == []


def test_the_map_names_every_folder():
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()} | {".git"}
    here = {folder.name for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".slipway")}
    assert {f"{name}/" for name in here - ignored} <= set(mapped_paths())


def rows(title: str) -> list[list[str]]:
    """The rows of the table in a section of the README, without the code marks around a cell."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("| ").split(" | ")] for line in lines]


def test_each_file_on_the_parameters_way_has_the_name_it_is_said_to_have():
    way = rows("One parameter's way")
    assert len(way) > 5
    wrong = [path for path, name, _ in way if not re.search(rf"\b{re.escape(name)}\b", (ROOT / path).read_text())]
    assert wrong == []


def test_the_settings_table_is_the_settings():
    told = {name: default for name, default, _ in rows("Settings")}
    true = {
        name: "required" if field.default is PydanticUndefined else json.dumps(field.default)
        for name, field in Settings.model_fields.items()
        if name != "stage"
    }
    assert told == true


def test_every_make_target_that_a_document_shows_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = {file: file.read_text() for file in texts() if file.suffix == ".md"}
    shown = {file: set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) for file, text in documents.items()}
    assert {name_of(file): names - targets for file, names in shown.items() if names - targets} == {}
    assert {"demo", "test", "deploy", "destroy", "doctor", "admin"} <= shown[ROOT / "README.md"]
