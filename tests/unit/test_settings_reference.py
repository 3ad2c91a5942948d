"""Every name that begins with PULP_ is declared, and docs/reference/settings.md and the help match the declarations."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
from pulp_admin.settings import SETTINGS as CLIENT
from pulp_deploy import unknown_settings
from pulp_deploy.main import pulp_tasks
from pulp_deploy.process_settings import everything
from pulp_deploy.reference import settings
from pulp_deploy.reference.commands import contexts
from pulp_deploy.settings_text import default_text

ROOT = Path(__file__).parents[2]
PACKAGES = ("events", "projections", "operations", "services", "cli", "deploy")
OTHERS = ("benchmarks", "examples", "tests/support", "tests/faults", "tests/containers")
PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
NAME = re.compile(r"(?<![A-Za-z0-9_])PULP_[A-Z][A-Z0-9_]*")
DECLARED = {setting.name: (section.title, setting) for section in everything() for setting in section.settings}
NAMES = DECLARED.keys() | {setting.variable for setting in CLIENT if setting.variable}
PLACEHOLDERS = {"PULP_QUOTA_ROLE"}
"""Patterns that stand for several names."""


def unknown(text: str) -> set[str]:
    """The names in the text that are neither a setting nor the beginning of one, such as `PULP_FETCH_`."""
    found = set(NAME.findall(text)) - NAMES - PLACEHOLDERS
    return {name for name in found if not (name.endswith("_") and any(each.startswith(name) for each in NAMES))}


def texts(folder: str, *patterns: str) -> Iterator[tuple[str, str]]:
    for path in sorted(each for pattern in patterns for each in (ROOT / folder).rglob(pattern)):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def strings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("folder", [*PACKAGES, *OTHERS])
def test_each_name_in_the_code_is_declared(folder: str) -> None:
    found = {name: path for path, text in texts(folder, "*.py") for each in strings(text) for name in unknown(each)}
    assert found == {}


def test_a_name_that_is_not_declared_is_found() -> None:
    assert unknown("PULP_KAFKA, PULP_FETCH_* and PULP_QUOTA_ROLE") == set()
    assert unknown("PULP_KAFKAA, PULP_FETCHED_") == {"PULP_KAFKAA", "PULP_FETCHED_"}


@pytest.mark.parametrize(
    ("folder", "patterns"),
    [
        ("docs", ("*.md",)),
        ("deploy", ("*.yaml", "*.yml", "Dockerfile", "make-secrets", "*.env")),
        ("cli", ("*.md",)),
        (".", ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ],
)
def test_each_name_in_documents_and_manifests_exists(folder: str, patterns: tuple[str, ...]) -> None:
    if folder == ".":
        found = {name: pattern for pattern in patterns for name in unknown((ROOT / pattern).read_text())}
    else:
        found = {name: path for path, text in texts(folder, *patterns) for name in unknown(text)}
    assert found == {}


def test_the_reference_and_the_list_of_names_are_what_the_code_says() -> None:
    assert settings.text() == PAGE
    assert unknown_settings.NAMES.read_text(encoding="utf-8") == settings.names()


def test_the_reference_has_each_setting_once_with_its_section_default_and_unit() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    rows = {
        cells[0].strip("`"): (section.splitlines()[0], cells)
        for section in sections
        for line in section.splitlines()
        if line.startswith("| `PULP_")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert rows.keys() == DECLARED.keys()
    assert {name: row[0] for name, row in rows.items()} == {name: title for name, (title, _) in DECLARED.items()}
    assert rows["PULP_API_PORT"][1][1:4] == ["24817", "", "1 to 65535"]
    assert rows["PULP_STALL_S"][1][1:4] == ["60", "seconds", "at least 1"]
    assert rows["PULP_PASSWORD_MEMORY_KIB"][1][1:4] == ["19456", "KiB", "19456 to 1048576"]
    assert rows["PULP_FETCH_PORTS"][1][1] == "80,443,1024-65535"
    assert rows["PULP_KAFKA"][1][1] == "none: it has to be set"


def test_the_reference_has_the_settings_of_the_client() -> None:
    client = PAGE.split("## The client")[1]
    for setting in CLIENT:
        for name in filter(None, (setting.key, setting.variable, setting.flag)):
            assert f"| `{name}` |" in client
    assert "| `timeout_s` |  |  | 60 | seconds | above 0, at most 86400 |" in client


@pytest.mark.parametrize(
    ("command", "sections", "others"),
    [
        ("api", {"The API", "Passwords", "The API and the workers", "Every process"}, "PULP_WORKER_LEASE_S"),
        ("processor", {"The processor", "Every process"}, "PULP_API_PORT"),
        (
            "worker",
            {
                *("The worker", "Fetching by operations", "Isolated calls of operations", "The yum operations"),
                *("The API and the workers", "Every process"),
            },
            "PULP_API_PORT",
        ),
    ],
)
def test_the_help_of_a_process_lists_the_settings_that_it_reads(command: str, sections: set[str], others: str) -> None:
    shown = click.testing.CliRunner().invoke(pulp_tasks, [command, "--help"]).output
    words = " ".join(shown.split())
    for name, (title, setting) in DECLARED.items():
        if title in sections:
            assert f" {name} " in words
            assert setting.sentence.replace("`", "") in words
    assert others not in shown


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("up", "PULP_STARTUP_TIMEOUT_S How long a process waits for Kafka and Postgres when it starts."),
        ("up", "PULP_DATA The data folder of a local stack."),
        ("topics create", "PULP_STARTUP_TIMEOUT_S How long a process waits for Kafka and Postgres when it starts."),
        ("database migrate", "Allowed: at least 0. Default: 60 seconds."),
        ("database roles", "Allowed: at least 0. Default: 60 seconds."),
        (
            "users add",
            "PULP_PASSWORD_MIN_LENGTH The minimum length of a new password, in characters. Allowed: 8 to 128. "
            "Default: 12.",
        ),
        ("users password", "Allowed: 8 to 128. Default: 12."),
        ("quotas list", "Default: searches=50/s streams=20."),
        (
            "restart",
            "PULP_WORKER_DRAIN_S How long running tasks may go on after SIGTERM. Allowed: at least 0. Default: 30",
        ),
    ],
)
def test_the_help_of_a_command_lists_the_settings_that_it_reads(command: str, row: str) -> None:
    shown = click.testing.CliRunner().invoke(pulp_tasks, [*command.split(), "--help"]).output
    assert row in " ".join(shown.split())


def test_no_help_text_repeats_the_default_of_a_number() -> None:
    """It is listed below the text, from the declaration."""
    commands = {each.command_path: each.command.help or "" for each in contexts()}
    found = [
        (path, sentence)
        for path, text in commands.items()
        for sentence in re.split(r"(?<=[.:;])\s", text)
        for name in NAME.findall(sentence)
        if name in DECLARED and DECLARED[name][1].is_number
        if default_text(DECLARED[name][1]) in re.findall(r"[\w.]+", sentence)
    ]
    assert len(commands) > 40
    assert found == []


def test_no_code_reads_a_setting_with_a_default_of_its_own() -> None:
    """A default belongs in the declaration and nowhere else."""
    found = [
        (path, ast.unparse(node))
        for folder in PACKAGES
        for path, text in texts(folder, "*.py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "getenv")
        if len(node.args) == 2 and isinstance(node.args[0], ast.Constant) and NAME.fullmatch(str(node.args[0].value))
        if not (isinstance(node.args[1], ast.Constant) and node.args[1].value == "")
    ]
    assert [path for path, _ in found] == [
        "deploy/pulp_deploy/stack.py"
    ] * 2  # there, feeds and endpoints on this machine are allowed
