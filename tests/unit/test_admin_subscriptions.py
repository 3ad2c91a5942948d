"""`pulp-admin subscriptions` against a server that is one function."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import documented
from tests.support.admin import admin

ROOT = "/pulp/api/v3/subscriptions/"
ID = "5f0c2a5e-2a0b-4b52-9f6d-1f0d6ce1f5aa"
TASK = "e0e0a250-eded-468f-9d97-0419a00b130f"
TIME = "2026-11-29T12:00:00.000000Z"
CHAT: dict[str, Any] = {
    "pulp_href": f"{ROOT}{ID}/",
    "prn": f"prn:tasks.subscription:{ID}",
    "pulp_created": TIME,
    "pulp_last_updated": TIME,
    "name": "chat",
    "url": "https://chat.example.org/pulp",
    "filter": {"types": ["org.pulpproject.task.finished.v1"], "operations": ["sync"]},
    "state": "active",
    "reason": None,
    "created_by": "/pulp/api/v3/users/jo/",
    "updated_by": "/pulp/api/v3/users/jo/",
    "version": 1,
    "previous_secret_until": None,
    "cursor": "JB9n_8NSQK2l1SdrBsDHOg.3.0.0.1",
    "delivered": 4,
    "failures_in_a_row": 2,
    "next_attempt": TIME,
    "parked_tasks": 1,
    "last_success": TIME,
    "last_failure": TIME,
    "last_error": "the endpoint answered 503",
}
PARKED = {"task": f"/pulp/api/v3/tasks/{TASK}/", "position": "1:7", "error": "refused", "parked_at": TIME}
DELIVERY = {
    "event_id": "01a228f4-c1e0-7cc0-9b55-2d6f2b3f1a11",
    "event_type": "org.pulpproject.task.finished.v1",
    "position": "1:7",
    "task": f"/pulp/api/v3/tasks/{TASK}/",
    "outcome": "retried",
    "attempts": 2,
    "status": 503,
    "error": "the endpoint answered 503",
    "took_ms": 12,
    "first_at": TIME,
    "last_at": TIME,
    "next_attempt": TIME,
}


class Server:
    """Answers as the API does, and records requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.test: dict[str, Any] = {**DELIVERY, "position": None, "task": None, "outcome": "delivered", "error": None}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        path = request.url.path
        if request.method != "GET":
            self.asked.append((request.method, path.removeprefix(ROOT).replace(ID, "ID"), body))
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.method == "POST" and path == ROOT:
            return httpx.Response(201, json={**CHAT, "secret": "whsec_c2VjcmV0"})
        if path.endswith("/rotate-secret/"):
            return httpx.Response(200, json={**CHAT, "previous_secret_until": TIME, "secret": "whsec_bmV3"})
        if path.endswith("/test/"):
            return httpx.Response(200, json=self.test)
        if path.endswith("/deliveries/"):
            return httpx.Response(200, json=self._page([DELIVERY]))
        if path == ROOT:
            wanted = request.url.params.get("name", "").strip()  # an empty filter counts as no filter, as in Pulp 3
            found = [CHAT] if wanted in ("", "chat") else []
            return httpx.Response(200, json=self._page(found))
        return httpx.Response(200, json={**CHAT, "parked": [PARKED]} if request.method == "GET" else CHAT)

    @staticmethod
    def _page(results: list[Any]) -> dict[str, Any]:
        return {"count": len(results), "next": None, "previous": None, "results": results}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize(
    "command",
    [["show"], ["test"], ["pause"], ["resume"], ["redeliver", "--yes"], ["rotate-secret"], ["delete", "--yes"]],
)
def test_a_blank_name_is_that_of_no_subscription(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], name: str
) -> None:
    """A script whose variable is empty must not change the first subscription."""
    server = Server()
    assert admin(tmp_path, server, "subscriptions", command[0], name, *command[1:]) == 65
    assert server.asked == []
    assert f"There is no subscription {name!r}." in capsys.readouterr().err


