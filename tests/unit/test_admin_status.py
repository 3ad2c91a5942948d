"""`status`: what it shows, and how a script notices that nothing runs tasks."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.admin import admin

WORKER = {"name": "w1", "slots": 4, "busy_slots": 4, "free_slots": 0}


def told(**changed: Any) -> dict[str, Any]:
    return {
        "pulp_tasks_version": "0.1.0",
        "kafka_connection": {"connected": True},
        "database_connection": {"connected": True},
        "lag": 0,
        "online_workers": [WORKER],
        "unserved_queues": [],
        **changed,
    }


@pytest.mark.parametrize(
    ("found", "code", "error"),
    [
        (told(), 0, ""),
        (told(online_workers=[]), 75, "No worker is online: tasks wait until one is started.\n"),
        (told(kafka_connection={"connected": False}), 75, ""),
        (told(database_connection={"connected": False}, online_workers=[]), 75, ""),  # nobody knows who is online
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_the_exit_code_tells_whether_tasks_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: dict[str, Any], code: int, error: str, output: str
) -> None:
    answer = lambda request: httpx.Response(200, json=found)
    assert admin(tmp_path, answer, "--output", output, "status") == code
    said = capsys.readouterr()
    assert said.err == error
    assert output == "table" or json.loads(said.out) == found


def test_slots_and_queues_that_nobody_serves_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    idle = {"name": "w2", "slots": 2, "busy_slots": 1, "free_slots": 1}
    found = told(online_workers=[WORKER, idle], unserved_queues=[{"queue": "typo", "waiting": 3}])
    assert admin(tmp_path, lambda request: httpx.Response(200, json=found), "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Workers:   w1, w2" in lines
    assert "Slots:     1 free of 6" in lines
    assert "Warning:   3 tasks wait in queue typo, which no worker serves." in lines


def test_what_nobody_runs_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unserved = [{"queue": "default", "operation": "sync", "waiting": 1}]
    found = told(dispatching=False, unserved_operations=unserved)
    assert admin(tmp_path, lambda request: httpx.Response(200, json=found), "status") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Warning: No processor assigns tasks to workers: no task starts. Start pulp-tasks processor." in out
    assert "Warning: 1 task waits for operation sync in queue default, which no worker of it offers." in out


def test_a_processor_that_has_just_taken_over_is_not_taken_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(dispatching=False, settling=True)
    assert admin(tmp_path, lambda request: httpx.Response(200, json=found), "status") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "The processor that assigns tasks has just taken over: no task starts before it has caught up." in out
    assert "Start pulp-tasks processor" not in out


def test_findings_are_shown_with_what_mends_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {
        "check": "topic-retention",
        "subject": "pulp.tasks.events",
        "severity": "fault",
        "wrong": "retention.ms is 604800000, not -1",
        "endangers": "history goes",
        "mend": "pulp-tasks topics mend",
    }
    note = {**fault, "severity": "note", "wrong": "there is one broker", "mend": None}
    found = told(findings=[fault, note])
    assert admin(tmp_path, lambda request: httpx.Response(200, json=found), "status") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Fault: pulp.tasks.events: retention.ms is 604800000, not -1: history goes." in shown
    assert "To mend it: pulp-tasks topics mend" in shown
    assert "there is one broker" not in shown
