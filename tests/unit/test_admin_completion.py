"""Completion in the shell comes from the server, and offers nothing without one."""

from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.shell_completion import ShellComplete
from pulp_admin.app import App
from pulp_admin.main import cli

from tests.support.admin import Answer, client_of

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"


def offered(folder: Path, answer: Answer, *words: str) -> list[str]:
    """The completions of the last word."""
    app = App({}, make_client=lambda _: client_of(folder, answer))
    complete = ShellComplete(cli, {"obj": app}, "pulp-admin", "_PULP_ADMIN_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def server(request: httpx.Request) -> httpx.Response:
    results: dict[str, list[dict[str, Any]]] = {
        "tasks": [{"pulp_href": f"/pulp/api/v3/tasks/{ID}/", "name": "sync", "state": "running"}],
        "operations": [{"name": "sync", "description": "Fetch"}, {"name": "publish", "description": "Write"}],
        "workers": [{"name": "w1", "queues": ["default", "slow"]}, {"name": "w2", "queues": ["slow"]}],
    }
    return httpx.Response(200, json={"results": results[request.url.path.split("/")[-2]], "next": None})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tasks", "details", "--task-id", ""], [ID]),
        (["tasks", "watch", "--task-id", "e0"], [ID]),
        (["tasks", "list", "--operation", "s"], ["sync"]),
        (["tasks", "list", "--queue", ""], ["default", "slow"]),
        (["tasks", "list", "--worker", "w"], ["w1", "w2"]),
        (["tasks", "list", "--state", "r"], ["Running"]),
        (["tasks", "list", "--state", "Running,S"], ["Running,Successful", "Running,Skipped"]),
        (["tasks", "list", "--output", ""], ["table", "json", "yaml", "wide"]),
        (["--output", "json", "tasks", "canc"], ["cancel"]),
    ],
)
def test_what_is_offered(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    assert offered(tmp_path, server, *words) == expected


def test_a_begun_id_is_looked_up(tmp_path: Path) -> None:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return server(request)

    offered(tmp_path, answer, "tasks", "cancel", "--task-id", "e0e0")
    offered(tmp_path, answer, "tasks", "details", "--task-id", "e0e0")
    assert [params["pulp_id__startswith"] for params in asked] == ["e0e0", "e0e0"]
    assert [params.get("state__in") for params in asked] == ["waiting,running,canceling", None]


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_does_not_answer_well_offers_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    answer: Answer = lambda request: httpx.Response(status, json={})
    assert offered(tmp_path, answer, "tasks", "details", "--task-id", "") == []
    assert capsys.readouterr() == ("", "")


def test_no_server_and_no_usable_configuration_offer_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("http://127.0.0.1:1", "nonsense"):
        monkeypatch.setenv("PULP_URL", url)
        monkeypatch.setenv("PULP_ADMIN_CONFIG", str(tmp_path / "admin.toml"))
        complete = ShellComplete(cli, {}, "pulp-admin", "_PULP_ADMIN_COMPLETE")
        assert complete.get_completions(["tasks", "details", "--task-id"], "") == []
    assert capsys.readouterr() == ("", "")


def commands(group: click.Group, *path: str) -> list[tuple[str, click.Command]]:
    """Every command below the group, by its full name."""
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
        else:
            found.append((" ".join((*path, name)), command))
    return found


def test_every_id_of_a_task_is_completed() -> None:
    found = {
        name: command for name, command in commands(cli) if any("--task-id" in each.opts for each in command.params)
    }
    assert {"tasks details", "tasks cancel", "tasks watch", "tasks history", "tasks rerun"} <= found.keys()
    for name, command in found.items():
        [parameter] = [each for each in command.params if "--task-id" in each.opts]
        assert parameter.type.name == "id", name
