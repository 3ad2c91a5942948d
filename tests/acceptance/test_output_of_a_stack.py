"""The commands of a local stack print what docs/reference/output.md says, and nothing else on standard output."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support import documented
from tests.support.command import environment, pulp_tasks


class Stack(NamedTuple):
    """A stack in the background."""

    data: Path
    env: dict[str, str]
    said: dict[str, Any]

    def checked(self, command: str, *arguments: str) -> Any:
        """The JSON that a command prints, checked against the page."""
        done = pulp_tasks(command, *arguments, "--output", "json", "--data", str(self.data), env=self.env)
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        documented.check(command, value)
        return value


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that PostgreSQL runs as must pass
        env = environment(folder, HOME=str(folder))
        data = folder / "data"
        done = pulp_tasks(*("--output", "json", "up", "--detach", "--free-ports", "--data", str(data)), env=env)
        assert done.returncode == 0, done.stderr
        started = Stack(data, env, json.loads(done.stdout))
        yield started
        if pulp_tasks("status", "--data", str(data), env=env).returncode != os.EX_UNAVAILABLE:
            pulp_tasks("down", "--data", str(data), env=env)


def test_up(stack: Stack) -> None:
    documented.check("up", stack.said)
    assert (stack.said["data"], stack.said["client_file"]) == (str(stack.data), stack.env["PULP_ADMIN_CONFIG"])
    assert stack.said["stop"] == f"pulp-tasks down --data {stack.data}"


def test_status_says_where_everything_is(stack: Stack) -> None:
    report = stack.checked("status")
    assert {key: report[key] for key in ("url", "kafka", "postgres", "data")} == {
        key: stack.said[key] for key in ("url", "kafka", "postgres", "data")
    }
    assert {each["state"] for each in report["processes"]} == {"running"}
    assert report["processes"][0]["name"] == "supervisor"
    printed = pulp_tasks("status", "--output", "yaml", "--data", str(stack.data), env=stack.env).stdout
    assert yaml.safe_load(printed).keys() == report.keys()


def test_logs_are_lines_of_json(stack: Stack) -> None:
    done = pulp_tasks("logs", "--output", "json", "-n", "3", "--data", str(stack.data), env=stack.env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        documented.check("logs", line)
    assert {"api", "kafka-1", "postgres", "processor", "worker"} <= {line["process"] for line in lines}


def test_names_of_processes_are_completed(stack: Stack) -> None:
    words = f"pulp-tasks logs --data {stack.data} po"
    asked = {"_PULP_TASKS_COMPLETE": "bash_complete", "COMP_WORDS": words}
    command = [sys.executable, "-m", "pulp_deploy"]
    done = subprocess.run(command, env={**stack.env, **asked}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("plain,postgres\n", "")


def test_restart(stack: Stack) -> None:
    before = {each["name"]: each["pid"] for each in stack.checked("status")["processes"]}
    (restarted,) = stack.checked("restart", "worker")
    assert restarted["name"] == "worker"
    assert restarted["pid"] != before["worker"]


def test_down(stack: Stack) -> None:
    assert stack.checked("down") == {"data": str(stack.data), "stopped": True, "ended": []}
    done = pulp_tasks("status", "--output", "json", "--data", str(stack.data), env=stack.env)
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
