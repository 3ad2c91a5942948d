"""Both commands with closed, full or broken output: the exit code stays, and there is no traceback.

Each command runs as a process with Python's usual buffers, because their contents at the end matter.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import environment
from tests.unit.test_admin_guide import report

ADMIN = str(Path(sys.executable).with_name("pulp-admin"))
TASKS = str(Path(sys.executable).with_name("pulp-tasks"))
CLOSED = ("2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    buffered = {key: value for key, value in environment(tmp_path).items() if key != "PYTHONUNBUFFERED"}
    return {**buffered, "PULP_ADMIN_CONFIG": os.devnull}


def shell(script: str, env: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash with these words as its `$@`."""
    command = ["bash", "-o", "pipefail", "-c", script, "bash", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("redirected", CLOSED)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((ADMIN, "no-such-command"), 64),
        ((ADMIN, "--url", "http://127.0.0.1:1", "status"), 78),
        ((ADMIN, "--password-file", "/no/such/file", "tasks", "list"), 78),
        ((TASKS, "no-such-command"), 64),
        ((TASKS, "topics", "list"), 78),
        ((TASKS, "rebuild", "prune"), 78),
    ],
)
def test_a_failure_keeps_its_exit_code(words: tuple[str, ...], code: int, redirected: str, env: dict[str, str]) -> None:
    assert shell(f'"$@" {redirected}', env, *words).returncode == code


@pytest.mark.parametrize("redirected", CLOSED)
@pytest.mark.parametrize("program", [ADMIN, TASKS])
def test_success_does_not_depend_on_standard_error(program: str, redirected: str, env: dict[str, str]) -> None:
    assert shell(f'"$@" {redirected}', env, program, "--version").returncode == 0


@pytest.mark.parametrize("also", ["", "2>/dev/full", "2>&-"])
@pytest.mark.parametrize("words", [(ADMIN, "--version"), (ADMIN, "--map"), (TASKS, "completion", "bash")])
def test_output_to_a_full_disk(words: tuple[str, ...], also: str, env: dict[str, str]) -> None:
    done = shell(f'"$@" >/dev/full {also}', env, *words)
    said = "" if also else "Something cannot be written, the output or a file: No space left on device.\n"
    assert (done.returncode, done.stderr) == (74, said)


@pytest.mark.parametrize("program", [ADMIN, TASKS])
def test_a_closed_descriptor_is_not_given_to_a_file(program: str, env: dict[str, str]) -> None:
    """Otherwise a library's output to descriptor 2 would go into whatever was opened first."""
    script = "import os; from pulp_console import edge; edge.open_what_is_closed(); print(os.open('/dev/zero', 0))"
    assert int(shell('"$@" <&- 2>&-', env, sys.executable, "-c", script).stdout) > 2


class Api(BaseHTTPRequestHandler):
    """A list of more tasks than a pipe holds."""

    def do_GET(self) -> None:
        rows: list[dict[str, Any]] = [report()] * 500
        body = json.dumps(rows if "/v2/" in self.path else {"count": 0, "next": None, "results": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("also", ["", "2>/dev/full", "2>&-"])
def test_a_list_whose_reader_takes_the_first_line(url: str, output: str, also: str, env: dict[str, str]) -> None:
    words = (ADMIN, "--url", url, "--username", "jo", "--password", "x", "tasks", "list", "--all", "--output", output)
    whole = shell('"$@"', env, *words)
    assert (whole.returncode, len(whole.stdout) > 65_536) == (0, True), whole.stderr
    first = shell(f'"$@" {also} | head -1', env, *words)
    assert (first.returncode, first.stdout) == (141, whole.stdout.splitlines(keepends=True)[0])
    assert first.stderr == ""


WAITS = """
import sys
import click
from pulp_console import edge
from pulp_console.output import remark

@click.command()
def waits():
    click.echo("begun")
    sys.stdout.write("held back")
    sys.stderr.write("held back")
    sys.stdin.readline()
    click.echo("what nobody reads")
    remark("what nobody reads")

code = edge.run(waits, [], program="waits", explain=lambda error: 70)
edge.end(code)
"""


@contextmanager
def waiting(env: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that has begun, and waits for a line of its standard input."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WAITS], env=env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield process


@pytest.mark.parametrize("closed", [(), ("stderr",), ("stdout",), ("stdout", "stderr")])
def test_an_interrupted_command_ends_with_130_whoever_reads(closed: tuple[str, ...], env: dict[str, str]) -> None:
    with waiting(env) as process:
        for name in closed:
            getattr(process, name).close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


@pytest.mark.parametrize(("closed", "code"), [(("stderr",), 0), (("stdout",), 141), (("stdout", "stderr"), 141)])
def test_readers_that_go_while_it_works(closed: tuple[str, ...], code: int, env: dict[str, str]) -> None:
    with waiting(env) as process:
        for name in closed:
            getattr(process, name).close()
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(60) == code
