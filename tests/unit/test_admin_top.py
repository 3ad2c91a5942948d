"""`pulp-admin top`: its rows, its feed against a server that is one function, and its screen, driven by keys."""

import html
import json
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pulp_admin.errors import Failure
from pulp_admin.top_feed import Picture, TopFeed
from pulp_admin.top_rows import cells_of_task, columns_for, counts_line, queue_lines, worker_lines
from pulp_admin.top_screen import TopScreen
from pulp_console.exits import CONFIG, USAGE
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from tests.support.admin import admin, client_of

NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
A, B, C = (f"e239ae4f-7fad-4004-bfb6-8e06f17d22e{digit}" for digit in "abc")
EVIL = "\x1b]0;owned\x07[bold]x"


def task(task_id: str, state: str = "running", **changed: Any) -> dict[str, Any]:
    plain = {
        "pulp_href": f"/pulp/api/v3/tasks/{task_id}/",
        "state": state,
        "name": "sync",
        "created_by": "/pulp/api/v3/users/zo%C3%AB/",
        "pulp_created": "2026-11-24T12:00:00Z",
        "started_at": None if state == "waiting" else "2026-11-24T12:00:03Z",
        "finished_at": None,
        "worker_name": None if state == "waiting" else "w1",
        "queue": "default",
        "error": None,
        "progress": {"rpm": {"items_total": 8, "items_left": 3}} if state == "running" else {},
        "reserved_resources_record": ["repository:zoo"],
    }
    return {**plain, **changed}


QUEUE = {
    **{"name": "default", "waiting": 2, "runnable": 1, "blocked": 1, "running": 1, "unserved": 0},
    **{"oldest_wait_seconds": 75.0, "workers": 1, "slots": 4, "free_slots": 3},
}
TYPO = QUEUE | {"name": "typo", "unserved": 2, "workers": 0, "slots": 0, "free_slots": 0}
WORKER = {
    **{"name": "w1", "slots": 4, "busy_slots": 1, "queues": ["default"], "draining": False},
    **{"last_heartbeat": "2026-11-24T12:00:08Z"},
}


def picture(*tasks: Mapping[str, Any], **changed: Any) -> Picture:
    found = {"counts": {"running": 1, "waiting": 2, "failed": 3}, "queues": [QUEUE, TYPO], "workers": [WORKER]}
    return Picture(**{**found, **changed, "tasks": tasks})


# Rows


def test_a_task_has_its_cells() -> None:
    assert cells_of_task(task(A), NOW) == {
        **{"STATE": "Running", "OPERATION": "sync", "RESOURCE": "repository:zoo", "WHO": "zoë", "WAITED": "3s"},
        **{"RAN": "7s", "NOTE": "5/8 items", "WORKER": "w1", "QUEUE": "default"},
    }
    failed = task(A, "failed", finished_at="2026-11-24T12:03:08Z", error={"description": "no\nroute"})
    cells = cells_of_task(failed, NOW)
    assert (cells["STATE"], cells["RAN"], cells["NOTE"]) == ("Error", "3m05s", "no route")
    assert cells_of_task(task(A, "waiting"), NOW)["WAITED"] == "10s"


@pytest.mark.parametrize("width", range(60, 201, 7))
def test_the_columns_fit_the_terminal(width: int) -> None:
    columns = columns_for(width)
    assert sum(column.width + 2 for column in columns) + 2 <= width or width < 66
    assert [column.name for column in columns][:2] == ["STATE", "OPERATION"]
    assert ("WHO" in {column.name for column in columns}) is (width >= 100)


def test_lines_are_cut_to_their_width_and_what_nobody_serves_is_marked() -> None:
    assert [line.split() for line in queue_lines([QUEUE, TYPO], 60)] == [
        ["READY", "BLOCKED", "RUN", "OLDEST", "QUEUE"],
        ["1", "1", "1", "1m15s", "default"],
        ["1", "1", "1", "1m15s", "!typo"],
    ]
    assert queue_lines([QUEUE], 40)[1].split() == ["1", "1", "1", "default"]
    assert worker_lines([WORKER], NOW, 60)[1].split() == ["1/4", "2.0s", "w1", "default"]
    assert {len(line) for line in queue_lines([QUEUE | {"name": "q" * 99}], 30)} <= set(range(31))
    assert counts_line({"running": 1, "failed": 1200, "completed": 0}, 80) == (
        "Waiting 0   Running 1   Cancelling 0   Error 1,200"
    )


