"""What `tasks watch` draws on a real terminal, at several widths, with and without colours."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pulp_console.output import cells_of

from tests.support.command import environment, shown_on_a_terminal
from tests.unit.test_admin_watch import ID, sse, task

HALF = {"content": {"items_total": 10, "items_left": 5, "size_total": 3_400_000, "size_left": 2_200_000}}
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


class Api(BaseHTTPRequestHandler):
    """Half done at the first look, and failed at the next."""

    reports: list[dict[str, Any]]
    refusals: int

    def do_GET(self) -> None:
        if self.path.startswith("/pulp/api/v3/events/"):
            self._answer(sse("finished"), "text/event-stream")
        elif "/v3/" in self.path:
            self._answer(b"{}")
        elif len(self.reports) == 1 and self.server.refusals:  # type: ignore[attr-defined]
            self.server.refusals -= 1  # type: ignore[attr-defined]
            self._answer(b'{"error_message": "Kafka is away"}', status=503)
        else:
            report = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
            self._answer(json.dumps(report).encode())

    def _answer(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def api(*, refusals: int = 0) -> Iterator[str]:
    half = task("running", progress=HALF, progress_report=HALF)
    handler = type("Handler", (Api,), {"reports": [half, task("error", progress=HALF)]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.refusals = refusals  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watch(home: Path, columns: int, *, refusals: int = 0, **env: str) -> str:
    """All that is shown; lines are those of the terminal, drawn over one another."""
    with api(refusals=refusals) as url:
        program = str(Path(sys.executable).with_name("pulp-admin"))
        unset = ("NO_COLOR", "FORCE_COLOR", "TERM")
        kept = {key: value for key, value in environment(home).items() if key not in unset}
        (home / ".pulp").mkdir(exist_ok=True)
        (home / ".pulp" / "admin.toml").touch()
        full = {**kept, "TERM": "xterm-256color", "PULP_URL": url, **env}
        code, shown = shown_on_a_terminal([program, "tasks", "watch", "--task-id", ID], env=full, columns=columns)
    assert code == 1, shown
    return shown


def lines(shown: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", _ESCAPE.sub("", shown)) if line]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_bar_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    drawn = [line for line in lines(watch(tmp_path, columns)) if "Running" in line]
    assert drawn
    assert max(cells_of(line) for line in drawn) < columns
    assert all("5/10 items" in line for line in drawn)
    assert all(
        ("1.2/3.4 MB" in line, "sync: " in line, "━" in line) == (True, columns > 40, columns > 40) for line in drawn
    )


def test_the_outcome_stays_on_the_terminal(tmp_path: Path) -> None:
    assert lines(watch(tmp_path, 120))[-1] == ("sync: Error after 3m05s: no route to host (5/10 items, 1.2/3.4 MB)")


@pytest.mark.parametrize(("no_color", "is_coloured"), [(None, True), ("", True), ("1", False)])
def test_no_color_takes_the_colour_and_not_the_bar(tmp_path: Path, no_color: str | None, is_coloured: bool) -> None:
    shown = watch(tmp_path, 80) if no_color is None else watch(tmp_path, 80, NO_COLOR=no_color)
    assert "━" in shown
    assert bool(_COLOUR.search(shown)) is is_coloured


def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    shown = watch(tmp_path, 80, TERM="dumb")
    assert "\x1b" not in shown
    assert "Z sync: Running, 5/10 items, 1.2/3.4 MB" in shown


def test_a_terminal_without_line_characters_gets_a_bar_of_others(tmp_path: Path) -> None:
    shown = watch(tmp_path, 80, PYTHONIOENCODING="ascii")
    assert "#" in shown
    assert "\\u" not in shown


def test_remarks_are_above_the_bar(tmp_path: Path) -> None:
    shown = lines(watch(tmp_path, 80, refusals=1))
    assert "The server cannot answer now: Kafka is away" in shown
    assert "Trying again." in shown
