"""Failures before or after an answer: `pulp-admin` says what failed and where, with the right exit code."""

import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from pulp_admin.app import App
from pulp_admin.main import run

from tests.support.admin import admin

DETAILS = ("tasks", "details", "--task-id", "e0e0a250-eded-468f-9d97-0419a00b130f")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration file, empty."""
    path = tmp_path / ".pulp" / "admin.toml"
    path.parent.mkdir()
    path.touch()
    for name in ("PULP_URL", "PULP_USERNAME", "PULP_PASSWORD", "PULP_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULP_ADMIN_CONFIG", str(path))
    return path


def test_an_answer_that_nobody_expects_is_in_the_log_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, lambda request: httpx.Response(200, json={"no": "report"}), *DETAILS) == 70
    log = config.parent / "admin.log"
    error = capsys.readouterr().err
    assert error.startswith("An unexpected error has occurred: KeyError")
    assert error.endswith(f"More information can be found in the client log file {log}.\n")
    assert "Traceback (most recent call last)" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_no_log_file_is_made_beside_a_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULP_ADMIN_CONFIG", os.devnull)
    assert admin(tmp_path, lambda request: httpx.Response(200, json={"no": "report"}), *DETAILS) == 70
    assert not Path(os.devnull).with_name("admin.log").exists()


@pytest.mark.parametrize("arguments", [(), ("tasks",), ("repo", "sync")])
def test_a_command_without_its_subcommand_shows_the_help_once(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(arguments) == 64
    error = capsys.readouterr().err
    assert (error.count("Usage: "), "Commands:" in error) == (1, True)


def test_a_certificate_that_is_not_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate")

    assert admin(tmp_path, answer, *DETAILS) == 78
    error = capsys.readouterr().err
    assert error.startswith("The certificate of the server [pulp.test] cannot be trusted")
    assert "--ca-file" in error


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    assert run(["--url", "https://127.0.0.1:1", "--ca-file", str(path), "status"]) == 78
    error = capsys.readouterr().err
    assert f"{path}" in error
    assert "Traceback" not in error


def test_a_reason_that_is_no_refusal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 113] No route to host")

    assert admin(tmp_path, answer, *DETAILS) == 78
    assert "No route to host" in capsys.readouterr().err


def test_a_server_that_cannot_answer_now_is_asked_again_and_the_user_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        httpx.Response(503, json={"error_message": "Kafka is away"}, headers={"Retry-After": "0"}),
        httpx.Response(404, json={"resources": {"resource_id": "x"}}),
    ]
    assert admin(tmp_path, lambda request: answers.pop(0), *DETAILS) == 65
    assert capsys.readouterr().err.startswith("The server cannot answer now: Kafka is away\nTrying again.\n")


class Terminal:
    """A standard input with somebody before it."""

    def isatty(self) -> bool:
        return True


def test_a_password_that_is_not_configured_is_asked_for(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def prompt(text: str, **options: object) -> str:
        asked.append((text, options["hide_input"]))
        return "secret"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "prompt", prompt)
    assert run(["--url", "http://127.0.0.1:1", "--username", "jo", "status"]) == 78  # nothing listens there
    assert asked == [("Password of jo", True)]
    config.write_text('username = "jo"\npassword = "configured"\n')
    config.chmod(0o600)
    assert run(["--url", "http://127.0.0.1:1", "status"]) == 78
    assert len(asked) == 1


def test_a_configuration_that_is_named_and_not_there(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.unlink()
    assert run(["status"]) == 78
    assert f"{config}: the configuration named by PULP_ADMIN_CONFIG is not there" in capsys.readouterr().err


def test_the_usual_certificates_are_loaded_only_for_a_server_that_has_one(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    original = ssl.create_default_context

    def create(*arguments: Any, **options: Any) -> ssl.SSLContext:
        loaded.append(options)
        return original(*arguments, **options)

    monkeypatch.setattr(ssl, "create_default_context", create)
    run(["--url", "http://127.0.0.1:1", "status"], App({}))
    assert loaded == []
    run(["--url", "https://127.0.0.1:1", "status"], App({}))
    assert len(loaded) == 1
