"""`login` stores a token in place of a password, where nobody else can read it; `logout` ends it."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_admin.app import App
from pulp_admin.client import Client
from pulp_admin.config import read_config
from pulp_admin.errors import Failure
from pulp_admin.main import run
from pulp_admin.sessions import Session, Sessions

URL = "https://pulp.example.org"
ID = "018f2d3c-0000-7000-8000-000000000001"
TOKEN = {"id": ID, "token": "pulp_hunter2", "user": "jo", "expires_at": "2026-12-06T12:00:00.000000Z"}
JO = Session(token="pulp_hunter2", token_id=ID, username="jo", expires_at="2026-12-06T12:00:00.000000Z")


class Place:
    """A home with a session file, and a server that creates tokens."""

    def __init__(self, home: Path) -> None:
        self.file = home / ".pulp" / "sessions.json"
        self.asked: list[tuple[str, str, str]] = []
        self.answers: dict[str, httpx.Response] = {}

    def run(self, *arguments: str, **env: str) -> int:
        def client(app: App) -> Client:
            config, _ = read_config(app.flags, {"PULP_URL": URL, **env})
            return Client(config, transport=httpx.MockTransport(self._answer), verbosity=app.verbosity)

        return run(arguments, App({}, make_client=client))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path, request.headers.get("authorization", "")))
        if request.method in self.answers:
            return self.answers[request.method]
        if request.method == "POST":
            assert json.loads(request.content)["expires_in_seconds"] == 7 * 24 * 3600
            return httpx.Response(201, json=TOKEN)
        return httpx.Response(200, json=[] if request.method == "GET" else TOKEN)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PULP_ADMIN_CONFIG", "PULP_URL", "PULP_USERNAME", "PULP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)


def test_a_login_keeps_the_token_and_no_password(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("login", "-u", "jo", "-p", "hunter3") == 0
    assert capsys.readouterr() == ("Successfully logged in. The session will expire at 2026-12-06T12:00:00Z.\n", "")
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert "hunter3" not in place.file.read_text()
    assert [path.name for path in place.file.parent.iterdir()] == ["sessions.json"]
    basic = f"Basic {base64.b64encode(b'jo:hunter3').decode()}"
    assert place.asked == [("POST", "/pulp/api/v3/tokens/", basic)]


def test_the_next_command_uses_the_token_unless_a_user_is_named(place: Place) -> None:
    Sessions(place.file.parent).keep(URL, JO)
    (place.file.parent / "admin.toml").write_text('username = "ann"\npassword = "p"\n')
    (place.file.parent / "admin.toml").chmod(0o600)
    assert place.run("tasks", "list") == 0
    assert place.run("-u", "ann", "tasks", "list") == 0
    assert [who.partition(" ")[0] for _, _, who in place.asked] == ["Bearer", "Basic"]
    assert place.asked[0][2] == "Bearer pulp_hunter2"
    assert read_config({}, {"PULP_URL": "https://other.example.org"})[0].token is None


def test_the_oldest_session_ends_for_one_more_than_there_may_be(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script may log in on a new machine each time, and never log out."""
    tokens = [
        {"id": f"{ID[:-1]}{n}", "name": name, "valid": valid, "pulp_created": f"2026-11-{n:02}T12:00:00.000000Z"}
        for n, (name, valid) in enumerate(
            [
                ("login on prod", True),
                ("login on a 0a1b2c31", False),
                ("login on c 0a1b2c33", True),
                ("login on b 0a1b2c32", True),
            ],
            1,
        )
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        place.asked.append((request.method, request.url.path, ""))
        if request.method == "GET":
            return httpx.Response(200, json={"count": len(tokens), "next": None, "results": tokens})
        if request.method == "DELETE":
            tokens[:] = [each for each in tokens if str(each["id"]) not in request.url.path]
        if request.method == "POST" and len(tokens) == 4:
            return httpx.Response(409, json={"detail": "user jo has 100 tokens, the most that are allowed"})
        return httpx.Response(201 if request.method == "POST" else 200, json=TOKEN)

    monkeypatch.setattr(place, "_answer", answer)
    assert place.run("login", "-u", "jo", "-p", "x") == 0
    assert [method for method, _, _ in place.asked] == ["POST", "GET", "DELETE", "POST"]
    assert place.asked[2][1] == f"/pulp/api/v3/tokens/{ID[:-1]}3/"
    assert Sessions(place.file.parent).recall(URL) == JO
    assert "Ended your oldest session, 'login on c 0a1b2c33' of 2026-11-03T12:00:00Z" in capsys.readouterr().err
    tokens[:] = [{**tokens[0], "name": f"login on prod {n}"} for n in range(4)]
    assert place.run("login", "-u", "jo", "-p", "x") == 65
    assert "the most that are allowed" in capsys.readouterr().err


def test_options_may_stand_before_the_command_as_well(place: Place) -> None:
    assert place.run("-u", "jo", "-p", "x", "login") == 0
    assert Sessions(place.file.parent).recall(URL) == JO


def test_who_logs_in_has_to_be_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("login") == 64
    assert capsys.readouterr().err.endswith("were not specified:\n  --username\n")
    assert place.asked == []


def test_a_login_again_ends_the_earlier_session(place: Place) -> None:
    earlier = Session(token="old", token_id="018f2d3c-0000-7000-8000-000000000002", username="jo")
    Sessions(place.file.parent).keep(URL, earlier)
    assert place.run("login", "-u", "jo", "-p", "x") == 0
    assert [(method, path) for method, path, _ in place.asked] == [
        ("POST", "/pulp/api/v3/tokens/"),
        ("DELETE", f"/pulp/api/v3/tokens/{earlier.token_id}/"),
    ]


def test_a_server_without_tokens_keeps_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.answers["POST"] = httpx.Response(404, json={"detail": "Not found."})
    assert place.run("login", "-u", "jo", "-p", "x") == 65
    assert f"The server {URL} makes no tokens" in capsys.readouterr().err
    assert not place.file.exists()


def test_a_wrong_password_keeps_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.answers["POST"] = httpx.Response(401, json={"detail": "Invalid username/password."})
    assert place.run("login", "-u", "jo", "-p", "hunter3") == 77
    error = capsys.readouterr().err
    assert error.startswith("Invalid Username or Password")
    assert "hunter3" not in error
    assert not place.file.exists()


def test_a_logout_ends_the_session_on_the_server_and_here(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = Sessions(place.file.parent)
    sessions.keep(URL, JO)
    sessions.keep("https://other", JO)
    assert place.run("logout") == 0
    assert capsys.readouterr() == ("Session successfully removed.\n", "")
    assert place.asked == [("DELETE", f"/pulp/api/v3/tokens/{ID}/", "Bearer pulp_hunter2")]
    assert (sessions.recall(URL), sessions.recall("https://other")) == (None, JO)
    assert place.run("logout") == 0
    assert capsys.readouterr().out == "No session found, nothing to do.\n"


@pytest.mark.parametrize(
    "env", [{"PULP_TOKEN": "pulp_ci"}, {"PULP_USERNAME": "jo", "PULP_PASSWORD": "wrong"}, {"PULP_USERNAME": "ann"}]
)
def test_a_logout_ends_the_session_whoever_the_environment_names(place: Place, env: dict[str, str]) -> None:
    """With another user's rights, or a wrong password, the token would stay valid, and nothing here could revoke it."""
    Sessions(place.file.parent).keep(URL, JO)
    assert place.run("logout", **env) == 0
    assert place.asked == [("DELETE", f"/pulp/api/v3/tokens/{ID}/", "Bearer pulp_hunter2")]
    assert not place.file.exists()


@pytest.mark.parametrize(("status", "is_told"), [(401, False), (404, True), (500, True)])
def test_a_logout_removes_the_session_also_where_the_server_does_not_end_it(
    place: Place, capsys: pytest.CaptureFixture[str], status: int, is_told: bool
) -> None:
    Sessions(place.file.parent).keep(URL, JO)
    place.answers["DELETE"] = httpx.Response(status, json={"detail": "no"})
    assert place.run("logout") == 0
    assert ("could not end the session, which expires at 2026-12-06T12:00:00Z" in capsys.readouterr().err) is is_told
    assert not place.file.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_session_that_others_may_read_is_refused(place: Place, capsys: pytest.CaptureFixture[str], mode: int) -> None:
    Sessions(place.file.parent).keep(URL, JO)
    place.file.chmod(mode)
    assert place.run("tasks", "list") == 78
    assert capsys.readouterr().err.startswith(
        f"{place.file}: it holds what `pulp-admin login` has kept, and others may"
    )
    assert place.asked == []


@pytest.mark.parametrize(
    "text", ["", "[]", '{"https://pulp.example.org": 1}', '{"https://pulp.example.org": {"a": 1}}']
)
def test_a_damaged_file_is_told(place: Place, text: str) -> None:
    place.file.parent.mkdir()
    place.file.write_text(text)
    place.file.chmod(0o600)
    with pytest.raises(Failure, match="it is not what `pulp-admin login` writes"):
        Sessions(place.file.parent).recall(URL)


def test_verbose_output_has_no_secret(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("-vv", "login", "-u", "jo", "-p", "hunter3") == 0
    error = capsys.readouterr().err
    assert f"POST {URL}/pulp/api/v3/tokens/: 201 after " in error
    assert '"token": "..."' in error
    assert "hunter" not in error
    shown: dict[str, Any] = json.loads(next(line[2:] for line in error.splitlines() if line.startswith("> ")))
    assert shown["expires_in_seconds"] == 604800


def test_a_token_of_the_environment_goes_before_all_but_options(place: Place) -> None:
    Sessions(place.file.parent).keep(URL, JO)

    def token(flags: dict[str, Any] | None = None, **env: str) -> str | None:
        return read_config(flags or {}, {"PULP_URL": URL, **env})[0].token

    assert token() == "pulp_hunter2"
    assert token(PULP_TOKEN="pulp_ci\n") == "pulp_ci"
    assert token(PULP_USERNAME="ann") is None
    assert token(PULP_USERNAME="ann", PULP_TOKEN="pulp_ci") == "pulp_ci"
    assert token({"username": "ann"}, PULP_TOKEN="pulp_ci") is None
    for wrong in ("two words", "zoë", "a\nb"):
        with pytest.raises(Failure) as raised:
            token(PULP_TOKEN=wrong)
        assert raised.value.message == "PULP_TOKEN in the environment: it holds a character that no token has"