# The feed


class Server:
    """Answers all requests of the feed; it uses the streams in turn, and is silent after the last."""

    def __init__(self, *streams: bytes | httpx.Response) -> None:
        self.streams = list(streams)
        self.asked: list[tuple[str, str | None]] = []
        self.resumed: list[str | None] = []
        self.tasks = [task(A)]
        self.is_over = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/pulp/api/v3/")
        if path == "events/":
            assert not request.url.params
            self.resumed.append(request.headers.get("last-event-id"))
            return self._next()
        self.asked.append((path, request.headers.get("pulp-min-position")))
        match path:
            case "tasks/":
                states = request.url.params["state__in"].split(",")
                found = [each for each in self.tasks if each["state"] in states]
                return httpx.Response(200, json={"results": found, "next": None})
            case "queues/" | "workers/":
                results = [QUEUE if path == "queues/" else WORKER]
                return httpx.Response(200, json={"results": results, "next": None})
            case "task-counts/":
                return httpx.Response(200, json={"states": {"running": 1}})
            case "login/":
                return httpx.Response(200, json={"role": "viewer"})
        raise AssertionError(path)

    def _next(self) -> httpx.Response:
        if not self.streams:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Silence(self.is_over))
        following = self.streams.pop(0)
        if isinstance(following, httpx.Response):
            return following
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=following)


class Silence(httpx.SyncByteStream):
    """A stream that stays open, and sends nothing."""

    def __init__(self, is_over: threading.Event) -> None:
        self._is_over = is_over

    def __iter__(self) -> Iterator[bytes]:
        self._is_over.wait()
        yield b""


def event(partition: int, offset: int, event_id: str) -> bytes:
    record = {"partition": partition, "offset": offset, "timestamp_ms": 0, "event": None}
    return f"id: {event_id}\nevent: x\ndata: {json.dumps(record)}\n\n".encode()


class Noted:
    """A viewer that takes note."""

    def __init__(self) -> None:
        self.seen: list[Picture] = []
        self.connections: list[str | None] = []
        self.errors: list[Exception] = []
        self.changed = threading.Condition()

    def _note(self, notes: list[Any], what: Any) -> None:
        with self.changed:
            notes.append(what)
            self.changed.notify_all()

    def see(self, picture: Picture) -> None:
        self._note(self.seen, picture)

    def connected(self, why_not: str | None) -> None:
        self._note(self.connections, why_not)

    def ended(self, error: Exception) -> None:
        self._note(self.errors, error)

    def until(self, is_true: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_true, timeout=20), vars(self)


def following(folder: Path, server: Server, viewer: Noted, until: Callable[[], bool]) -> None:
    """Follow until this is true."""
    feed = TopFeed(client_of(folder, server))
    feed.start(viewer)
    try:
        viewer.until(until)
    finally:
        feed.stop()
        server.is_over.set()


def test_a_look_has_running_tasks_first_and_ended_ones_if_wanted(tmp_path: Path) -> None:
    server = Server()
    server.tasks = [task(A, "completed"), task(B, "waiting"), task(C)]
    feed = TopFeed(client_of(tmp_path, server))
    assert [each["state"] for each in feed.look().tasks] == ["running", "waiting"]
    feed.shows_all = True
    assert [each["state"] for each in feed.look().tasks] == ["running", "waiting", "completed"]
    assert not feed.may_cancel()


def test_an_event_makes_it_look_again_at_least_as_new(tmp_path: Path) -> None:
    server, viewer = Server(event(0, 3, "a") + event(1, 9, "b") + event(0, 2, "c")), Noted()
    following(tmp_path, server, viewer, lambda: bool(viewer.seen))
    assert ("tasks/", "0:3,1:9") in server.asked
    assert viewer.errors == []


