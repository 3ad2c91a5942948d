"""`pulp-admin queue` and `tasks details --why`: what a person sees about waiting tasks, and what a script gets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import documented
from tests.support.admin import admin
from tests.unit.test_admin_escapes import EVIL, FORBIDDEN
from tests.unit.test_admin_guide import report

A, B, C = (f"e239ae4f-7fad-4004-bfb6-8e06f17d22e{digit}" for digit in "abc")
SINCE = "2026-11-24T12:00:00.000000Z"


def href(task_id: str) -> str:
    return f"/pulp/api/v3/tasks/{task_id}/"


def holder(task_id: str, access: str = "exclusive", seconds: float = 75.2) -> dict[str, Any]:
    return {
        **{"task": href(task_id), "state": "running", "worker_name": "w1", "access": access},
        **{"since": SINCE, "seconds": seconds},
    }


def in_line(place: int, task_id: str, **changed: Any) -> dict[str, Any]:
    plain = {
        **{"place": place, "task": href(task_id), "name": "sync", "queue": "default", "access": "exclusive"},
        **{"pulp_created": SINCE, "wait_seconds": 7.0, "passed_over": False},
    }
    return {**plain, **changed}


def queue(name: str, **changed: Any) -> dict[str, Any]:
    plain = {
        **{"name": name, "waiting": 0, "runnable": 0, "blocked": 0, "parked": 0, "running": 0, "unserved": 0},
        **{"wanted_slots": 0, "oldest_wait_seconds": None, "workers": 1, "slots": 4, "free_slots": 4},
    }
    return {**plain, **changed}


QUEUES = [
    queue("default", waiting=15, runnable=3, blocked=12, running=4, oldest_wait_seconds=125.4),
    queue("slow", waiting=3, runnable=2, parked=1, unserved=2, oldest_wait_seconds=4000),
    queue("typo", waiting=1, runnable=1, unserved=1, oldest_wait_seconds=2.04, workers=0, slots=0, free_slots=0),
]
RESOURCES = [
    {
        "resource": "repository:zoo",
        "waiting": 12,
        "oldest_wait_seconds": 125.4,
        "held_by": [holder(A)],
        "others": False,
    },
    {
        **{"resource": "content_unit:orphans", "waiting": 1, "oldest_wait_seconds": 1.0},
        "held_by": [holder(A, "shared"), holder(B, "shared")],
        "others": True,
    },
    {"resource": "repository:bear", "waiting": 0, "oldest_wait_seconds": None, "held_by": [], "others": False},
]
LINE = {
    "resource": "repository:zoo",
    "held_by": [holder(A)],
    "others": False,
    "waiting": 3,
    "tasks": [in_line(1, B), in_line(2, C, access="shared", wait_seconds=3.0, name="publish")],
}
WHY: dict[str, Any] = {
    "task": href(C),
    "state": "waiting",
    "message": f"Task {A}, which is running, holds repository:zoo.",
    "reasons": [
        {
            **{"reason": "resource-held", "message": f"Task {A}, which is running, holds repository:zoo."},
            **{"advice": "Wait for those tasks, or cancel them.", "tasks": [href(A)]},
            **{"resource": "repository:zoo", "access": "exclusive"},
        },
        {
            **{"reason": "earlier-task", "message": f"Task {B} was accepted earlier, and waits as well."},
            **{"advice": "Wait for the tasks before it, or cancel them.", "tasks": [href(B)]},
            **{"resource": "repository:zoo", "access": None},
        },
    ],
    "root_cause": {
        **{"task": href(B), "reason": "no-worker-for-queue", "message": "No live worker serves the queue typo."},
        **{"tasks": [], "resource": None, "access": None},
    },
    "resources": [
        {
            **{"resource": "repository:zoo", "access": "exclusive", "held_by": [holder(A)], "others": False},
            **{"before": 12, "tasks": [href(B)]},
        },
        {
            "resource": "content_unit:orphans",
            "access": "shared",
            "held_by": [],
            "others": False,
            "before": 0,
            "tasks": [],
        },
    ],
}
RUNS: dict[str, Any] = {
    **{"task": href(C), "state": "running", "message": "It does not wait: it is running on worker w1 since yesterday."},
    **{"reasons": [], "root_cause": None, "resources": []},
}


class QueueServer:
    """What waits, according to the server."""

    def __init__(
        self, *, queues: Sequence[Any] = QUEUES, resources: Sequence[Any] = RESOURCES, why: Any = WHY, line: Any = LINE
    ) -> None:
        self.queues, self.resources, self.why, self.line = queues, resources, why, line
        self.asked: list[httpx.URL] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        match request.url.path.split("/")[4:-1]:
            case ["queues"]:
                return httpx.Response(200, json={"results": self.queues})
            case ["resources"]:
                return httpx.Response(200, json={"results": self.resources, "count": len(self.resources) + 2})
            case ["resources", "line"]:
                return httpx.Response(200, json=self.line)
            case ["tasks", _, "why"]:
                return httpx.Response(200, json=self.why)
            case _:
                return httpx.Response(200, json=report(task_id=C, call_request_id=C, state="waiting"))


def test_the_queues_and_the_busiest_resources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, QueueServer(), "queue") == 0
    assert (
        capsys.readouterr().out
        == f"""\
