"""The table of rights, its documentation, and what `pulp-tasks topics acls` prints without a broker."""

import json
import shlex
from pathlib import Path

import pytest
from pulp_deploy.acls import DESCRIPTIONS, RIGHTS, Acl, Role, command_of, markdown, wanted
from pulp_events.topics import Topics

from tests.support.command import environment, pulp_tasks

PAGE = Path(__file__).parents[2] / "docs/operate/kafka-acls.md"
WRITERS_OF_EVENTS = {Role.API, Role.PROCESSOR, Role.WORKER, Role.OPERATOR}


def test_the_page_lists_the_very_rights() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert markdown() in page, f"docs/operate/kafka-acls.md must hold:\n{markdown()}"
    for role, description in DESCRIPTIONS.items():
        assert f"| {role} | {description} |" in page


def test_only_those_write_events_who_have_to() -> None:
    writers = {
        role
        for role, rights in RIGHTS.items()
        for right in rights
        if (right.name, right.operation) == ("{events}", "Write")
    }
    assert writers == WRITERS_OF_EVENTS


def test_no_rule_is_for_more_than_one_thing() -> None:
    rules = wanted(Topics.named("p"), {role: ("User:x",) for role in Role})
    assert len(set(rules)) == len(rules)  # no rule twice, even if one principal has all roles
    assert {rule.pattern for rule in rules} == {"literal"}
    assert {rule.resource for rule in rules} == {"topic", "group", "transactional-id"}
    assert not [rule for rule in rules if "*" in rule.name]
    assert not {rule.operation for rule in rules} & {"All", "Delete", "Alter"}


def test_a_command_is_one_for_a_shell() -> None:
    command = command_of(Acl("User:CN=it's me", "topic", "p.events", "Read"))
    words = shlex.split(command.replace("$PULP_KAFKA", "b:1"))
    assert words[:3] == ["kafka-acls.sh", "--bootstrap-server", "b:1"]
    assert words[3:] == ["--add", "--allow-principal", "User:CN=it's me", "--operation", "Read", "--topic", "p.events"]


def test_the_list_needs_no_broker(tmp_path: Path) -> None:
    env = environment(tmp_path, PULP_TOPIC_PREFIX="mine")
    listed = pulp_tasks("topics", "acls", "--worker", "User:w", "--output", "json", env=env)
    assert json.loads(listed.stdout) == [
        {
            "principal": "User:w",
            "resource": "topic",
            "name": "mine.events",
            "operation": operation,
            "pattern": "literal",
        }
        for operation in ("Write", "DescribeConfigs")
    ]
    commands = pulp_tasks("topics", "acls", "--worker", "User:w", "--commands", env=env)
    assert len(commands.stdout.splitlines()) == 2
    assert "User:pulp-operator" in pulp_tasks("topics", "acls", env=env).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--api", "pulp-api"), "'pulp-api' is not a principal such as User:pulp-api"),
        (("--api", "User:*"), "would let everybody in"),
        (("--dry-run",), "--dry-run goes with --apply"),
        (("--apply",), "--apply needs principals"),
        (("--apply", "--commands", "--api", "User:a"), "--commands and --apply exclude each other"),
    ],
)
def test_wrong_words_are_told(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    refused = pulp_tasks("topics", "acls", *arguments, env=environment(tmp_path))
    assert refused.returncode == 64
    assert said in " ".join(refused.stderr.split())
