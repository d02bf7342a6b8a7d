"""The dashboard as Grafana draws it in a browser.  `pytest -s -m slow tests/journeys/test_grafana.py`"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.api_client import ApiClient
from operations import grafana
from tests.journeys.browser import Panel, browser, panels_at, screenshot
from tests.journeys.monitored import filled, monitored, must_have_data, panels, traffic
from tests.platform import Platform

HERE = "pytest -s -m slow tests/journeys/test_grafana.py"
FILLED_SECONDS = 90
LOOKS = 5

# A page that builds panels as Grafana marks them, after a while: one with a graph, one with a number, three without.
PAGE = """<!DOCTYPE html><title>A dashboard</title><body><script>
const panel = (title, inside, status) => `<section data-testid="data-testid Panel header ${title}"><h2>${title}</h2>`
  + (status || "") + `<div data-testid="data-testid panel content">${inside}</div></section>`;
setTimeout(() => document.body.insertAdjacentHTML("beforeend",
  panel("Drawn", '<div class="uplot u-hz"><canvas></canvas><img></div>')
  + panel("A number", "<style>.a1 { color: red }</style><span>0.25 s</span>")
  + panel("Nothing", '<div data-testid="data-testid Panel data error message">No texts</div>')
  + panel("A number that is none", "<span>No data</span>")
  + panel("Refused", '<div class="uplot"></div>', '<button data-testid="data-testid Panel status error"></button>')
), 3000);
</script>"""


def why_no_browser() -> str | None:
    """Why pages cannot be rendered here."""
    return None if browser() else f"There is no Chromium; run `apt-get install chromium`, then `{HERE}`."


def why_no_grafana() -> str | None:
    """Why Grafana cannot be shown here."""
    return None if grafana.find() else f"Grafana is not on this machine.\n{grafana.HOW}\nThen run `{HERE}`."


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address of PAGE."""
    (tmp_path / "index.html").write_text(PAGE)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(bool(why_no_browser()), reason=str(why_no_browser()))
def test_an_empty_panel_is_seen_to_be_empty(page: str, tmp_path: Path) -> None:
    found = panels_at(page, tmp_path / "chromium")
    assert {title for title, panel in found.items() if panel.is_empty} == {
        "Nothing",
        "A number that is none",
        "Refused",
    }
    assert {title for title, panel in found.items() if not panel.is_empty} == {"Drawn", "A number"}
    assert found["Nothing"].trouble == "No texts"


@pytest.mark.slow
@pytest.mark.skipif(bool(why_no_browser()), reason=str(why_no_browser()))
@pytest.mark.skipif(bool(why_no_grafana()), reason=str(why_no_grafana()))
def test_every_panel_that_traffic_fills_is_drawn(
    platform: Platform, new_user: Callable[..., ApiClient], tmp_path: Path
) -> None:
    ask = traffic(new_user())
    with monitored(platform) as seen:
        assert seen.grafana
        assert filled(seen, ask, must_have_data(), FILLED_SECONDS) == {}
        url = f"{seen.grafana}/d/slipway?var-stage=local&from=now-5m&to=now&kiosk"
        wrong = not_drawn(url, ask, tmp_path)
        screenshot(url, tmp_path / "chromium", tmp_path / "grafana.png", "1600,2600")
        print(f"\n{len(panels())} panels of {url}; a picture of them is at {tmp_path / 'grafana.png'}")
        assert wrong == {}


def not_drawn(url: str, ask: Callable[[], None], folder: Path) -> dict[str, Panel | None]:
    """The panels that must show something and do not, or are not there; looks again, for rates are of seconds."""
    wrong: dict[str, Panel | None] = {}
    for _ in range(LOOKS):
        ask()
        drawn = panels_at(url, folder / "chromium")
        wrong = {title: drawn.get(title) for title in must_have_data() if title not in drawn or drawn[title].is_empty}
        if not wrong:
            break
    return wrong