def test_it_goes_on_behind_the_last_event_when_the_server_comes_back(tmp_path: Path) -> None:
    away = httpx.Response(503, json={"detail": "Kafka is away"}, headers={"retry-after": "0"})
    server, viewer = Server(event(0, 3, "a"), away), Noted()
    following(tmp_path, server, viewer, lambda: viewer.connections == [None, "Kafka is away", None])
    assert server.resumed == [None, "a", "a"]


def test_it_begins_anew_where_the_server_has_another_log(tmp_path: Path) -> None:
    gone = httpx.Response(410, json={"detail": "another log"})
    server, viewer = Server(event(0, 3, "a"), gone), Noted()
    following(tmp_path, server, viewer, lambda: len(viewer.connections) == 2)
    assert server.resumed == [None, "a", None]


def test_it_ends_when_the_password_is_no_longer_right(tmp_path: Path) -> None:
    refused = httpx.Response(401, json={"detail": "Invalid username/password."})
    viewer = Noted()
    following(tmp_path, Server(refused), viewer, lambda: bool(viewer.errors))
    [error] = viewer.errors
    assert isinstance(error, Failure)


# The screen


class Fake:
    """A feed that reports what the test says."""

    def __init__(self, why: str = "Queue slow is served by no worker.", refusal: str | None = None) -> None:
        self.shows_all = False
        self.looks = 0
        self.cancelled: list[str] = []
        self._why, self._refusal = why, refusal

    def start(self, viewer: object) -> None:
        """See `TopFeed`."""

    def stop(self) -> None:
        """See `TopFeed`."""

    def look_soon(self) -> None:
        self.looks += 1

    def why(self, task_id: str) -> Mapping[str, Any]:
        return {"message": "", "reasons": [{"message": self._why, "advice": "Start one."}]}

    def cancel(self, task_id: str) -> str | None:
        self.cancelled.append(task_id)
        return self._refusal


async def until(pilot: Pilot[Exception], is_true: Callable[[], bool]) -> None:
    """Wait until this is true."""
    while not is_true():
        await pilot.pause()


def screen(*tasks: Mapping[str, Any], feed: Fake | None = None, may_cancel: bool = True) -> TopScreen:
    return TopScreen(
        cast(TopFeed, feed or Fake()),
        "http://pulp.test",
        first=picture(*tasks),
        may_cancel=may_cancel,
        clock=lambda: NOW,
    )


def shown(app: TopScreen) -> list[list[str]]:
    """The cells of the table of tasks."""
    table = app.query_one("#tasks", DataTable)
    return [[cell.plain for cell in table.get_row_at(row)] for row in range(table.row_count)]


def text_of(app: TopScreen) -> str:
    """The whole screen, line by line."""
    found: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for x, y, text in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', app.export_screenshot()):
        found[float(y)].append((float(x), html.unescape(text).replace("\xa0", " ")))
    return "\n".join("".join(text for _, text in sorted(found[y])) for y in sorted(found))


@pytest.mark.parametrize("size", [(80, 24), (132, 40), (70, 16)])
async def test_all_is_on_a_screen_of_any_size(size: tuple[int, int]) -> None:
    app = screen(task(A), task(B, "waiting", reserved_resources_record=["repository:bear"]))
    async with app.run_test(size=size) as pilot:
        app.connected(None)
        await until(pilot, lambda: "● live" in text_of(app) and "!typo" in text_of(app))
        lines = text_of(app)
        for word in (
            "Waiting 2",
            "Running 1",
            "Error 3",
            "STATE",
            "sync",
            "● live",
            "default",
            "!typo",
            "w1",
            "q Quit",
        ):
            assert word in lines, (word, lines)
        assert [row[0] for row in shown(app)] == ["Running", "Waiting"]


