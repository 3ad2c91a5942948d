"""The documents are right: their commands exist with their options, and the README's programs run."""

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

from tests.support import walk
from tests.support.events import accepted

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"(?:^ *|`)((?:pulp-admin|pulp-tasks|\./dev) (?:(?! 2>)[^#`|<>&\n])+)", re.MULTILINE)
OTHERS = ("tutorial.md", "subscribe.md", "develop/operations.md", "reference/repositories.md")
PAGES = sorted([*(ROOT / "docs/operate").glob("*.md"), *(ROOT / "docs" / name for name in OTHERS)])
DOCUMENTS = [README, *(path.read_text(encoding="utf-8").replace("\\\n", " ") for path in PAGES)]
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
    while isinstance(command, click.Group) and arguments:
        # The options of the group come before the command's name.
        _, arguments, _ = command.make_parser(context).parse_args(arguments)
        if not arguments:
            return
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, parent=context)
    # Raises for an unknown option. A missing option is not a fault: the README also only mentions commands.
    _, left, _ = command.make_parser(context).parse_args(arguments)
    assert left == [], line


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_block_of_commands_is_run_or_says_why_not(page: Path) -> None:
    name = str(page.relative_to(walk.DOCS))
    is_followed = name in (
        *walk.IN_A_CLONE,
        *walk.ON_A_STACK,
        *walk.BESIDE_KAFKA_AND_POSTGRES,
        *walk.WITH_EXAMPLES,
        *walk.NOWHERE,
    )
    unexplained = [block.lines for block in walk.blocks(page) if block.is_run and not is_followed]
    assert unexplained == []
    outside = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^ {4,}(?:pulp-|\./dev|docker|kubectl|psql).*", outside, re.MULTILINE) == []


def test_a_block_is_left_out_only_with_a_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    reason = "*Not run by the tests: it takes a cluster.*"
    page.write_text(
        f"Text.\n\n```sh\na\n```\n\n{reason}\n\n```sh\nb \\\n  c\n```\n\n1. Item:\n\n   ```sh\n   d\n   ```\n"
    )
    assert list(walk.blocks(page)) == [(("a",), True), (("b c",), False), (("d",), True)]


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
