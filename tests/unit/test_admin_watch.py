"""`tasks watch` against a server that is one function."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.admin import admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
EVENT = "org.pulpproject.task.%s.v1"


class Stream(httpx.SyncByteStream):
    """Server-sent events; the server holds the stream open after the last one, so nobody may wait for more."""

    def __init__(self, *types: str) -> None:
        self._types = types

    def __iter__(self) -> Iterator[bytes]:
        for kind in self._types:
            event = {"type": EVENT % kind, "data": {"progress": {"rpm": {"items_total": 8, "items_left": 3}}}}
            yield f"id: 0-1\ndata: {json.dumps({'partition': 0, 'offset': 7, 'event': event})}\n\n".encode()
        raise AssertionError("it waits although the task has ended")


def task(state: str) -> dict[str, object]:
    return {
        "pulp_href": f"/pulp/api/v3/tasks/{ID}/",
        "name": "sync",
        "state": state,
        "progress": {},
        "error": {"description": "no"} if state == "failed" else None,
    }


def watch(tmp_path: Path, states: list[str], *types: str, asked: list[str | None] | None = None) -> int:
    """Run it; the server tells these states, one at each read of the task."""
    asked = [] if asked is None else asked

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/"):
            return httpx.Response(200, stream=Stream(*types))
        asked.append(request.headers.get("pulp-min-position"))
        return httpx.Response(200, json=task(states.pop(0)))

    return admin(tmp_path, answer, "tasks", "watch", "--task-id", ID)


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("canceled", 3), ("skipped", 4)])
def test_it_ends_with_the_event_that_ends_the_task(tmp_path: Path, state: str, code: int) -> None:
    assert watch(tmp_path, ["running", state], "finished") == code


def test_it_ends_at_once_if_the_task_has_ended(tmp_path: Path) -> None:
    assert watch(tmp_path, ["completed"]) == 0


def test_the_task_is_read_as_new_as_the_event_that_ends_it(tmp_path: Path) -> None:
    asked: list[str | None] = []
    assert watch(tmp_path, ["running", "completed"], "finished", asked=asked) == 0
    assert asked == [None, "0:7"]


def test_a_line_for_each_change_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch(tmp_path, ["waiting", "running", "failed"], "started", "progress", "progress", "finished")
    assert capsys.readouterr().out.splitlines() == [
        "sync: waiting",
        "sync: running",
        "sync: running, 5 of 8",
        "sync: failed: no",
    ]