RUNNABLE  BLOCKED  PARKED  RUNNING  UNSERVED  OLDEST WAIT  QUEUE
3         12       0       4        0         2m05s        default
2         0        1       0        2         1h06m        slow
1         0        0       0        1         2.0s         typo
Warning:  1 task is parked in queue slow: see pulp-admin dead-letters list.
Warning:  2 tasks wait in queue slow, for an operation that none of its live
          workers offers: install its package there, and restart them.
Warning:  1 task waits in queue typo, which no live worker serves: start one
          with --queue, or cancel them.

WAITING  HELD BY                                  RESOURCE
12       {A}     repository:zoo
1        {A} +1  content_unit:orphans
0        -                                        repository:bear
... 2 more
"""
    )


def test_nothing_waits_and_nobody_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, QueueServer(queues=[], resources=[]), "queue") == 0
    assert capsys.readouterr().out == "No task waits or runs, and no worker is online.\n"


def test_the_line_of_a_resource(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = QueueServer()
    assert admin(tmp_path, server, "queue", "--resource", "repository:zoo", "--limit", "2") == 0
    assert (
        capsys.readouterr().out
        == f"""\
Resource:  repository:zoo

HELD BY                               ACCESS     FOR    WORKER
{A}  exclusive  1m15s  w1

PLACE  TASK                                  ACCESS     WAITS  OPERATION
1      {B}  exclusive  7.0s   sync
2      {C}  shared     3.0s   publish
... 1 more
"""
    )
    assert dict(server.asked[-1].params) == {"resource": "repository:zoo", "limit": "2"}


def test_a_task_for_which_later_ones_do_not_wait_is_not_said_to_have_no_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be parked, or may be waiting for its next attempt."""
    server = QueueServer(line={**LINE, "tasks": [in_line(1, B, passed_over=True), in_line(2, C)]})
    assert admin(tmp_path, server, "queue", "--resource", "repository:zoo") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"1 {B} exclusive 7.0s sync (passed over) 2 {C} exclusive 7.0s sync ... 1 more" in shown


