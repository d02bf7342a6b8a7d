"""Lists of Python packages that come with a model: what they ask for, and from where."""

from __future__ import annotations

import re

from lambdas.scanner.report import Examination, shown

MOST_DEPENDENCIES = 200  # that are kept
MOST_LINES = 1000  # that say something
LONGEST = 200  # characters of one
LONGEST_LINE = 1000  # with its markers
REQUIREMENT = re.compile(  # possessive where white space meets white space, so that no line takes long
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*+(?:\[[^\]]*\])?\s*+"  # name and extras
    r"(?:\(?\s*+(?:===|~=|[=!<>]=|[<>])[^;@]++)?(?:;.*)?"  # versions and markers
)
ELSEWHERE = re.compile(r"(?:^|@\s*|\s)(?:(?:git|hg|svn|bzr)\+|[a-z][a-z0-9+.-]*://|file:)", re.IGNORECASE)
INCLUDES = {"-r", "--requirement", "-c", "--constraint"}
HARMLESS = {"--hash", "--no-binary", "--only-binary", "--prefer-binary", "--pre", "--require-hashes", "--use-feature"}
PYTHON_FILE = re.compile(r"\s*(?:python-|cpython-)?(\d+\.\d+(?:\.\d+)?)\s*", re.IGNORECASE)
PYTHON_IN_YAML = re.compile(r"^[ \t]*(?:-[ \t]*)?[\"']?python[ \t]*[:=]+[ \t]*[\"']?(\d+\.\d+(?:\.\d+)?)", re.MULTILINE)


def is_requirements(name: str) -> bool:
    """Tell whether a file of this name lists packages as pip reads them."""
    return bool(re.fullmatch(r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt", name.lower()))


def examine_requirements(text: str, found: Examination) -> None:
    """Take over the packages that a text names, and note those that come from elsewhere than an index."""
    dependencies: list[str] = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(?:^|\s)#.*", "", line).strip()
        line = re.sub(r"\s--hash[=\s]\S+", "", line).strip()
        if not line:
            continue
        if max(len(dependencies), len(found.findings)) >= MOST_LINES:
            found.unscanned("too_many_packages", f"It lists more than {MOST_LINES} packages.")
            break
        if len(line) > LONGEST_LINE:
            found.info("no_requirement", f"This line is no requirement: {line[:LONGEST]}")
            continue
        option = re.split(r"[=\s]", line, maxsplit=1)[0]
        if option in INCLUDES or (option.startswith("-r") and not option.startswith("--")):
            found.info("included_requirements", f"It includes another list of packages: {line[:LONGEST]}")
        elif option in HARMLESS:
            continue
        elif option.startswith("-"):
            found.suspicious("package_source", f"It has packages installed from elsewhere: {line[:LONGEST]}")
        else:
            if ELSEWHERE.search(line) or line.startswith((".", "/")) or line.endswith((".whl", ".tar.gz", ".zip")):
                found.suspicious("package_source", f"It names a package that comes from elsewhere: {line[:LONGEST]}")
            elif not REQUIREMENT.fullmatch(line):
                found.info("no_requirement", f"This line is no requirement: {line[:LONGEST]}")
                continue
            dependencies.append(shown(line, LONGEST))
    if dependencies:
        found.metadata["dependencies"] = dependencies[:MOST_DEPENDENCIES]


def python_version(name: str, text: str) -> str | None:
    """Return the version of Python that a file of this name asks for."""
    if name in (".python-version", "runtime.txt"):
        lines = text.strip().splitlines()
        version = PYTHON_FILE.fullmatch(lines[0][:LONGEST]) if lines else None
    elif name in ("python_env.yaml", "conda.yaml", "conda.yml", "environment.yml", "environment.yaml"):
        version = PYTHON_IN_YAML.search(text)
    else:
        version = None
    return version[1] if version else None
