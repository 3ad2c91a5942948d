"""Ids of tasks are checked before anything is sent, and no text that a user types leads to another path."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pulp_admin.errors import Failure
from pulp_admin.paths import api_path

from tests.support.admin import admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
OTHER = "e0e0a250-eded-468f-9d97-0419a00b1310"
COMMANDS = ("details", "cancel", "watch", "history")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "text",
    [
        "../content/orphans",
        "../../v3/workers",
        "",
        " ",
        ".",
        "..",
        "a/b",
        "%2e%2e",
        f"{ID}/../../content/orphans",
        f"{ID}?as_of=1",
        f"{ID}#",
        "nonsense",
        "abc",
        "e\x1b[2J",
        "zoë",
        "/pulp/api/v3/workers/" + ID + "/",
    ],
)
def test_what_is_no_id_is_refused_before_any_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")

    assert admin(tmp_path, answer, "tasks", command, "--task-id", text) == 64
    error = capsys.readouterr().err
    assert "is not the id of a task: a UUID, the href or the PRN of a task" in error
    assert "\x1b" not in error


@pytest.mark.parametrize(
    "text",
    [
        f"  {ID}\n",
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f"prn:core.task:{ID}",
        f"/pulp/api/v2/tasks/{ID}/",
        f"/pulp/api/v3/tasks/{ID}/",
        f"https://pulp.example.org/pulp/api/v3/tasks/{ID}/",
    ],
)
def test_every_usual_form_is_the_same_task(tmp_path: Path, text: str) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404, json={"resources": {"resource_id": ID}})

    assert admin(tmp_path, answer, "tasks", "details", "--task-id", text) == 65
    assert asked == [f"/pulp/api/v2/tasks/{ID}/".encode()]


def found(*ids: str) -> dict[str, Any]:
    tasks = [{"pulp_href": f"/pulp/api/v3/tasks/{each}/", "name": "sync", "state": "completed"} for each in ids]
    return {"results": tasks, "next": None}


def test_the_beginning_of_an_id_is_looked_up(tmp_path: Path) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/pulp/api/v3/tasks/":
            assert request.url.params["pulp_id__startswith"] == "e0e0a250ed"
            return httpx.Response(200, json=found(ID))
        return httpx.Response(202, json={})

    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", "E0E0A250-ed") == 0
    assert asked == ["/pulp/api/v3/tasks/", f"/pulp/api/v2/tasks/{ID}/"]


def test_a_task_that_is_purged_meanwhile_is_one_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both requests find it: the one for tasks that are not purged, and the one for those that are."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/pulp/api/v3/tasks/":
            return httpx.Response(200, json=found(ID))
        assert request.url.path == f"/pulp/api/v3/tasks/{ID}/history/"
        return httpx.Response(200, json={"results": [], "next": None})

    assert admin(tmp_path, answer, "tasks", "history", "--task-id", "e0e0") == 0
    assert capsys.readouterr().err == ""


def test_a_beginning_of_several_ids_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = lambda request: httpx.Response(200, json=found(ID, OTHER))
    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", "e0e0") == 65
    error = capsys.readouterr().err
    assert error.startswith("The ids of several tasks begin with 'e0e0'; give more digits:\n\n")
    assert f"  {ID}  Successful  sync\n  {OTHER}  Successful  sync\n" in error


def test_a_beginning_of_no_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        admin(tmp_path, lambda request: httpx.Response(200, json=found()), "tasks", "watch", "--task-id", "beef") == 65
    )
    assert capsys.readouterr().err == "The id of no task begins with 'beef'.\n"


def test_a_path_is_made_of_quoted_segments() -> None:
    assert api_path("v3", "tasks", ID) == f"/pulp/api/v3/tasks/{ID}/"
    assert api_path("v3", "a/b?c#d%2e é") == "/pulp/api/v3/a%2Fb%3Fc%23d%252e%20%C3%A9/"
    for segment in ("", ".", ".."):
        with pytest.raises(Failure):
            api_path("v3", segment)


@given(st.text())
@example("../content/orphans")
@example("%2e%2e/%2F")
@example("a;b=c?d#e")
@example(" /\\\r\n")
def test_no_text_leads_to_another_path(text: str) -> None:
    if text in ("", ".", ".."):
        return
    with httpx.Client(base_url="http://pulp.test", verify=False) as client:
        url = client.build_request("GET", api_path("v3", "tasks", text)).url
    *before, segment, after = url.raw_path.decode().split("/")
    assert (before, unquote(segment), after) == (["", "pulp", "api", "v3", "tasks"], text, "")
    assert (url.host, url.query, url.fragment) == ("pulp.test", b"", "")
