"""A repository's whole life by `pulp-admin repo`, a process for each command, against a whole stack."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_deploy.stack import Stack, StackOptions

from tests.support.command import environment
from tests.support.yum import small_repository


class User:
    """Somebody with a home folder and a stack."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.stack, self.home = stack, home

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What `pulp-admin` prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name("pulp-admin"), *arguments],
            env=environment(self.home, **self.stack.client_environment()),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def shown(self, repo_id: str) -> dict[str, Any]:
        """What `repo show` prints."""
        found: dict[str, Any] = json.loads(self("repo", "show", "--repo-id", repo_id, "--output", "json"))
        return found

    def work(self, *arguments: str) -> dict[str, Any]:
        """Run a command that starts a task, and return the task's result."""
        last = self(*arguments, "--watch", "--output", "json").splitlines()[-1]
        return dict(json.loads(last)["result"])


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    settings = {"PULP_FETCH_ALLOW": "loopback", "PULP_YUM_RESERVE_BYTES": "0"}
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        yield User(stack, tmp_path_factory.mktemp("home"))


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[str]:
    """The URL of a repository of three packages."""
    small_repository(tmp_path, {f"{name}.rpm": name for name in ("ant", "bee", "cat")})
    with DemoServer(tmp_path) as server:
        yield server.url


def test_from_its_making_to_its_removal(user: User, feed: str) -> None:
    words = ("--feed", feed, "--display-name", "The Zoo", "--note", "team=keepers")
    assert user("repo", "create", "--repo-id", "zoo", *words) == "Repository [zoo] successfully created\n"
    assert "needs a successful sync of repository 'zoo'" in user("repo", "publish", "run", "--repo-id", "zoo", code=65)
    assert user.work("repo", "sync", "run", "--repo-id", "zoo")["packages"] == 3
    assert user.work("repo", "publish", "run", "--repo-id", "zoo")["packages"] == 3
    shown = user.shown("zoo")
    assert (shown["content"]["packages"], shown["version"], shown["feed"]) == (3, 1, feed)
    assert (shown["last_sync"]["state"], shown["last_publish"]["state"]) == ("completed", "completed")
    assert user("repo", "list").splitlines()[1].split()[:2] == ["zoo", "3"]
    changed = user("repo", "update", "--repo-id", "zoo", "--additive", "--description", "Animals")
    assert changed == "Repository [zoo] successfully updated\n"
    assert user.shown("zoo")["sync_options"] == {"feed": feed, "mode": "additive"}
    assert user.work("repo", "sync", "run", "--repo-id", "zoo")["packages"] == 3
    assert user.work("repo", "repair", "--repo-id", "zoo") is not None
    assert user.work("repo", "remove", "--repo-id", "zoo")["versions"] >= 1
    assert user("repo", "list", "--output", "json") == "[]\n"
    assert "There is no repository 'zoo'." in user("repo", "show", "--repo-id", "zoo", code=65)
    assert "repository:zoo had one" in user("repo", "sync", "run", "--repo-id", "zoo", code=65)
    assert user.work("orphan", "remove", "--all")["removed"] == 3


def test_a_first_sync_makes_one_and_pulp_2s_commands_follow_it(user: User, feed: str) -> None:
    assert user.work("repo", "sync", "run", "--repo-id", "farm", "--feed", feed)["packages"] == 3
    assert (user.shown("farm")["feed"], user.shown("farm")["feed_source"]) == (feed, "sync")
    assert "Synchronizing Repository [farm]" in user("rpm", "repo", "sync", "run", "--repo-id", "farm")
    assert "Publishing Repository [farm]" in user("rpm", "repo", "publish", "run", "--repo-id", "farm")
    assert "  Packages: 3\n" in user("rpm", "repo", "list")
    idle = user("rpm", "repo", "sync", "status", "--repo-id", "farm")
    assert idle.endswith("The repository is not performing any operations\n")
    assert user("rpm", "repo", "delete", "--repo-id", "farm").startswith("Request accepted\n")


def test_one_that_was_never_synced_is_removed_as_well(user: User) -> None:
    user("repo", "create", "--repo-id", "barn")
    assert user.work("repo", "remove", "--repo-id", "barn")["versions"] == 0
