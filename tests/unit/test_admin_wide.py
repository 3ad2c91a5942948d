"""`--output wide` and the history: who, where, how long, and how it ended, on one line each."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_admin.wide import COLUMNS, Line, wide_table
from pulp_console.output import cells_of

from tests.support.admin import admin

NOW = datetime(2026, 11, 28, 12, 10, tzinfo=UTC)
ID = "019e5b7c-8d3e-7c4f-9a51-0b6f3f1d{:04x}"


def report(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A report of the v2 dialect, as far as the table reads it."""
    return {
        "task_id": ID.format(number),
        "state": "running",
        "cancelling": False,
        "task_type": "sync",
        "tags": ["pulp:repository:zoo", "pulp:action:sync"],
        "principal_login": "jo",
        "queue": "default",
        "submit_time": "2026-11-28T12:00:00Z",
        "start_time": "2026-11-28T12:00:05Z",
        "finish_time": None,
        "worker_name": "w1",
        "progress": {"rpm": {"items_total": 10, "items_left": 5}},
        "error": None,
        **changes,
    }


def cells(line: Line) -> dict[str, str]:
    header, row = wide_table([line], NOW, None)
    starts = [header.index(name) for name in COLUMNS]
    ends = [*starts[1:], None]
    return {name: row[start:end].strip() for name, start, end in zip(COLUMNS, starts, ends, strict=True)}


