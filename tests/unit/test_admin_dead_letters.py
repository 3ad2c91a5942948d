"""`pulp-admin dead-letters` against a server that is one function."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import documented
from tests.support.admin import admin

ROOT = "/pulp/api/v3/dead-letters/"
TASK = "e0e0a250-eded-468f-9d97-0419a00b130f"
TIME = "2026-11-29T12:00:00.000000Z"


def letter(position: str, **changed: Any) -> dict[str, Any]:
    plain = {
        **{"pulp_href": f"{ROOT}{position}/", "position": position, "time": TIME, "published": True},
        **{"reason": "the value is no JSON", "size_bytes": 1, "standing": "dead", "behind": 0, "task": None},
    }
    return {**plain, **changed}


PARKS = letter("3:1042", standing="parks", behind=2, task=f"/pulp/api/v3/tasks/{TASK}/")
DEAD = letter("1:7", size_bytes=None)
HELD = {
    **{"parked_by": None, "key_base64": "aw==", "value_base64": "ew==", "value": "{"},
    "headers": [{"name": "origin", "value_base64": "ZWxzZXdoZXJl"}],
}
REFUSALS = {
    "1:7": (
        409,
        "the record at 1:7 cannot be projected: it has no value. Nothing was appended; append what it should have",
    ),
    "0:99": (404, "there is no dead letter at 0:99: it was projected meanwhile"),
    "6:6": (503, "Kafka is away"),
}


class Server:
    """Answers as the API does, and records requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        self.letters = [PARKS, DEAD]
        self.is_projected = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(ROOT)
        if request.method == "GET" and not path:
            self.queries.append(dict(request.url.params))
            found = {"count": len(self.letters), "next": None, "previous": None, "results": self.letters}
            return httpx.Response(200, json=found)
        position, _, action = path.strip("/").partition("/")
        if request.method == "GET":
            if position in REFUSALS:
                return httpx.Response(404, json={"detail": REFUSALS[position][1]})
            return httpx.Response(200, json={**PARKS, **HELD})
        self.asked.append((f"{position} {action}", json.loads(request.content)))
        if position in REFUSALS:
            status, detail = REFUSALS[position]
            return httpx.Response(status, json={"detail": detail})
        made = {"position": position, "action": action, "appended": "3:1100", "behind": 2}
        return httpx.Response(200, json={**made, "projected": self.is_projected})


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_list(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "dead-letters", "list") == 0
    assert (
        capsys.readouterr().out
        == f"""\
POSITION  TIME                  BYTES  STANDING  BEHIND  TASK                                  REASON
3:1042    2026-11-29T12:00:00Z  1      parks     2       {TASK}  the value is no JSON
1:7       2026-11-29T12:00:00Z  -      dead      -       -                                     the value is no JSON
"""
    )
    options = ["--task-id", TASK, "--partition", "3", "--standing", "parks", "--standing", "waits", "--limit", "1"]
    assert admin(tmp_path, server, "dead-letters", "list", *options, "--output", "json") == 0
    listed = json.loads(capsys.readouterr().out)
    documented.check("dead-letters list", listed, "pulp-admin")
    assert [each["position"] for each in listed] == ["3:1042"]
    assert server.queries[-1] | {"task": TASK, "partition": "3", "standing": "parks,waits"} == server.queries[-1]
    server.letters = []
    assert admin(tmp_path, server, "dead-letters", "list") == 0
    assert capsys.readouterr().err == "There are no dead letters.\n"


def test_one_is_shown(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "dead-letters", "show", "3:1042") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Position  3:1042",
        "Time      2026-11-29T12:00:00Z",
        "Reason    the value is no JSON",
        "Standing  parks its task: 2 records wait behind it",
        f"Task      {TASK}",
        "Key       1 byte: k",
        "Header    origin: 9 bytes: elsewhere",
        "Value     1 byte: {",
    ]
    assert admin(tmp_path, server, "dead-letters", "show", "3:1042", "--output", "json") == 0
    documented.check("dead-letters show", json.loads(capsys.readouterr().out), "pulp-admin")
    assert admin(tmp_path, server, "dead-letters", "show", "0:99") == 65
    assert "there is no dead letter at 0:99" in capsys.readouterr().err
    assert admin(tmp_path, server, "dead-letters", "show", "3") == 64
    assert "is not a position such as 3:1042" in capsys.readouterr().err


def test_retries_are_told_one_by_one(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "dead-letters", "retry", "3:1042", "--reason", "upgraded") == 0
    assert capsys.readouterr().out == "3:1042  appended at 3:1100\n"
    assert server.asked == [("3:1042 retry", {"reason": "upgraded"})]
    assert admin(tmp_path, server, "dead-letters", "retry", "1:7", "0:99", "3:1042") == 65
    told = capsys.readouterr()
    assert told.out == "3:1042  appended at 3:1100\n"
    assert [line.split("  ")[0] for line in told.err.splitlines()] == ["1:7", "0:99"]
    assert "Nothing was appended" in told.err
    server.is_projected = False
    assert admin(tmp_path, server, "dead-letters", "retry", "--all") == 0
    assert capsys.readouterr().out.splitlines() == [
        "3:1042  appended at 3:1100; it takes effect as soon as a processor is up",
        "1 retried, 1 left: they still cannot be projected",
    ]
    assert server.queries[-1]["standing"] == "dead,parks"
    server.letters = []
    assert admin(tmp_path, server, "dead-letters", "retry", "--all") == 0
    assert capsys.readouterr().out == "0 retried\n"
    for wrong in ([], ["--all", "3:1042"]):
        assert admin(tmp_path, server, "dead-letters", "retry", *wrong) == 64
        assert "Give positions, or --all." in capsys.readouterr().err


def test_what_was_done_is_printed_also_if_the_server_goes_away(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, server, "dead-letters", "retry", "3:1042", "6:6", "3:1043", "--output", "json") == 75
    told = capsys.readouterr()
    documented.check("dead-letters retry", json.loads(told.out), "pulp-admin")
    assert [each["position"] for each in json.loads(told.out)] == ["3:1042"]
    assert "Kafka is away" in told.err
    assert [what for what, _ in server.asked] == ["3:1042 retry", "6:6 retry"]  # not sent twice, nor the next one


def test_a_discard_asks_first(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "dead-letters", "discard", "3:1042") == 64
    assert "Let the task go on without the record at 3:1042? There is no terminal" in capsys.readouterr().err
    assert server.asked == []
    done = ["dead-letters", "discard", "3:1042", "--reason", "by a broken script", "--yes", "--output", "json"]
    assert admin(tmp_path, server, *done) == 0
    discarded = json.loads(capsys.readouterr().out)
    documented.check("dead-letters discard", discarded, "pulp-admin")
    assert discarded == [
        {"position": "3:1042", "appended": "3:1100", "behind": 2, "projected": True, "error": None},
    ]
    assert server.asked == [("3:1042 discard", {"reason": "by a broken script"})]
    assert admin(tmp_path, server, "dead-letters", "discard", "1:7", "--yes") == 65


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["retry"], ["discard"]])
def test_help_has_examples(
    command: list[str], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, server, "dead-letters", *command, "--help") == 0
    assert "pulp-admin dead-letters" in capsys.readouterr().out.split("Example", 1)[1]
