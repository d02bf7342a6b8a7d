"""Grafana on this machine: where it is, what it is told, and how to install it where it is not."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.home import REPOSITORY
from operations.terminal import OperationError

FILES = REPOSITORY / "monitoring" / "grafana"  # settings, data sources and dashboards
DASHBOARD = FILES / "dashboards" / "slipway.json"
PACKAGED = Path("/usr/share/grafana")  # where Grafana's own packages for Debian and Red Hat put it
PROGRAMS = ("grafana", "grafana-server")  # the second is the older name
DEFAULTS = Path("conf") / "defaults.ini"  # what makes a folder Grafana's home
HOW = """To install Grafana:
  Debian, Ubuntu  add its repository (https://grafana.com/docs/grafana/latest/setup-grafana/installation/debian/), then
                  sudo apt-get update && sudo apt-get install grafana
  macOS           brew install grafana
  elsewhere       unpack https://grafana.com/grafana/download, and set GRAFANA_HOME to its folder."""


@dataclass(frozen=True)
class Grafana:
    """The program with its first arguments, and the folder with its own pages and defaults."""

    command: tuple[str, ...]
    home: Path


def find() -> Grafana | None:
    """Return Grafana: of GRAFANA_HOME, the PATH, or its packages; None when it is not here.

    Raises OperationError for a GRAFANA_HOME that is none, and for a program whose home is not found.
    """
    if named := os.environ.get("GRAFANA_HOME"):
        home = Path(named)
        if not (home / DEFAULTS).exists():
            raise OperationError(f"GRAFANA_HOME is {named}, where there is no {DEFAULTS}; name the folder that has it.")
        return installed(home, program_on_path())
    program = program_on_path()
    if program is None:
        return installed(PACKAGED, None) if (PACKAGED / DEFAULTS).exists() else None
    prefix = program.resolve().parent.parent
    for home in (prefix, prefix / "share" / "grafana", PACKAGED):  # unpacked, Homebrew's, a package's
        if (home / DEFAULTS).exists():
            return installed(home, program)
    raise OperationError(f"{program} is there, but not its folder with {DEFAULTS}; set GRAFANA_HOME to that folder.")


def program_on_path() -> Path | None:
    """Return the first of Grafana's programs on the PATH."""
    return next((Path(found) for name in PROGRAMS if (found := shutil.which(name))), None)


def installed(home: Path, elsewhere: Path | None) -> Grafana:
    """Return the Grafana of a home; `elsewhere` is taken where it has no program inside (Homebrew keeps them apart).

    A package's program on the PATH is a script that adds the settings of the system's Grafana, so it comes second.
    """
    inside = next((home / "bin" / name for name in PROGRAMS if (home / "bin" / name).exists()), None)
    program = inside or elsewhere
    if program is None:
        raise OperationError(f"There is no program in {home}/bin; install Grafana anew, or put it on the PATH.")
    return Grafana((str(program), "server") if program.name == "grafana" else (str(program),), home)


def command(grafana: Grafana) -> list[str]:
    """Return the command that runs Grafana with our settings and no others."""
    return [*grafana.command, "--homepath", str(grafana.home), "--config", str(FILES / "grafana.ini")]


def environment(
    around: Mapping[str, str], data: Path, port: int, prometheus: str, scrape_interval: int
) -> dict[str, str]:
    """Return what grafana.ini and the provisioning files refer to, added to `around`.

    Grafana takes any GF_... for a setting, over grafana.ini, which would undo that it serves this machine alone.
    """
    return {
        **{name: value for name, value in around.items() if not name.startswith("GF_")},
        "SLIPWAY_GRAFANA_DATA": str(data),
        "SLIPWAY_GRAFANA_FILES": str(FILES),
        "SLIPWAY_GRAFANA_PORT": str(port),
        "SLIPWAY_PROMETHEUS_URL": prometheus,
        "SLIPWAY_SCRAPE_INTERVAL": f"{scrape_interval}s",
    }
