"""`tasks watch` against a server that is one function: its output, and the faults it survives."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_admin.client import Client
from pulp_admin.errors import Failure
from pulp_admin.watching import Pauses, follow
from pulp_console.exits import TEMPORARY

from tests.support.admin import admin, client_of

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
HEARTBEAT = b"id: c\n: ping\n\n"


def sse(kind: str, offset: int = 7, progress: object = None, event_id: str = "c") -> bytes:
    """One event of the task, as the API sends it."""
    data: dict[str, object] = {} if progress is None else {"progress": progress}
    event = {"type": f"org.pulpproject.task.{kind}.v1", "data": data}
    record = {"partition": 0, "offset": offset, "timestamp_ms": 1_795_863_600_000 + 1000 * offset, "event": event}
    return f"id: {event_id}\nevent: {event['type']}\ndata: {json.dumps(record)}\n\n".encode()


class Stream(httpx.SyncByteStream):
    """A stream with these events, which then ends, breaks, or stays open; if it stays open, nobody may wait for
    more."""

    def __init__(self, *chunks: bytes, then: str = "end") -> None:
        self._chunks, self._then = chunks, then

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._then == "break":
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        if self._then == "interrupt":
            raise KeyboardInterrupt
        assert self._then == "end", "it waits although the task has ended"


def task(state: str, **more: Any) -> dict[str, Any]:
    """A report of the v2 dialect."""
    ended = state in ("finished", "error", "canceled", "skipped")
    return {
        "task_id": ID,
        "task_type": "sync",
        "state": state,
        "cancelling": False,
        "progress": {},
        "progress_report": {},
        "error": {"description": "no route to host"} if state == "error" else None,
        "submit_time": "2026-11-28T11:59:50Z",
        "start_time": None if state in ("waiting", "skipped") else "2026-11-28T12:00:00Z",
        "finish_time": "2026-11-28T12:03:05Z" if ended else None,
        **more,
    }


class Server:
    """Answers with these streams and reports in turn; an exception is raised. The last report stays."""

    def __init__(self, streams: list[Any], reports: list[Any]) -> None:
        self.streams, self.reports = streams, reports
        self.resumed: list[str | None] = []
        self.asked: list[str | None] = []
        self.waiting_for: dict[str, Any] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/"):
            self.resumed.append(request.headers.get("last-event-id"))
            return self._say(self.streams.pop(0))
        if "/v3/" in request.url.path:
            return httpx.Response(200, json={"waiting_for": self.waiting_for})
        self.asked.append(request.headers.get("pulp-min-position"))
        return self._say(self.reports.pop(0) if len(self.reports) > 1 else self.reports[0])

    def _say(self, answer: Any) -> httpx.Response:
        match answer:
            case Exception():
                raise answer
            case httpx.Response():
                return answer
            case dict():
                return httpx.Response(200, json=answer)
            case _:
                return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=answer)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pauses(self) -> Pauses:
        return Pauses(sleep=self.sleep, clock=lambda: self.now)


def watched(folder: Path, server: Callable[[httpx.Request], httpx.Response], clock: Clock | None = None) -> int:
    client: Client = client_of(folder, server)
    return follow(client, ID, pauses=(clock or Clock()).pauses())


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("error", 1), ("canceled", 3), ("skipped", 4)])
def test_it_ends_with_the_event_that_ends_the_task(tmp_path: Path, state: str, code: int) -> None:
    server = Server([Stream(sse("finished"), then="held open")], [task("running"), task(state)])
    assert admin(tmp_path, server, "tasks", "watch", "--task-id", ID) == code


def test_it_ends_at_once_if_the_task_has_ended(tmp_path: Path) -> None:
    assert watched(tmp_path, Server([Stream(then="held open")], [task("finished")])) == 0


def test_the_task_is_read_as_new_as_the_event_that_ends_it(tmp_path: Path) -> None:
    server = Server([Stream(sse("finished"))], [task("running"), task("finished")])
    assert watched(tmp_path, server) == 0
    assert server.asked == [None, "0:7"]


def test_a_line_with_its_time_for_each_change_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"rpm": {"items_total": 8, "items_left": 3}}
    events = [sse("started", 1), sse("progress", 2, counts), sse("progress", 3, counts), sse("finished", 4)]
    server = Server([Stream(*events)], [task("waiting"), task("running"), task("error")])
    watched(tmp_path, server)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.endswith("Z sync: Waiting")
    assert others == [
        "2026-11-28T11:00:01Z sync: Running",
        "2026-11-28T11:00:02Z sync: Running, 5/8 items",
        "2026-11-28T11:00:04Z sync: Error after 3m05s: no route to host",
    ]


def test_what_a_waiting_task_waits_for_is_told_and_looked_at_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server([Stream(HEARTBEAT, sse("finished"))], [task("waiting"), task("waiting"), task("skipped")])
    server.waiting_for = {"message": "Queue slow is served by no worker.", "root_cause": None}
    assert watched(tmp_path, server) == 4
    said = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["sync: Waiting. Queue slow is served by no worker.", "sync: Skipped"]
    assert len(server.asked) == 3  # at the start, at the heartbeat, at the end


def test_a_proxy_that_ends_streams_for_ever_ends_no_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred ends of the stream in a row, for a task that is silent for hours: each stream continues where the last
    one was."""
    streams = [Stream(f"retry: 1000\nid: {number}\n\n".encode()) for number in range(100)]
    server = Server([*streams, Stream(sse("finished"))], [*[task("running")] * 101, task("finished")])
    clock = Clock()
    assert watched(tmp_path, server, clock) == 0
    assert server.resumed == [None, *map(str, range(100))]
    assert max(clock.slept) <= 0.5  # each stream delivered something, if only its position
    assert capsys.readouterr().err == ""


