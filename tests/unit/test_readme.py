"""What the documents show works: their commands exist with their options, and the README's programs run."""

import re
import shlex
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from pulp_admin.main import cli as pulp_admin
from pulp_console.times import parse_time
from pulp_deploy.main import pulp_tasks
from pulp_events import Received
from pulp_events.task import Position
from pulp_worker.testing import run_operation

from tests.support.events import accepted

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"(?:^ +|`)((?:pulp-admin|pulp-tasks|\./dev) [^#`\n]+)", re.MULTILINE)
JOBS = [ROOT / f"docs/operate/{name}.md" for name in ("back-up", "monitor", "size", "troubleshoot", "upgrade")]
DOCUMENTS = [README, *(path.read_text(encoding="utf-8") for path in [ROOT / "docs/tutorial.md", *JOBS])]
COMMANDS = sorted({line.strip() for text in DOCUMENTS for line in _COMMAND.findall(text)})
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "./dev":
        assert re.search(rf"\n    {arguments[0]}\)\s", (ROOT / "dev").read_text(encoding="utf-8"))
        if arguments[0] not in pulp_tasks.list_commands(click.Context(pulp_tasks)):
            return
    command: click.Command = pulp_admin if program == "pulp-admin" else pulp_tasks
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, parent=context)
    # Raises for an option that is not there. What is missing is no fault: the README also mentions commands.
    _, left, _ = command.make_parser(context).parse_args(arguments)
    assert left == [], line


def test_there_are_commands_and_programs() -> None:
    assert len(COMMANDS) > 15
    assert len(PROGRAMS) == 2


def test_a_task_that_was_just_started_was_there_at_the_time_that_is_shown() -> None:
    [text] = re.findall(r"--as-of (\S+)", README)
    now = datetime.now(UTC)
    assert timedelta(0) < now - parse_time(text, now) <= timedelta(seconds=10)


async def test_the_operation(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(PROGRAMS[0], "README.md", "exec"), names)
    outcome = await run_operation(names["mirror"], {"repo_id": "zoo"}, storage=tmp_path)
    assert (outcome.state, outcome.result) == ("successful", {"items": 10})
    assert outcome.progress[-1] == {"mirror": {"items_total": 10, "items_left": 0}}
    refused = await run_operation(names["mirror"], {"repo_id": "zoo", "item": 3}, storage=tmp_path)
    assert (refused.state, refused.error_code) == ("failed", "bad-arguments")


def test_the_subscriber(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def subscribe() -> Any:
        return nullcontext([received])

    received = Received(position=Position(1, 2), timestamp_ms=0, event=accepted(), error=None, raw=None)

    monkeypatch.setattr("pulp_events.subscribe", subscribe)
    exec(compile(PROGRAMS[1], "README.md", "exec"), {})
    assert capsys.readouterr().out == f"{received.position} {received.event}\n"
