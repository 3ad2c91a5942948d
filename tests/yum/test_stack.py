"""A few shapes through a whole stack: pulp-admin, API, Kafka, Postgres, worker; the task says what a user needs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.stack import Stack, StackOptions

from tests.support.command import environment
from tests.support.repositories.serving import RepositoryServer
from tests.yum.shapes import SHAPES

_SETTINGS = {"PULP_FETCH_ALLOW": "loopback", "PULP_YUM_RESERVE_BYTES": "0"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(StackOptions.throwaway(settings=_SETTINGS)) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def synced(stack: Stack, home: Path, name: str) -> dict[str, Any]:
    """The task of a sync of this shape, ended."""
    shape = SHAPES[name]
    with RepositoryServer(manner=shape.manner) as server:
        server.tree = shape.make(server.url).tree()
        words = ("repo", "sync", "run", "--repo-id", name, "--feed", f"{server.url}{shape.feed}")
        done = subprocess.run(
            [Path(sys.executable).with_name("pulp-admin"), *words, "--watch", "--output", "json"],
            env=environment(home, **stack.client_environment()),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", ["filelists-and-other-empty", "only-primary", "modules", "changed-meanwhile"])
def test_it_is_synced(stack: Stack, home: Path, name: str) -> None:
    task = synced(stack, home, name)
    assert task["state"] == "finished"
    assert task["result"]["packages"] == len(SHAPES[name].expect.packages or SHAPES["plain"].expect.packages or ())


@pytest.mark.parametrize("name", ["fewer-packages-than-told", "bomb-primary-zst", "entity-file-primary"])
def test_it_is_refused_and_the_worker_goes_on(stack: Stack, home: Path, name: str) -> None:
    task = synced(stack, home, name)
    assert (task["state"], task["error"]["code"]) == ("error", SHAPES[name].expect.code)
    for words in SHAPES[name].expect.words:
        assert words in task["error"]["description"]
    assert synced(stack, home, "plain")["state"] == "finished"
