"""`stats`: its table and its bars within 80 columns, and its requests to the server."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.admin import admin

LONG = "repository:a-name-that-is-far-too-long-for-any-column-of-a-table-of-eighty"


def row(
    tasks: int, *, failed: int = 0, canceled: int = 0, ran: bool = True, slow: float = 1.0, **key: Any
) -> dict[str, Any]:
    states = {"completed": tasks - failed - canceled, "failed": failed, "canceled": canceled}
    return {
        **{"day": None, "name": None, "resource": None, "tasks": tasks},
        "states": {state: number for state, number in states.items() if number},
        "waited_seconds": {"p50": 0.012 * slow, "p90": 1.5 * slow, "p99": 185.0 * slow},
        "ran_seconds": {"p50": 0.9 * slow, "p90": 12.0 * slow, "p99": 7800.0 * slow} if ran else None,
        **key,
    }


class Server:
    """Answers every request with these rows, and records it."""

    def __init__(self, *rows: dict[str, Any], count: int | None = None) -> None:
        self.page = {"count": len(rows) if count is None else count, "next": None, "previous": None, "results": rows}
        self.asked = httpx.QueryParams()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/pulp/api/v3/statistics/days/"
        self.asked = request.url.params
        return httpx.Response(200, json=self.page)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(
        row(1200, failed=3, canceled=17, day="2026-11-23"), row(2, ran=False, canceled=2, day="2026-11-24"), count=4
    )
    assert admin(tmp_path, server, "stats") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "TASKS  ERROR  OTHER  WAIT 50 90 99%   RUN 50 90 99%    DAY",
        "1200   3      17     12ms 1.5s 3m05s  900ms 12s 2h10m  2026-11-23",
        "2      0      2      12ms 1.5s 3m05s  -                2026-11-24",
    ]
    assert said.err == "... 2 more: --limit\n"


def test_names_of_any_length_stay_within_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (row(1_234_567, failed=123_456, canceled=99_999, slow=400.0, resource=LONG), row(1, resource=None))
    for plot in ((), ("--plot", "tasks"), ("--plot", "wait"), ("--plot", "run")):
        assert admin(tmp_path, Server(*rows), "stats", "--by", "resource", *plot) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80, plot
        assert not any("\x1b" in line for line in lines)


def test_bars_have_the_lengths_of_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (row(100, failed=50, day="2026-11-23"), row(50, day="2026-11-24"), row(1000, failed=1, day="2026-11-25"))
    assert admin(tmp_path, Server(*rows), "stats", "--plot", "tasks") == 0
    lines = capsys.readouterr().out.splitlines()
    bars = [line.split()[2] for line in lines[1:]]
    longest = len(bars[2])
    assert longest == 80 - len("2026-11-25") - len("1000") - 4
    assert bars[0] == "█" * round(longest / 20) + "▒" * (round(longest / 10) - round(longest / 20))
    assert bars[1] == "█" * round(longest / 20)
    assert bars[2].strip("█") in ("", "▒")


def test_times_as_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = row(3, name="sync"), row(3, name="publish", slow=0.5)
    assert (
        admin(
            tmp_path, Server(slow, fast, row(1, name="noop", ran=False)), "stats", "--by", "operation", "--plot", "run"
        )
        == 0
    )
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "How long tasks ran: █ 50 percent  ▓ 90 percent  ░ 99 percent"
    assert [line.split()[0] for line in lines] == ["sync", "publish", "noop"]
    assert len(lines[0]) == 80
    assert lines[0].count("░") == pytest.approx(2 * lines[1].count("░"), abs=3)
    assert lines[2].split() == ["noop", "-"]


def test_what_the_server_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    given = ("--since", "2026-11-01", "--until", "2026-11-24", "--operation", "sync", "--operation", "publish")
    assert (
        admin(tmp_path, server, "stats", *given, "--resource", "repository:zoo", "--by", "operation", "--limit", "7")
        == 0
    )
    assert capsys.readouterr().out == "No task ended in this time.\n"
    assert server.asked.multi_items() == [
        *(("since", "2026-11-01"), ("until", "2026-11-24"), ("name", "sync"), ("name", "publish")),
        *(("resource", "repository:zoo"), ("by", "name"), ("limit", "7")),
    ]
    assert admin(tmp_path, server, "stats", "--since", "30d") == 0
    days = datetime.now(UTC).date() - timedelta(days=30), datetime.now(UTC).date() - timedelta(days=31)
    assert server.asked["since"] in [day.isoformat() for day in days]


@pytest.mark.parametrize("zone", ["EAST-1", "EAST-13", "WEST+11"])
def test_today_is_the_day_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """In Europe, `today` was once yesterday, because the local midnight falls on the day before in UTC."""
    server = Server()
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        before = datetime.now(UTC).date()
        assert admin(tmp_path, server, "stats", "--since", "yesterday", "--until", "today") == 0
        days = [before, datetime.now(UTC).date()]
    time.tzset()
    assert (server.asked["since"], server.asked["until"]) in [
        ((day - timedelta(days=1)).isoformat(), day.isoformat()) for day in days
    ]


def test_a_time_without_a_zone_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half past midnight falls on the day before in UTC, if the zone is an hour ahead."""
    server = Server()
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "EAST-1")
        time.tzset()
        since, until = "2026-11-24T00:30", "2026-11-24T00:30Z"
        assert admin(tmp_path, server, "stats", "--since", since, "--until", until) == 0
    time.tzset()
    assert (server.asked["since"], server.asked["until"]) == ("2026-11-23", "2026-11-24")


def test_json_is_what_the_server_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(3, day="2026-11-24")]
    assert admin(tmp_path, Server(*rows), "--output", "json", "stats", "--plot", "tasks") == 0
    assert json.loads(capsys.readouterr().out) == rows


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--since", "someday"), "'someday' is not a time"),
        (("--by", "worker"), "'worker' is not one of"),
        (("--resource", "zoo"), "TYPE:ID is expected"),
    ],
)
def test_a_mistake_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, str], told: str
) -> None:
    assert admin(tmp_path, Server(), "stats", *given) == 64
    assert told in capsys.readouterr().err