def test_tasks_that_the_user_may_not_see_are_not_told_to_be_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = {"held_by": [], "others": True}
    assert admin(tmp_path, QueueServer(queues=QUEUES[:1], resources=[{**RESOURCES[2], **hidden}]), "queue") == 0
    assert "\n0        others   repository:bear\n" in capsys.readouterr().out
    line = {**LINE, **hidden, "waiting": 0, "tasks": []}
    assert admin(tmp_path, QueueServer(line=line), "queue", "--resource", "repository:zoo") == 0
    told = "Tasks that you may not see hold it, or wait for it"
    assert capsys.readouterr().out == f"Resource:  repository:zoo\n{told}.\n"
    why = {**WHY, "resources": [{**WHY["resources"][0], "others": True}, {**WHY["resources"][1], "others": True}]}
    assert admin(tmp_path, QueueServer(why=why), "queue", "--task-id", C) == 0
    shown = capsys.readouterr().out
    assert f"...    11 more\n{told} as well.\n" in shown
    assert shown.endswith(f"It needs content_unit:orphans together with others; before it no tasks wait.\n{told}.\n")


WHY_PAGE = f"""\
Why:   Task {A}, which is running, holds
       repository:zoo. Wait for those tasks, or cancel them.
And:   Task {B} was accepted earlier, and waits
       as well. Wait for the tasks before it, or cancel them.
Root:  Task {B} is at the front of that line:
       No live worker serves the queue typo.

It needs repository:zoo exclusively; before it 12 tasks wait.
PLACE  TASK                                  STATE
held   {A}  by worker w1 for 1m15s
1      {B}  waits
...    11 more

It needs content_unit:orphans together with others; before it no tasks wait.
"""


def test_why_a_task_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, QueueServer(), "queue", "--task-id", C) == 0
    assert capsys.readouterr().out == WHY_PAGE


def test_details_tell_why_below_the_page_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, QueueServer(), "tasks", "details", "--task-id", C) == 0
    page = capsys.readouterr().out
    assert admin(tmp_path, QueueServer(), "tasks", "details", "--task-id", C, "--why") == 0
    assert capsys.readouterr().out == page + WHY_PAGE
    assert admin(tmp_path, QueueServer(why=RUNS), "tasks", "details", "--task-id", C, "--why") == 0
    assert capsys.readouterr().out == page + "Why:   It does not wait: it is running on worker w1 since yesterday.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["queue"],
        ["queue", "--resource", "repository:zoo"],
        ["queue", "--task-id", C],
    ],
)
def test_scripts_get_what_the_page_on_output_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert admin(tmp_path, QueueServer(), "--output", "json", *arguments) == 0
    documented.check("queue", json.loads(capsys.readouterr().out), "pulp-admin")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["queue", "--task-id", C, "--resource", "repository:zoo"], "Give --resource or --task-id, not both."),
        (["queue", "--resource", "zoo"], "TYPE:ID is expected, such as repository:zoo"),
        (["tasks", "details", "--task-id", C, "--why", "--as-of", "5m"], "--why tells why a task waits now"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert admin(tmp_path, QueueServer(), *arguments) == 64
    assert said in capsys.readouterr().err


def test_tables_with_long_names_fit_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a-queue-or-a-repository-with-a-very-long-name-" * 4
    server = QueueServer(
        queues=[queue(name, unserved=1)], resources=[{**RESOURCES[1], "resource": f"repository:{name}"}]
    )
    for arguments in (["queue"], ["queue", "--resource", f"repository:{name}"], ["queue", "--task-id", C]):
        assert admin(tmp_path, server, *arguments) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def evil(value: Any) -> Any:
    """The same with every text replaced."""
    if isinstance(value, dict):
        return {key: evil(part) for key, part in value.items()}
    if isinstance(value, list):
        return [evil(part) for part in value]
    return EVIL if isinstance(value, str) else value


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("arguments", [["queue"], ["queue", "--resource", "repository:zoo"], ["queue", "--task-id", C]])
def test_nothing_in_a_name_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, arguments: list[str]
) -> None:
    server = QueueServer(queues=evil(QUEUES), resources=evil(RESOURCES), why=evil(WHY), line=evil(LINE))
    assert admin(tmp_path, server, "--output", output, *arguments) == 0
    assert not FORBIDDEN & set(capsys.readouterr().out)
