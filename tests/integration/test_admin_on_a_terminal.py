"""`tasks watch` on a real terminal, at several widths, with and without colours."""

import json
import os
import re
import subprocess
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
from tests.unit.test_admin_watch import HEARTBEAT, ID, sse, task

HALF = {"content": {"items_total": 10, "items_left": 5, "size_total": 3_400_000, "size_left": 2_200_000}}
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


class Server(ThreadingHTTPServer):
    """What the API says."""

    reports: list[dict[str, Any]]
    refusals: int
    heartbeats: bool


class Api(BaseHTTPRequestHandler):
    """The task is half done at the first request, and failed at the next."""

    server: Server

    def do_GET(self) -> None:
        reports, is_quiet = self.server.reports, self.server.heartbeats
        if self.path.startswith("/pulp/api/v3/events/"):
            self._answer(HEARTBEAT * 100 if is_quiet else sse("finished"), "text/event-stream")
        elif "/v3/" in self.path:
            self._answer(b"{}")
        elif len(reports) == 1 and self.server.refusals:
            self.server.refusals -= 1
            self._answer(b'{"error_message": "Kafka is away"}', status=503)
        else:
            self._answer(json.dumps(reports.pop(0) if len(reports) > 1 and not is_quiet else reports[0]).encode())

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
def api(*, refusals: int = 0, heartbeats: bool = False) -> Iterator[str]:
    """The URL of the server. With `heartbeats` the task never ends, and nothing about it is sent."""
    half = task("running", progress=HALF, progress_report=HALF)
    server = Server(("127.0.0.1", 0), Api)
    server.reports = [half, task("error", progress=HALF)]
    server.refusals, server.heartbeats = refusals, heartbeats
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watch(home: Path, columns: int, *, refusals: int = 0, **env: str) -> str:
    """All that is shown, line by line, as the terminal shows it after overwriting."""
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


def test_a_reader_that_goes_away_ends_the_watch_although_nothing_is_printed(tmp_path: Path) -> None:
    """`watch | head -1` of a task without events for hours: the server's heartbeats are enough to notice."""
    with api(heartbeats=True) as url:
        watching = subprocess.Popen(
            [Path(sys.executable).with_name("pulp-admin"), "tasks", "watch", "--task-id", ID],
            env=environment(tmp_path, PULP_URL=url, PULP_ADMIN_CONFIG=os.devnull),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "sync: Running" in watching.stdout.readline()
        watching.stdout.close()
        assert watching.stderr.read() == ""
        assert watching.wait(60) == 141
        watching.stderr.close()


def test_an_exit_code_survives_a_standard_error_that_cannot_be_written(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [str(Path(sys.executable).with_name("pulp-admin")), "--url", "http://127.0.0.1:1", "status"]
        env = environment(tmp_path, PULP_ADMIN_CONFIG=os.devnull)
        assert subprocess.run(command, env=env, stderr=full, check=False).returncode == 78
