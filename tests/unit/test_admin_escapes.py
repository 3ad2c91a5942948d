"""Nothing from a server, an operation or a repository reaches the terminal as a command (CWE-150)."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pulp_console.output import json_text, show

from tests.support.admin import Answer, admin
from tests.unit.test_admin_guide import report
from tests.unit.test_admin_wide import entry

ID = "e239ae4f-7fad-4004-bfb6-8e06f17d22ef"
EVIL = "\x1b]52;c;cHduZWQ=\x07\x9b2J\x7f\u202egnp\u2028\u2066x\u200f"
"""Writes the clipboard, clears the screen, turns text round, begins lines."""
FORBIDDEN = set(
    "\x00\x07\x08\x0b\x0c\r\x0e\x1b\x7f\x85\x90\x9b\x9d\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff"
)


def evil_report() -> dict[str, Any]:
    error = {"code": EVIL, "description": EVIL}
    names = ("task_type", "principal_login", "queue", "worker_name")
    return report(
        task_id=ID,
        call_request_tags=[f"pulp:repository:{EVIL}", f"pulp:action:{EVIL}", EVIL],
        tags=[f"pulp:repository:{EVIL}"],
        state="error",
        error=error,
        exception=[EVIL],
        traceback=[f"{EVIL}\n"],
        result={EVIL: [EVIL, {EVIL: EVIL}]},
        progress={EVIL: {"state": EVIL, "list": [{EVIL: EVIL}], "items_total": 2, "items_left": 1}},
        **dict.fromkeys(names, EVIL),
    )


def page(request: httpx.Request) -> httpx.Response:
    worker = {
        "name": EVIL,
        "online": True,
        "queues": [EVIL],
        "current_tasks": [f"/{EVIL}/"],
        **dict.fromkeys(("slots", "busy_slots", "free_slots", "concurrency"), 1),
    }
    match request.url.path.split("/")[3:-1]:
        case ["v2", "tasks"]:
            return httpx.Response(200, json=[evil_report()])
        case ["v2", "tasks", _]:
            return httpx.Response(200, json=evil_report())
        case ["v3", "tasks", _, "history"]:
            last = entry("finished", outcome=EVIL, error={"code": EVIL, "description": EVIL})
            results = [{**last, "actor": EVIL, "type": EVIL, "effect": EVIL}, {**last, "actor": EVIL}]
            return httpx.Response(200, json={"results": results, "next": None})
        case ["v3", "workers"]:
            return httpx.Response(200, json={"results": [worker], "next": None})
        case ["v3", "status"]:
            connected = {"connected": True}
            status = {"pulp_tasks_version": EVIL, "lag": 0, "online_workers": [worker], "unserved_queues": []}
            both = {"kafka_connection": connected, "database_connection": connected}
            return httpx.Response(200, json={**status, **both})
        case _:
            return httpx.Response(200, json={"results": [], "next": None})


@pytest.mark.parametrize("output", ["table", "wide", "json", "yaml"])
@pytest.mark.parametrize(
    "command",
    [
        ["tasks", "list", "--all"],
        ["tasks", "details", "--task-id", ID],
        ["tasks", "history", "--task-id", ID],
        ["workers"],
        ["status"],
    ],
)
def test_what_is_printed_holds_no_control_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], output: str
) -> None:
    assert admin(tmp_path, page, "--output", output, *command) == 0
    out, err = capsys.readouterr()
    assert not FORBIDDEN & set(out + err)
    assert "gnp" in out


@pytest.mark.parametrize("status", [400, 403, 409, 500, 501, 503])
def test_no_message_of_the_server_holds_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int) -> None:
    body = {"error_message": f"no {EVIL}"}
    answer: Answer = lambda request: httpx.Response(status, json=body, headers={"Retry-After": "0"})
    assert admin(tmp_path, answer, "tasks", "list") != 0
    out, err = capsys.readouterr()
    assert not FORBIDDEN & set(out + err)
    assert "gnp" in out + err


def test_json_and_yaml_are_the_same_data_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        admin(tmp_path, page, "tasks", "details", "--task-id", ID, "--output", output)
        assert load(capsys.readouterr().out) == evil_report()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data_is_complete_in_every_encoding(encoding: str, output: str) -> None:
    script = f"from pulp_console.output import show; show({output!r}, {{'a': 'zoë 漢字 \\U0001f600'}}, list)"
    env = {**os.environ, "PYTHONIOENCODING": f"{encoding}:backslashreplace"}
    result = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    load = json.loads if output == "json" else yaml.safe_load
    assert load(result.stdout.decode(encoding)) == {"a": "zoë 漢字 \U0001f600"}


def test_readable_text_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_text("zoë 漢字") == '"zoë 漢字"'
    show("yaml", "zoë", list)
    assert "zoë" in capsys.readouterr().out


def test_half_a_character_is_printed_as_json_has_it() -> None:
    assert io.StringIO(json_text("\udc80")).read() == '"\\udc80"'


@pytest.mark.parametrize("output", ["table", "wide", "json"])
def test_progress_that_is_nested_without_end_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    nested: dict[str, Any] = {"items_left": 1}
    for _ in range(500):
        nested = {"a": nested}
    answer: Answer = lambda request: httpx.Response(200, json={**evil_report(), "progress": nested, "result": nested})
    assert admin(tmp_path, answer, "tasks", "details", "--task-id", ID, "--output", output) == 0
    assert capsys.readouterr().err == ""
