"""`pulp-tasks users`, as an operator uses it, on a real Postgres and with the audit in a real Kafka."""

import asyncio
import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from pulp_accounts import users
from pulp_accounts.users import LastAdmin, Role
from pulp_deploy.main import pulp_tasks as pulp_tasks_group
from pulp_events.audit import AuditRecord
from pulp_events.audit_reader import read_audit
from pulp_events.errors import BadInput
from pulp_events.topics import Topics
from pulp_projections.migrations import migrate

from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks

Command = Callable[..., "CompletedProcess[str]"]
GOOD = "some words in a row"


@pytest.fixture
def env(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "password").write_text(GOOD + "\n")
    prefix = topics.events.removesuffix(".events")
    return environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)


@pytest.fixture
def command(env: dict[str, str]) -> Command:
    return lambda *arguments, **more: pulp_tasks("users", *arguments, env={**env, **more})


def add(command: Command, tmp_path: Path, name: str, role: str = "viewer") -> "CompletedProcess[str]":
    return command("add", "--role", role, "--password-file", str(tmp_path / "password"), "--", name)


def audited(backend: Backend, topics: Topics) -> list[AuditRecord]:
    entries = read_audit(backend.kafka, topics.audit)
    return [entry.record for entry in entries if entry is not None and entry.record is not None]


def listed(command: Command) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(command("list", "--output", "json").stdout)}


def test_who_removes_a_user_of_an_issuer_is_told_to_take_the_right_away_there(
    env: dict[str, str], command: Command
) -> None:
    with psycopg.connect(env["PULP_POSTGRES"], autocommit=True) as connection:
        connection.execute("select vouch_user('jo', 'viewer', 'https://issuer.test')")
    removed = command("remove", "jo", "--yes")
    assert (removed.returncode, removed.stdout) == (0, "removed jo\n")
    assert "https://issuer.test vouches for jo" in removed.stderr
    assert "take the right away there" in removed.stderr


def test_every_change_is_audited_with_who_and_where(
    backend: Backend, topics: Topics, command: Command, tmp_path: Path
) -> None:
    assert add(command, tmp_path, "root", "admin").returncode == 0
    assert add(command, tmp_path, "jo").returncode == 0
    assert command("role", "jo", "operator").stdout == "jo is operator now, and was viewer\n"
    assert command("role", "jo", "operator").stdout == "jo is operator already\n"
    assert command("password", "jo", "--password-file", str(tmp_path / "password")).returncode == 0
    assert command("remove", "jo", "--yes").returncode == 0
    found = audited(backend, topics)
    assert [(each.what, each.target, each.detail) for each in found] == [
        ("user-added", "root", "admin"),
        ("user-added", "jo", "viewer"),
        ("role-changed", "jo", "viewer to operator"),
        ("password-changed", "jo", ""),
        ("user-removed", "jo", ""),
    ]
    who = {(each.actor, each.address, each.is_claimed) for each in found}
    assert who == {(f"os:{getpass.getuser()}", socket.gethostname(), False)}
    assert GOOD not in repr(found)


def test_a_change_is_made_and_said_where_it_cannot_be_audited(command: Command, tmp_path: Path) -> None:
    for name, elsewhere in (("jo", {"PULP_TOPIC_PREFIX": "nowhere"}), ("kim", {"PULP_KAFKA": ""})):
        done = add(partial(command, **elsewhere), tmp_path, name)
        assert done.returncode == 0
        assert "The change is done, but is not in the audit" in done.stderr
    assert len(listed(command)) == 2


@pytest.mark.parametrize("name", ["adm\u0456n", "admin ", "../x", "", "Root"])
def test_a_name_that_looks_like_another_is_refused(command: Command, tmp_path: Path, name: str) -> None:
    assert add(command, tmp_path, "root").returncode == 0
    done = add(command, tmp_path, name)
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, "")
    assert "cannot be used: it" in done.stderr
    assert listed(command).keys() == {"root"}


@pytest.mark.parametrize(("password", "code"), [("x", 65), ("", 64), ("\n", 64), ("jo1234567890", 65), (GOOD, 0)])
def test_a_password_from_standard_input(env: dict[str, str], password: str, code: int) -> None:
    arguments = ["users", "add", "jo", "--role", "viewer", "--password-file", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "pulp_deploy", *arguments],
        env=env,
        input=password,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert not password.strip() or len(password) < 3 or password not in done.stdout + done.stderr


