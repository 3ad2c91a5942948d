"""The collection pulp.squeezer, run by ansible-core as a playbook would, against a whole stack.

The collection is in Ansible Galaxy and in no other registry; the package `ansible`, which bundles collections, does not
hold it. On a machine that cannot reach Galaxy: `./dev test tests/clients --collections FOLDER`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.pulp3.conftest import Server, Tasks
from tests.support.client_environment import python_with
from tests.support.command import environment

pytestmark = pytest.mark.timeout(900)
ANSIBLE = "ansible-core==2.19.14"
NAME = "pulp.squeezer"
SHOWN = Path("ansible_collections", *NAME.split("."))


class Squeezer:
    """The modules of the collection."""

    def __init__(self, program: Path, collections: Path, server: Server, home: Path) -> None:
        self.program, self.collections, self.server, self.home = program, collections, server, home

    def run(self, module: str, *options: str, **arguments: object) -> tuple[str, dict[str, Any]]:
        """SUCCESS, CHANGED or FAILED!, and the module's result."""
        login = {"pulp_url": self.server.url, "username": self.server.name, "password": self.server.password}
        command = [
            *(str(self.program), "localhost", "--connection", "local", "--one-line", *options),
            *("--module-name", f"{NAME}.{module}"),
            *("--args", json.dumps({**login, "refresh_api_cache": True, **arguments})),
        ]
        done = subprocess.run(
            command,
            env=environment(
                self.home,
                **{name: str(self.home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ANSIBLE_HOME")},
                ANSIBLE_COLLECTIONS_PATH=str(self.collections),
                ANSIBLE_PYTHON_INTERPRETER=str(self.program.with_name("python")),
                ANSIBLE_DEVEL_WARNING="false",
                NO_PROXY="*",
            ),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        said, found, shown = done.stdout.partition(" => ")
        assert found, (done.stdout, done.stderr)
        return said.rsplit(" ", 1)[-1], json.loads(shown)

    def __call__(self, module: str, *options: str, is_changed: bool = False, **arguments: object) -> dict[str, Any]:
        """The result of a module that succeeds."""
        state, shown = self.run(module, *options, **arguments)
        assert state == ("CHANGED" if is_changed else "SUCCESS"), shown
        return shown

    def refusal(self, module: str, **arguments: object) -> str:
        """Why a module fails; never for a bug in it or for an answer that it cannot read."""
        state, shown = self.run(module, **arguments)
        assert (state, "Traceback" in shown.get("exception", "")) == ("FAILED!", False), shown
        return str(shown["msg"])


@pytest.fixture(scope="module")
def squeezer(server: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Squeezer:
    given = request.config.getoption("--collections")
    collections = Path(given) if given else _installed(tmp_path_factory.mktemp("collections"))
    requirement = (collections / SHOWN / "requirements.txt").read_text().split()[0]
    python = python_with("squeezer", ANSIBLE, requirement)
    return Squeezer(python.with_name("ansible"), collections, server, tmp_path_factory.mktemp("home"))


def _installed(folder: Path) -> Path:
    """The folder with the newest release of the collection; skips the test where Galaxy cannot be reached."""
    program = python_with("ansible-core", ANSIBLE).with_name("ansible-galaxy")
    done = subprocess.run(
        [program, "collection", "install", NAME, "--collections-path", folder],
        env=environment(folder, HOME=str(folder), ANSIBLE_HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        why = (
            f"{NAME} was NOT run: it is in Ansible Galaxy alone, which this machine does not reach: {_end(done.stderr)}"
        )
        pytest.skip(why)
    return folder


def _end(said: str) -> str:
    return " ".join(said.split())[-300:]


def test_status(squeezer: Squeezer) -> None:
    assert squeezer("status")["status"]["database_connection"] == {"connected": True}


def test_tasks_are_listed_and_shown(squeezer: Squeezer, tasks: Tasks) -> None:
    assert tasks.failed in [each["pulp_href"] for each in squeezer("task")["tasks"]]
    assert squeezer("task", pulp_href=tasks.completed)["task"]["state"] == "completed"
    assert squeezer("task", pulp_href=f"/pulp/api/v3/tasks/{uuid4()}/")["task"] is None


def test_a_task_is_cancelled_and_stays_so(squeezer: Squeezer, server: Server) -> None:
    href = server.submit("patient")
    server.until(href, "running")
    assert squeezer("task", "--check", is_changed=True, pulp_href=href, state="canceled")["task"]["state"] == "canceled"
    assert server.read(href)["state"] == "running"
    assert squeezer("task", is_changed=True, pulp_href=href, state="canceled")["task"]["state"] == "canceled"
    assert squeezer("task", pulp_href=href, state="canceled")["task"]["state"] == "canceled"


def test_a_task_is_waited_for(squeezer: Squeezer, server: Server, tasks: Tasks) -> None:
    href = server.submit("echo", queue="nobody")
    assert "timed out" in squeezer.refusal("task", pulp_href=href, state="completed", timeout=1)
    server.http.patch(href, json={"state": "canceled"})
    assert squeezer("task", pulp_href=tasks.completed, state="completed")["task"]["state"] == "completed"


def test_a_task_is_removed_once(squeezer: Squeezer, server: Server) -> None:
    href = server.submit("echo")
    server.until(href, "completed")
    squeezer("task", is_changed=True, pulp_href=href, state="absent")
    assert server.http.get(href).status_code == 404
    squeezer("task", pulp_href=href, state="absent")


def test_tasks_are_purged(squeezer: Squeezer, server: Server) -> None:
    href = server.submit("echo")
    server.until(href, "completed")
    finished = server.read(href)["finished_at"].removesuffix("Z") + "+00:00"
    done = squeezer("purge_tasks", is_changed=True, finished_before="2020-01-01", states=["completed", "failed"])
    assert (done["summary"]["total"], done["summary"]["errors"]) == (0, 0)
    squeezer("purge_tasks", "--check", is_changed=True)
    before = server.read("/pulp/api/v3/tasks/?state=canceled&limit=1")["count"]
    done = squeezer("purge_tasks", is_changed=True, finished_before=finished, states=["canceled"])
    assert done["summary"]["total"] == before
    assert server.read("/pulp/api/v3/tasks/?state=canceled&limit=1")["count"] == 0


def test_orphans_are_removed(squeezer: Squeezer) -> None:
    assert squeezer("delete_orphans", is_changed=True)["summary"].keys() == {"artifacts", "content"}
    squeezer("delete_orphans", "--check", is_changed=True)
    squeezer("delete_orphans", is_changed=True, protection_time=0)
    assert "orphan_protection_time" in squeezer.refusal("delete_orphans", protection_time=60)


def test_any_call_by_its_name(squeezer: Squeezer, server: Server) -> None:
    found = squeezer("api_call", operation_id="tasks_list", parameters={"limit": 1})
    assert len(found["response"]["results"]) == 1
    user = squeezer("api_call", operation_id="users_list", parameters={"username": server.name})
    assert user["response"]["count"] == 1


def test_repositories(squeezer: Squeezer) -> None:
    made = squeezer("rpm_repository", is_changed=True, name="ansible", state="present", description="of a playbook")
    assert made["repository"]["name"] == "ansible"
    squeezer("rpm_repository", name="ansible", state="present", description="of a playbook")
    squeezer("rpm_repository", is_changed=True, name="ansible", state="present", description="changed")
    assert "ansible" in [each["name"] for each in squeezer("rpm_repository")["repositories"]]
    squeezer("rpm_repository", is_changed=True, name="ansible", state="absent")
    squeezer("rpm_repository", name="ansible", state="absent")


@pytest.mark.parametrize("module", ["artifact", "access_policy"])
def test_what_is_not_served_is_refused_in_words(squeezer: Squeezer, module: str) -> None:
    assert "Not found" in squeezer.refusal(module)