def test_create_sends_what_is_said_and_prints_the_secret_alone(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--type", "finished", "--type", "started", "--operation", "sync", "--resource", "repository:zoo"]
    options += ["--actor", "user:jo", "--since", "beginning"]
    assert admin(tmp_path, server, "subscriptions", "create", "chat", "https://chat.example.org/pulp", *options) == 0
    wanted = {
        "types": ["finished", "started"],
        "operations": ["sync"],
        "resources": ["repository:zoo"],
        "actors": ["user:jo"],
    }
    body = {"name": "chat", "url": "https://chat.example.org/pulp", "since": "beginning", "filter": wanted}
    assert server.asked == [("POST", "", body)]
    said = capsys.readouterr()
    assert said.out == "whsec_c2VjcmV0\n"
    assert "whsec_" not in said.err
    assert "pulp-admin subscriptions test chat" in said.err


@pytest.mark.parametrize(
    "command", [["create", "chat", "https://chat.example.org/pulp"], ["redeliver", "chat", "--yes"]]
)
def test_since_takes_every_spelling_of_a_time(server: Server, tmp_path: Path, command: list[str]) -> None:
    """The server accepts only times with a zone."""
    for spelt in ("24h", "yesterday", "2026-11-24", "2026-11-24 12:00", "2026-11-24T12:00:00+02:00"):
        assert admin(tmp_path, server, "subscriptions", *command, "--since", spelt) == 0
        *_, (_, _, body) = server.asked
        assert body is not None
        assert datetime.fromisoformat(body["since"]).utcoffset() == timedelta(0)
    old = urlsafe_b64encode(b'["AAAAAAAAAAAAAAAAAAAAAA",[12,0,7]]').decode().rstrip("=")  # as release 0.1 wrote it
    for kept in ("beginning", "now", "AAAAAAAAAAAAAAAAAAAAAA.12.0.7", old):
        assert admin(tmp_path, server, "subscriptions", *command, "--since", kept) == 0
        *_, (_, _, body) = server.asked
        assert body is not None
        assert body["since"] == kept
    asked = len(server.asked)
    for wrong in ("3:1042", "soon", ""):
        assert admin(tmp_path, server, "subscriptions", *command, "--since", wrong) == 64
    assert len(server.asked) == asked


def test_each_action_is_one_request(server: Server, tmp_path: Path) -> None:
    for arguments in (
        ["pause", "chat"],
        ["resume", "chat"],
        ["redeliver", "chat", "--yes"],
        ["redeliver", "chat", "--since", "2026-11-24T12:00:00Z", "--yes"],
        ["rotate-secret", "chat", "--overlap", "1h"],
        ["rotate-secret", "chat", "--overlap", "0", "--yes"],
        ["test", "chat"],
        ["delete", "chat", "--yes"],
    ):
        assert admin(tmp_path, server, "subscriptions", *arguments) == 0
    assert server.asked == [
        ("POST", "ID/pause/", {}),
        ("POST", "ID/resume/", {}),
        ("POST", "ID/redeliver/", {}),
        ("POST", "ID/redeliver/", {"since": "2026-11-24T12:00:00Z"}),
        ("POST", "ID/rotate-secret/", {"overlap_seconds": 3600}),
        ("POST", "ID/rotate-secret/", {"overlap_seconds": 0}),
        ("POST", "ID/test/", {}),
        ("DELETE", "ID/", None),
    ]


def test_a_test_that_fails_ends_with_65_and_the_reason(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.test |= {"outcome": "failed", "status": None, "error": "the name of the host has no address"}
    assert admin(tmp_path, server, "subscriptions", "test", "chat") == 65
    assert "The test event was not delivered: the name of the host has no address" in capsys.readouterr().err


def test_what_asks_changes_nothing_without_a_terminal(server: Server, tmp_path: Path) -> None:
    for arguments in (["delete", "chat"], ["redeliver", "chat"], ["rotate-secret", "chat", "--overlap", "0"]):
        assert admin(tmp_path, server, "subscriptions", *arguments) == 64
    assert server.asked == []


@pytest.mark.parametrize(("state", "words"), [("paused", "It is paused, and this resumes it."), ("active", None)])
def test_a_redelivery_says_that_it_resumes(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    words: str | None,
) -> None:
    monkeypatch.setitem(CHAT, "state", state)
    assert admin(tmp_path, server, "subscriptions", "redeliver", "chat") == 64
    told = " ".join(capsys.readouterr().err.split())
    assert "Deliver all events again from the first parked one?" in told
    assert words in told if words is not None else "resumes" not in told


def test_a_rotation_that_ends_a_secret_which_still_signs_asks_first(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the only one that a receiver has, for example if the newest was printed and lost."""
    monkeypatch.setitem(CHAT, "previous_secret_until", "9998-01-02T03:04:05.000000Z")
    assert admin(tmp_path, server, "subscriptions", "rotate-secret", "chat") == 64
    assert server.asked == []
    told = " ".join(capsys.readouterr().err.split())
    assert "An older secret of 'chat' signs until 9998-01-02T03:04:05Z, and would end at once." in told
    assert admin(tmp_path, server, "subscriptions", "rotate-secret", "chat", "--yes") == 0
    assert server.asked == [("POST", "ID/rotate-secret/", {"overlap_seconds": 86_400})]


@pytest.mark.parametrize(("left_s", "asks"), [(3600, False), (3 * 3600, True)])
def test_a_rotation_each_day_does_not_ask(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_s: float, asks: bool
) -> None:
    """Without a terminal a question is an error, so a script would fail whenever it came a second early."""
    until = datetime.now(UTC) + timedelta(seconds=left_s)
    monkeypatch.setitem(CHAT, "previous_secret_until", until.isoformat())
    code = admin(tmp_path, server, "subscriptions", "rotate-secret", "chat", "--overlap", "24h")
    assert (code, len(server.asked)) == ((64, 0) if asks else (0, 1))


def test_the_pages_show_how_it_is(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "subscriptions", "list") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("chat", "active", "https://chat.example.org/pulp", "4", "1", "2026-11-29T12:00:00Z", "failed"),
    ]
    assert admin(tmp_path, server, "subscriptions", "show", "chat") == 0
    page = capsys.readouterr().out
    for text in ("types: finished; operations: sync", "the endpoint answered 503", TASK, "1:7"):
        assert text in page
    assert admin(tmp_path, server, "subscriptions", "deliveries", "chat") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:8] == [
        *("2026-11-29T12:00:00Z", "task.finished", TASK, "retried", "2", "503", "12", "ms"),
    ]


def test_an_unknown_name_is_told(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "subscriptions", "show", "chta") == 65
    assert "There is no subscription 'chta'." in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "chat"],
        ["deliveries", "chat"],
        ["create", "chat", "https://chat.example.org/pulp"],
        ["test", "chat"],
        ["pause", "chat"],
        ["resume", "chat"],
        ["redeliver", "chat", "--yes"],
        ["rotate-secret", "chat"],
        ["delete", "chat", "--yes"],
    ],
)
def test_output_for_programs_is_as_documented(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert admin(tmp_path, server, "subscriptions", *arguments, "--output", "json") == 0
    documented.check(f"subscriptions {arguments[0]}", json.loads(capsys.readouterr().out), "pulp-admin")


@pytest.mark.parametrize(
    "command",
    ["create", "list", "show", "deliveries", "pause", "resume", "redeliver", "rotate-secret", "delete", "test"],
)
def test_every_help_page_has_an_example(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert admin(tmp_path, Server(), "subscriptions", command, "--help") == 0
    assert f"pulp-admin subscriptions {command}" in capsys.readouterr().out
