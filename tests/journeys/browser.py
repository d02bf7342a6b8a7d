"""A page as headless Chromium renders it, and the panels of a Grafana dashboard in it.

Grafana marks its elements for tests: `selectors.components.Panels.Panel` of the npm package @grafana/e2e-selectors,
the same from Grafana 11.1 to 13.2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
PANEL = "data-testid Panel header "  # with the title after it
CONTENT = "data-testid panel content"
MESSAGE = "data-testid Panel data error message"  # in the place of a graph: "No data", or the panel's own words
FAILED = "data-testid Panel status error"
RENDER_SECONDS = 120
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Panel:
    """What is to be seen of a panel."""

    title: str
    has_graph: bool = False  # of uPlot, which draws time series
    texts: list[str] = field(default_factory=list)  # of the content
    trouble: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it shows nothing, an error, or that there is nothing."""
        shown = " ".join(self.texts)
        return self.trouble is not None or "No data" in shown or not (self.has_graph or any(map(str.isdigit, shown)))


def browser() -> str | None:
    """The path of Chromium, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def chromium(url: str, folder: Path, size: str, *arguments: str, settle_seconds: int = 15) -> str:
    """Load a page in a window of so many pixels, let its clock run, and return what Chromium then prints."""
    program = browser()
    assert program, "see browser()"
    command = [program, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    command += [f"--user-data-dir={folder}", f"--window-size={size}", f"--virtual-time-budget={settle_seconds * 1000}"]
    done = subprocess.run(
        [*command, *arguments, url], capture_output=True, text=True, timeout=RENDER_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def panels_at(url: str, folder: Path) -> dict[str, Panel]:
    """The panels that a page shows, by title; the window is as tall as they are, for Grafana draws what is in sight."""
    reader = PanelReader()
    reader.feed(chromium(url, folder, "1600,6000", "--dump-dom"))
    return {panel.title: panel for panel in reader.panels}


def screenshot(url: str, folder: Path, file: Path, size: str) -> None:
    """Write a PNG of a page."""
    chromium(url, folder, size, f"--screenshot={file}")


class PanelReader(HTMLParser):
    """Collects the panels of a page; a panel's texts are those of its content."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: list[Panel] = []
        self.open: list[str] = []  # what each element that is open stands for

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        marked = values.get("data-testid", "")
        kind = {CONTENT: "content", MESSAGE: "message"}.get(marked, "")
        if marked.startswith(PANEL):
            kind = "panel"
            self.panels.append(Panel(marked.removeprefix(PANEL)))
        elif self.panels and "panel" in self.open:
            self.note(self.panels[-1], marked, values.get("class", ""))
        if tag in {"script", "style"}:
            kind = "code"
        if tag not in VOID:
            self.open.append(kind)

    @staticmethod
    def note(panel: Panel, marked: str, classes: str) -> None:
        """Note what an element inside a panel says of it."""
        panel.has_graph |= "uplot" in classes.split()
        if marked in (MESSAGE, FAILED):
            panel.trouble = panel.trouble or marked.removeprefix("data-testid ")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "content" in self.open and "code" not in self.open and data.strip():
            self.panels[-1].texts.append(data.strip())
            if "message" in self.open:
                self.panels[-1].trouble = data.strip()
