"""The conventions that all commands share: help, examples, output formats, exit codes, and what they import."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import click.testing
import pytest
from pulp_accounts.users import Role
from pulp_admin import words
from pulp_admin.main import cli as pulp_admin
from pulp_console import asking, edge
from pulp_console import exits as numbers
from pulp_console.output import OUTPUTS
from pulp_deploy import exits
from pulp_deploy.commands.users import ROLES
from pulp_deploy.main import pulp_tasks

from tests.support import documented

ROOT = Path(__file__).parents[2]
NO_DATA = {
    "pulp-tasks demo": "a walk for people",
    "pulp-tasks api": "a service, which logs",
    "pulp-tasks processor": "a service, which logs",
    "pulp-tasks worker": "a service, which logs",
    "pulp-tasks transparency": "a service, which logs",
    "pulp-tasks completion": "a script for a shell",
    "pulp-admin completion": "a script for a shell",
    "pulp-admin top": "a screen for people",
}
"""Commands that print no data, and why."""
HEAVY = (
    "confluent_kafka",
    "aiokafka",
    "faust",
    "psycopg",
    "psutil",
    "httpx",
    "fastapi",
    "msgspec",
    "rich",
    "wcwidth",
    "yaml",
)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and group of both programs, by its full name."""
    for program, root in (("pulp-tasks", pulp_tasks), ("pulp-admin", pulp_admin)):
        yield from _walk(program, root)


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for each in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), each)
            assert found is not None
            yield from _walk(f"{name} {each}", found)


ALL = dict(commands())
PRINTING = [
    name
    for name, command in ALL.items()
    if name not in NO_DATA and not (isinstance(command, click.Group) and not command.invoke_without_command)
]


def test_there_are_commands() -> None:
    assert len(ALL) > 40
    assert not NO_DATA.keys() - ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_help_has_an_example_and_fits_a_terminal_of_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    root = pulp_tasks if name.startswith("pulp-tasks") else pulp_admin
    text = click.testing.CliRunner().invoke(root, [*name.split()[1:], "--help"], prog_name=name.split()[0]).stdout
    assert ALL[name].help
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "Example" in text
    assert name in text.split("Example", 1)[1]
    undocumented = [
        parameter.name
        for parameter in ALL[name].params
        if isinstance(parameter, click.Option) and not (parameter.help or parameter.hidden)
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", [name for name in ALL if " " in name])
def test_the_first_sentence_of_help_is_shown_whole_in_lists(name: str) -> None:
    assert not ALL[name].get_short_help_str(62).endswith("...")


@pytest.mark.parametrize("name", PRINTING)
def test_what_prints_data_takes_an_output_format(name: str) -> None:
    (option,) = [parameter for parameter in ALL[name].params if "--output" in parameter.opts]
    assert isinstance(option.type, click.Choice)
    assert set(OUTPUTS) <= set(option.type.choices)


def test_the_output_of_each_command_of_pulp_tasks_is_documented() -> None:
    printing = {name.removeprefix("pulp-tasks ") for name in PRINTING if name.startswith("pulp-tasks ")}
    assert documented.schemas().keys() == printing


def codes_in(path: Path) -> set[int]:
    """The exit codes that a module imports."""
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [name.name for node in imports if node.module == "pulp_console.exits" for name in node.names]
    return {vars(numbers)[name] for name in names}


def test_the_exit_codes_are_those_of_the_table() -> None:
    table = documented.exit_codes()
    assert {code: tasks for code, (tasks, _) in table.items() if tasks} == dict(exits.MEANINGS)
    of_errors = set().union(*(codes_in(path) for path in (ROOT / "cli" / "pulp_admin").glob("*.py")))
    of_watch = {state.exit_code for state in words.STATES if state.exit_code is not None}
    of_the_edge = {0, asking.DECLINED, *codes_in(Path(edge.__file__))}
    assert {code for code, (_, admin) in table.items() if admin} == of_errors | of_watch | of_the_edge


def test_each_exit_code_of_an_error_has_a_meaning() -> None:
    assert set(exits.codes().values()) <= exits.MEANINGS.keys()
    assert codes_in(Path(edge.__file__)) | {asking.DECLINED} <= exits.MEANINGS.keys()


def test_the_numbers_are_those_of_sysexits() -> None:
    named = {
        "USAGE": os.EX_USAGE,
        "DATA": os.EX_DATAERR,
        "NO_INPUT": os.EX_NOINPUT,
        "UNAVAILABLE": os.EX_UNAVAILABLE,
        "SOFTWARE": os.EX_SOFTWARE,
        "IN_USE": os.EX_CANTCREAT,
        "UNWRITABLE": os.EX_IOERR,
        "TEMPORARY": os.EX_TEMPFAIL,
        "DENIED": os.EX_NOPERM,
        "CONFIG": os.EX_CONFIG,
        "INTERRUPTED": 128 + signal.SIGINT,
        "NO_READER": 128 + signal.SIGPIPE,
    }
    assert {name: value for name, value in vars(numbers).items() if name.isupper()} == named


def test_no_file_has_a_number_of_its_own() -> None:
    names = "|".join(name for name in vars(numbers) if name.isupper())
    own = re.compile(rf"^_?(?:{names})(?:: \w+)? = \d+$|\b_?[Ee]xit\((?:6[4-9]|7\d|130|141)\)", re.MULTILINE)
    folders = ("cli", "deploy", "services", "projections", "events", "operations")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {(path.name, match[0]) for path in paths for match in own.finditer(path.read_text())}
    assert {name for name, _ in found} == {"exits.py"}


def test_the_roles_are_those_of_the_users() -> None:
    assert tuple(role.value for role in Role) == ROLES


@pytest.mark.parametrize(
    "arguments", [["--help"], ["rebuild", "--help"], ["dead-letters", "list", "--help"], ["--version"]]
)
def test_help_loads_no_client_of_kafka_or_postgres(arguments: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["pulp-tasks", *{arguments}]
from pulp_deploy.main import main
try:
    main()
finally:
    print("loaded:", *sorted(sys.modules.keys() & set({HEAVY})), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["statsu"], "Did you mean 'status'"),
        (["dead-letter", "list"], "Did you mean 'dead-letters'?"),
        (["rebuild", "prun"], "Did you mean 'prune'?"),
        (["topics", "list", "--outptu", "json"], "Did you mean --output?"),
        (["topics", "list", "--output", "jsno"], "Did you mean 'json'?"),
        (["users", "add", "jo", "--role", "veiwer"], "Did you mean 'viewer'?"),
    ],
)
def test_what_was_probably_meant_is_said(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pulp_deploy", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert said in done.stderr
