"""Messages and exit codes of `pulp-admin` for a faulty server or command line."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.admin import Answer, admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"


# Exit codes of Pulp 2's client; 75 is EX_TEMPFAIL, for temporary failures.
@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        (
            404,
            {"resources": {"resource_id": ID}},
            65,
            f"The following resource(s) could not be found:\n\n  {ID} (resource_id)\n",
        ),
        (400, {"error_message": "unknown state x"}, 65, "unknown state x"),
        (401, {}, 77, "Authentication Failed"),
        (401, {"detail": "Invalid username/password."}, 77, "Invalid Username or Password\n\nCheck the user name"),
        (403, {"error_message": "no"}, 77, "Insufficient Permissions: no"),
        (409, {"error_message": "conflict"}, 65, "conflict"),
        (500, {"error_message": "oh"}, 70, "An internal error occurred on the Pulp server:\n\noh"),
        (504, {"error_message": "late"}, 75, "The server cannot answer now: late"),
    ],
)
def test_each_bad_answer_has_its_text_and_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, body: dict[str, Any], code: int, text: str
) -> None:
    answer: Answer = lambda request: httpx.Response(status, json=body)
    assert admin(tmp_path, answer, "tasks", "details", "--task-id", ID) == code
    assert capsys.readouterr().err.startswith(text)


@pytest.mark.parametrize(
    "command",
    [("history",), ("rerun",), ("bundle",), ("diff", "10m"), ("diff", "0:1", "0:2")],
)
def test_a_task_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer: Answer = lambda request: httpx.Response(404, json={"detail": "No Task matches the given query."})
    name, *moments = command
    assert admin(tmp_path, answer, "tasks", name, "--task-id", ID, *moments) == 65
    assert capsys.readouterr().err == f"There is no task {ID}.\n"


def test_an_id_is_not_told_as_that_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(404, json={"detail": "No Operation matches the given query."})
    assert admin(tmp_path, answer, "tasks", "rerun", "--task-id", ID) == 65
    assert capsys.readouterr().err == "No Operation matches the given query.\n"


def test_an_answer_that_is_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, lambda request: httpx.Response(502, text="<html>"), "tasks", "list") == 70
    assert "The web server reported an error" in capsys.readouterr().err


def test_a_refused_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    assert admin(tmp_path, answer, "tasks", "list") == 78
    assert "The connection was refused when attempting to contact the server [pulp.test]" in capsys.readouterr().err


def test_a_missing_option_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, lambda request: httpx.Response(500), "tasks", "details") == 64
    assert capsys.readouterr().err.endswith("The following options are required but were not specified:\n  --task-id\n")