def test_pauses_grow_while_streams_bring_nothing_and_are_short_again_after_one_that_did(tmp_path: Path) -> None:
    quiet, loud = Stream(), Stream(sse("progress", progress={"step": "a"}))
    server = Server([quiet, quiet, quiet, quiet, loud, quiet], [*[task("running")] * 5, task("finished")])
    clock = Clock()
    assert watched(tmp_path, server, clock) == 0
    grown, after_loud = clock.slept[:4], clock.slept[4]
    assert grown[0] <= 0.5
    assert grown[3] > 2 * grown[0]
    assert after_loud <= 0.5


def test_pauses_differ_so_that_many_do_not_come_back_at_once() -> None:
    clocks = [Clock() for _ in range(20)]
    for clock in clocks:
        clock.pauses().pause()
    assert len({clock.slept[0] for clock in clocks}) > 1


def test_it_outlives_a_restart_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = httpx.ConnectError("[Errno 111] Connection refused")
    bad_gateway = httpx.Response(502, text="<html>")
    streams = [
        Stream(sse("started", event_id="s"), then="break"),
        refused,
        refused,
        bad_gateway,
        Stream(sse("finished")),
    ]
    server = Server(streams, [task("running"), task("running"), task("running"), task("finished")])
    assert watched(tmp_path, server) == 0
    assert server.resumed == [None, "s", "s", "s", "s"]
    error = capsys.readouterr().err.splitlines()
    assert error == ["The server does not answer ([Errno 111] Connection refused). Trying again.", "Connected again."]


def test_streams_that_are_cut_are_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streams = [Stream(HEARTBEAT, then="break") for _ in range(50)]
    assert (
        watched(tmp_path, Server([*streams, Stream(sse("finished"))], [*[task("running")] * 51, task("finished")])) == 0
    )
    assert capsys.readouterr().err == ""


def test_a_server_that_is_not_there_at_the_start_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(Failure) as raised:
        watched(tmp_path, Server([httpx.ConnectError("[Errno 111] Connection refused")], [task("running")]))
    assert raised.value.code == 78


def test_a_server_that_stays_away_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    streams = [Stream(), *[httpx.ConnectError("[Errno 111] Connection refused")] * 1000]
    clock = Clock()
    with pytest.raises(Failure) as raised:
        watched(tmp_path, Server(streams, [task("running")]), clock)
    assert raised.value.code == TEMPORARY
    assert "The task goes on" in raised.value.message
    assert clock.now > 600


def test_a_place_in_the_stream_that_means_nothing_any_more_is_forgotten(tmp_path: Path) -> None:
    gone = httpx.Response(410, json={"detail": "the topic was made anew"})
    server = Server([Stream(HEARTBEAT), gone, Stream()], [task("running"), task("finished")])
    assert watched(tmp_path, server) == 0
    assert server.resumed == [None, "c", None]


def test_a_refusal_is_no_loss_of_the_connection(tmp_path: Path) -> None:
    server = Server([Stream(), httpx.Response(401, json={})], [task("running")])
    with pytest.raises(Failure) as raised:
        watched(tmp_path, server)
    assert raised.value.code == 77


def test_ctrl_c_says_that_the_task_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server([Stream(then="interrupt")], [task("running")])
    assert admin(tmp_path, server, "tasks", "watch", "--task-id", ID) == 130
    assert capsys.readouterr().err == f"The task goes on. To cancel it: pulp-admin tasks cancel --task-id {ID}\n"


def test_json_is_the_task_as_a_line_after_each_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [sse("progress", 2, {"step": "one"}), HEARTBEAT, sse("finished", 3)]
    server = Server([Stream(*events)], [task("running"), task("finished")])
    assert admin(tmp_path, server, "tasks", "watch", "--task-id", ID, "--output", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["state"], line["progress"], line["progress_report"]) for line in lines] == [
        ("running", {}, {}),
        ("running", {"step": "one"}, {"step": "one"}),
        ("finished", {}, {}),
    ]


def test_yaml_is_a_document_after_each_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server([Stream(sse("finished"))], [task("running"), task("finished")])
    assert admin(tmp_path, server, "tasks", "watch", "--task-id", ID, "--output", "yaml") == 0
    assert capsys.readouterr().out.count("---\n") == 2


def test_nothing_of_the_task_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"description": "\x1b]52;c;cHduZWQ=\x07 \x9b31m \u202e gone\r\nand more"}
    server = Server([Stream()], [task("error", task_type="sy\x1b[2Jnc", error=error)])
    watched(tmp_path, server)
    [line] = capsys.readouterr().out.splitlines()
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(line)
    assert "gone and more" in line