def test_a_password_is_asked_for_twice_and_never_shown(
    env: dict[str, str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_deploy.commands.users.can_ask", lambda: True)
    arguments = ["users", "add", "jo", "--role", "viewer"]
    done = CliRunner(env=env).invoke(pulp_tasks_group, arguments, input=f"{GOOD}\n{GOOD}!\n{GOOD}\n{GOOD}\n")
    assert done.exit_code == 0, done.output
    assert "do not match" in done.output
    assert GOOD not in done.output
    assert listed(command).keys() == {"jo"}


def test_without_a_terminal_nobody_is_asked(command: Command) -> None:
    done = command("add", "jo", "--role", "viewer")
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert done.stderr.splitlines()[-2] == "There is no terminal to ask for the password on: give --password-file."
    assert "Warning" not in done.stderr


def test_a_name_that_cannot_be_used_is_refused_before_the_password(command: Command) -> None:
    done = command("add", "admin ", "--role", "viewer")
    assert (done.returncode, "begins or ends with a blank" in done.stderr) == (os.EX_DATAERR, True)


def test_the_length_is_a_setting(command: Command, tmp_path: Path) -> None:
    done = add(partial(command, PULP_PASSWORD_MIN_LENGTH="30"), tmp_path, "jo")
    assert (done.returncode, "fewer than 30 characters" in done.stderr) == (os.EX_DATAERR, True)


def test_the_last_administrator_is_not_lost_by_accident(command: Command, tmp_path: Path) -> None:
    add(command, tmp_path, "root", "admin")
    for arguments in (["remove", "root", "--yes"], ["role", "root", "viewer"]):
        done = command(*arguments)
        assert (done.returncode, done.stdout) == (os.EX_DATAERR, "")
        assert "root is the last administrator" in done.stderr
        assert "pulp-tasks users role NAME admin" in done.stderr
        assert "--force" in done.stderr
    add(command, tmp_path, "jo", "admin")
    assert command("role", "root", "viewer").returncode == 0
    assert command("remove", "jo", "--yes", "--force").returncode == 0
    assert {name: each["role"] for name, each in listed(command).items()} == {"root": "viewer"}


def test_the_list_says_when_a_user_was_made_and_changed(command: Command, tmp_path: Path) -> None:
    add(command, tmp_path, "jo")
    before = listed(command)["jo"]
    assert before["created_at"] == before["changed_at"]
    assert (before["last_login_at"], before["has_old_hash"], before["remark"]) == (None, False, None)
    head, row = command("list").stdout.splitlines()
    assert head.split() == ["NAME", "ROLE", "CREATED", "CHANGED", "LAST", "LOGIN", "REMARK"]
    assert row.split()[:2] == ["jo", "viewer"]


def test_an_unknown_user(command: Command) -> None:
    for arguments in (["role", "jo", "viewer"], ["remove", "jo", "--yes"]):
        done = command(*arguments)
        assert (done.returncode, done.stderr) == (os.EX_DATAERR, "pulp-tasks: there is no user jo\n")


async def test_two_administrators_who_demote_each_other_at_once_leave_one(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for name in ("root", "jo"):
            await users.add_user(connection, name, GOOD, Role.ADMIN)

        async def demote(name: str) -> bool:
            async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
                try:
                    await users.set_role(own, name, Role.VIEWER)
                except LastAdmin:
                    return False
                return True

        assert sorted(await asyncio.gather(demote("root"), demote("jo"))) == [False, True]
        assert sorted(each.role for each in await users.list_users(connection)) == [Role.ADMIN, Role.VIEWER]


async def test_look_alikes_that_are_added_at_once_are_one(database: str) -> None:
    async def make(name: str) -> bool:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
            try:
                await users.add_user(own, name, GOOD, Role.VIEWER)
            except BadInput:
                return False
            return True

    assert sorted(await asyncio.gather(*map(make, ("jo", "JO", "Jo", "jO")))) == [False, False, False, True]


@pytest.mark.parametrize("has_users", [False, True])
async def test_a_database_of_the_release_before(database: str, has_users: bool) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("drop table first_admin")
        await connection.execute("alter table users drop column changed_at, drop column last_login_at")
        await connection.execute("delete from schema_migrations where name = '0011_user_changes.sql'")
        if has_users:
            await connection.execute(
                "insert into users (name, password_hash, role, created_at) values ('admin ', 'x', 'admin', '2020-01-01Z')"
            )
        assert await migrate(connection) == ["0011_user_changes.sql"]
        assert [user.changed_at == user.created_at for user in await users.list_users(connection)] == [True] * has_users
        assert await users.add_first_admin(connection, "admin", GOOD) is not has_users
        assert not await users.add_first_admin(connection, "other", GOOD)


async def test_the_command_on_a_database_of_the_release_before(database: str, command: Command) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("alter table users drop column last_login_at")
    done = command("list")
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
    assert "the database is of an earlier release" in done.stderr
