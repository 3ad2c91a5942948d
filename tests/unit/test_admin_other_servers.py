"""What `pulp-admin` says if the server is another program, or a file on the command line cannot be read."""

import os
from pathlib import Path

import httpx
import pytest
from pulp_admin.main import run

from tests.support.admin import Answer, admin

ID = "e239ae4f-7fad-4004-bfb6-8e06f17d22ef"
ASKED = "is http://pulp.test the Pulp server?"
COMMANDS = (("tasks", "list"), ("tasks", "details", "--task-id", ID), ("status",), ("queue",), ("operations",))


def answering(status: int, text: str, kind: str, **headers: str) -> Answer:
    return lambda request: httpx.Response(status, text=text, headers={"Content-Type": kind, **headers})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "answer",
    [
        answering(200, "<h1>Welcome</h1>", "text/html"),
        answering(404, "<h1>Not found</h1>", "text/html"),
        answering(502, "<h1>Bad gateway</h1>", "text/html"),
        answering(200, '{"a":', "application/json"),
        answering(200, "null", "application/json"),
        answering(204, "", "application/json"),
        answering(200, '{"results": 5, "next": 7}', "application/json"),
        answering(200, '[{"id": 5}]', "application/json"),
    ],
    ids=["html", "404", "502", "cut", "null", "nothing", "object", "list"],
)
def test_another_server_is_never_taken_for_pulp(
    command: tuple[str, ...], answer: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, answer, *command) == 70
    said = capsys.readouterr().err
    assert ASKED in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_server_that_sends_elsewhere_is_told_with_the_place(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answering(302, "<a>moved</a>", "text/html", Location="https://other.test/login")
    assert admin(tmp_path, answer, *command) == 70
    assert "answered 302 and sends to 'https://other.test/login'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--password-file", "{}/none", "status"), 78, "--password-file {}/none: it cannot be read: No such file"),
        (("--password-file", "{}", "status"), 78, "--password-file {}: it cannot be read: Is a directory"),
        (("--password-file", "{}/bytes", "status"), 78, "{}/bytes: it cannot be read: it is not text in UTF-8"),
        (("--config", "{}/bytes", "status"), 78, "{}/bytes: the configuration is not UTF-8"),
        (("--config", "{}", "status"), 78, "{}: the configuration cannot be read: Is a directory"),
        (("--ca-file", "{}/none", "status"), 78, "the certificates cannot be read: No such file"),
        (("--ca-file", "{}/bytes", "status"), 78, "the certificates cannot be read: it holds no certificate in PEM"),
        (("submit", "x", "--arguments", "@{}/none"), 64, "--arguments: the file {}/none cannot be read: No such file"),
        (("submit", "x", "--arguments", "@{}/bytes"), 64, "the file {}/bytes cannot be read: it is not text in UTF-8"),
        (("submit", "x", "--arguments", "@{}/text"), 64, "--arguments: {}/text is not JSON: "),
        (("submit", "x", "--arguments", "{{"), 64, "--arguments: this is not JSON: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    words: tuple[str, ...],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PULP_ADMIN_CONFIG", os.devnull)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "text").write_text("no JSON")
    assert run(["--url", "https://127.0.0.1:1", "-u", "jo", *(word.format(tmp_path) for word in words)]) == code
    said = capsys.readouterr().err
    assert told.format(tmp_path) in said
    assert "Errno" not in said
    assert "Traceback" not in said