async def test_rows_change_in_place_and_the_cursor_stays_on_its_task() -> None:
    app = screen(task(A), task(B, "waiting"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j")
        app.see(picture(task(C), task(A), task(B)))
        await until(pilot, lambda: [row[0] for row in shown(app)] == ["Running"] * 3)
        assert app.query_one("#tasks", DataTable).cursor_row == 2
        app.see(picture(task(C), task(A), task(B, "canceling")))
        await until(pilot, lambda: shown(app)[2][0] == "Cancelling")
        await pilot.press("p")
        app.see(picture())
        await pilot.pause()
        assert len(shown(app)) == 3
        assert "paused" in text_of(app)
        await pilot.press("p")
        assert shown(app) == []


async def test_a_task_is_canceled_after_a_question() -> None:
    feed = Fake()
    app = screen(task(A), task(B), feed=feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "c")
        assert "Cancel sync of repository:zoo?" in text_of(app)
        await pilot.press("n")
        assert feed.cancelled == []
        await pilot.press("c", "y")
        await until(pilot, lambda: bool(feed.looks))
        assert feed.cancelled == [B]


async def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    app = screen(task(A), feed=Fake(refusal=f"Cancel Not Implemented for Task: {A}"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("c", "y")
        await until(pilot, lambda: "Not Implemented" in text_of(app))


async def test_a_viewer_has_no_key_to_cancel() -> None:
    app = screen(task(A), may_cancel=False)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "Cancel" not in text_of(app).splitlines()[-1]
        await pilot.press("c")
        assert len(app.screen_stack) == 1


async def test_enter_tells_all_about_a_task_and_why_it_waits() -> None:
    app = screen(task(A, "waiting", name=EVIL))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "served by no worker" in text_of(app))
        lines = text_of(app)
        assert A in lines
        assert "\x1b" not in lines
        assert "[bold]x" in lines
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_no_text_of_the_server_reaches_the_terminal_as_a_command() -> None:
    """A resource, a code of an error and a record that cannot be projected may hold anything."""
    evil = "evil\x1b[2J\x1b]0;mine\x07\x9b31m"
    app = screen(task(A, "waiting"), feed=Fake(why=f"It needs repository:{evil} too.", refusal=f"No: {evil}"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.connected(f"the server says {evil}")
        await until(pilot, lambda: "the server says" in text_of(app))
        seen = app.export_screenshot()
        await pilot.press("enter")
        await until(pilot, lambda: "It waits" in text_of(app))
        seen += app.export_screenshot()
        await pilot.press("escape", "c", "y")
        await until(pilot, lambda: "No: evil" in text_of(app))
        seen += app.export_screenshot()
    assert "evil␛[2J" in html.unescape(seen)
    assert not {"\x1b", "\x07", "\x9b"} & set(html.unescape(seen))


async def test_help_explains_the_keys_and_slash_finds() -> None:
    app = screen(task(A), task(B, name="publish"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        assert "cancel the task, after a question" in text_of(app)
        await pilot.press("q")
        await pilot.press("slash", "p", "u", "b", "enter")
        assert [row[1] for row in shown(app)] == ["publish"]
        await pilot.press("escape")
        assert len(shown(app)) == 2
        assert not app.query_one("#filter", Input).has_class("open")


async def test_a_shows_ended_tasks_and_q_quits() -> None:
    feed = Fake()
    app = screen(task(A), feed=feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        assert (feed.shows_all, feed.looks) == (True, 1)
        assert "all tasks" in str(app.query_one("#head", Static).render())
        await pilot.press("q")
    assert app.return_value is None


async def test_it_ends_with_the_error_of_the_feed() -> None:
    app = screen(task(A))
    async with app.run_test(size=(80, 24)) as pilot:
        app.ended(Failure("Authentication Failed", 77))
        await pilot.pause()
    assert isinstance(app.return_value, Failure)


# The command


def test_without_a_terminal_it_says_what_to_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, Server(), "top") == USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert "top needs a terminal" in told.err
    assert "pulp-admin --output json tasks list" in told.err
    assert admin(tmp_path, Server(), "--output", "json", "top") == USAGE


def test_without_textual_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "pulp_admin.top_screen")
    monkeypatch.setitem(sys.modules, "textual.app", None)
    assert admin(tmp_path, Server(), "top") == CONFIG
    assert "pip install 'pulp-admin[top]'" in capsys.readouterr().err