def test_a_line_says_what_a_person_asks_next() -> None:
    assert cells(Line(report())) == {
        "ID": ID.format(0),
        "STATE": "Running",
        "OPERATION": "sync",
        "RESOURCES": "repository:zoo",
        "WHO": "jo",
        "QUEUE": "default",
        "SUBMITTED": "2026-11-28T12:00:00Z",
        "WAITED": "5s",
        "RAN": "9m55s",
        "WORKER": "w1",
        "NOTE": "5/10 items",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": "waiting", "start_time": None}, ("Waiting", "10m00s", "-")),
        ({"state": "finished", "finish_time": "2026-11-28T12:03:10Z"}, ("Successful", "5s", "3m05s")),
        ({"state": "canceled", "start_time": None, "finish_time": "2026-11-28T12:00:00Z"}, ("Cancelled", "<1s", "-")),
        ({"cancelling": True}, ("Cancelling", "5s", "9m55s")),
    ],
)
def test_how_long_it_waited_and_ran(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    found = cells(Line(report(**changes)))
    assert (found["STATE"], found["WAITED"], found["RAN"]) == expected


@pytest.mark.parametrize(
    ("as_of", "spans"),
    [
        ("2026-11-28T12:00:35Z", ("5s", "30s")),
        ("3:1042", ("5s", "-")),  # only the server knows its time
        ("0:12,3:1042", ("5s", "-")),
        ("AAAAAAAAAAAAAAAAAAAAAA.12.0", ("5s", "-")),
    ],
)
def test_a_task_of_the_past_has_run_until_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_of: str, spans: tuple[str, str]
) -> None:
    """Its durations were once counted until now."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["as_of"] == as_of
        return httpx.Response(200, json=[report()] if request.url.path == "/pulp/api/v2/tasks/" else report())

    for command in (["tasks", "list"], ["tasks", "details", "--task-id", ID.format(0)]):
        assert admin(tmp_path, answer, "--output", "wide", *command, "--as-of", as_of) == 0
        header, row = capsys.readouterr().out.splitlines()[-2:]
        waited, ran = (row[header.index(name) :].split()[0] for name in ("WAITED", "RAN"))
        assert (waited, ran) == spans


def test_the_note_is_the_error_or_what_was_found_out() -> None:
    assert cells(Line(report(error={"description": "no\nroute"})))["NOTE"] == "no route"
    assert cells(Line(report(), "wrong feed"))["NOTE"] == "wrong feed"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_every_line_fits_the_terminal(width: int) -> None:
    long: dict[str, Any] = {
        "tags": ["pulp:repository:" + "a" * 90],
        "principal_login": "某人" * 20,
        "error": {"description": "x" * 300},
    }
    other = report(task_id="e239ae4f-7fad-4004-bfb6-8e06f17d22ef", **long)
    lines = wide_table([Line(report(1)), Line(other)], NOW, width)
    assert max(cells_of(line) for line in lines) <= width
    assert {"ID", "STATE"} <= set(lines[0].split())
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (80, "ID STATE OPERATION RESOURCES WAITED RAN NOTE"),
        (120, "ID STATE OPERATION RESOURCES WHO QUEUE WAITED RAN NOTE"),
        (None, " ".join(COLUMNS)),
    ],
)
def test_a_terminal_has_the_columns_that_matter_most(width: int | None, expected: str) -> None:
    apart = [Line(report(1)), Line(report(task_id="e239ae4f-7fad-4004-bfb6-8e06f17d22ef"))]
    assert wide_table(apart, NOW, width)[0].split() == expected.split()


def test_a_note_that_would_say_nothing_makes_room_for_who_it_was() -> None:
    error = {"description": "the list of packages cannot be fetched: connection refused"}
    other = report(task_id="e239ae4f-7fad-4004-bfb6-8e06f17d22ef", task_type="remove-orphans", error=error)
    narrow, broad = (wide_table([Line(report(1)), Line(other)], NOW, width) for width in (80, 120))
    assert narrow[0].split() == ["ID", "STATE", "OPERATION", "RESOURCES", "WHO", "WAITED", "RAN"]
    assert broad[0].split() == ["ID", "STATE", "OPERATION", "RESOURCES", "WAITED", "RAN", "NOTE"]
    assert broad[2].endswith("the list of packages cann…")


def test_ids_are_cut_only_where_they_still_differ() -> None:
    apart = [Line(report(1)), Line(report(task_id="e239ae4f-7fad-4004-bfb6-8e06f17d22ef"))]
    assert [line.split()[0] for line in wide_table(apart, NOW, 80)[1:]] == ["019e5b7c-8d3e", "e239ae4f-7fad"]
    near = [Line(report(1)), Line(report(2))]
    assert [line.split()[0] for line in wide_table(near, NOW, 80)[1:]] == [ID.format(1), ID.format(2)]


def test_wide_characters_take_two_columns() -> None:
    header, first, second = wide_table([Line(report(1, queue="漢字")), Line(report(2, queue="ab"))], NOW, None)
    at = header.index("SUBMITTED")
    assert cells_of(first[: first.index("2026-11-28T")]) == cells_of(second[: second.index("2026-11-28T")]) == at


def test_nothing_is_a_command_to_the_terminal() -> None:
    [_, row] = wide_table([Line(report(worker_name="w\x1b[2J", queue="q\u202e"), "note\x9b31m\u2028x")], NOW, None)
    assert not {"\x1b", "\x9b", "\u202e", "\u2028"} & set(row)


def entry(kind: str, effect: str = "applied", offset: int = 7, **data: Any) -> dict[str, Any]:
    return {
        "partition": 3,
        "offset": offset,
        "type": f"org.pulpproject.task.{kind}.v1",
        "event_id": "e",
        "time": "2026-11-28T12:00:00.123456Z",
        "actor": "user:jo",
        "effect": effect,
        "event": {"data": data},
    }


ENTRIES = [
    entry("accepted", operation="sync"),
    entry("started", attempt=1),
    entry("progress", progress={"rpm": {"items_total": 10, "items_left": 5}}),
    entry("cancel-requested", reason="wrong \x1b[31mfeed"),
    entry("started", effect="cancel came first", attempt=2),
]


@pytest.mark.parametrize(
    ("outcome", "error", "told"),
    [
        ("successful", None, "Successful"),
        ("failed", {"code": "operation-failed", "description": "no route"}, "Error: no route"),
        ("cancelled", None, "Cancelled"),
        ("skipped", {"code": "dependency", "description": "it failed"}, "Skipped: it failed"),
    ],
)
def test_the_history_ends_with_the_outcome_in_the_guides_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, error: dict[str, str] | None, told: str
) -> None:
    last = entry("finished", outcome=outcome, error=error)
    page = {"results": [*ENTRIES, last], "next": None}
    answer = lambda request: httpx.Response(200, json=page)
    assert admin(tmp_path, answer, "tasks", "history", "--task-id", ID.format(0)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("user:jo")[2].strip() for line in lines[1:]] == [
        *("sync", "", "5/10 items", "wrong ␛[31mfeed", "no effect: cancel came first", told),
    ]
    assert lines[1].split()[:3] == ["3:7", "2026-11-28", "12:00:00"]


def test_a_long_history_is_read_page_by_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        offset = 0 if asked[-1] is None else int(asked[-1].partition(":")[2]) + 1
        page = {"results": [entry("progress", offset=offset)], "next": "more" if offset < 2 else None}
        return httpx.Response(200, json=page)

    assert admin(tmp_path, answer, "tasks", "history", "--task-id", ID.format(0)) == 0
    assert asked == [None, "3:0", "3:1"]
    assert len(capsys.readouterr().out.splitlines()) == 4
