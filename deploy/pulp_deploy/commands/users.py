"""`pulp-tasks users`: who may use the API."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Choice, Group, examples
from pulp_console.output import show, table
from pulp_console.times import time_text

from pulp_deploy.commands.completing import user_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import answering
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from psycopg import AsyncConnection

T = TypeVar("T")
ROLES: Final = ("viewer", "operator", "submitter", "admin")
"""Of `pulp_projections.users.Role`, which is slow to load."""
_password_file = click.option(
    "--password-file",
    type=click.File("r"),
    help="Read the password from this file (- for standard input). Without it you are asked.",
)


@click.group(cls=Group, epilog=examples("pulp-tasks users list"))
def users() -> None:
    """Add, list and remove the users of the API."""


@users.command("add", epilog=examples("pulp-tasks users add jo --role operator --password-file ./password"))
@click.argument("name")
@click.option("--role", type=Choice(ROLES), required=True, help="What the user may do.")
@_password_file
@data_option
@output_option
def add(name: str, role: str, password_file: click.utils.LazyFile | None, data: Path | None, output: str) -> None:
    """Add the user NAME.

    Viewers read. Operators also cancel. Submitters submit, and cancel their own tasks. Admins do everything.
    """
    from pulp_projections import users as store

    password = _password(password_file)
    _run(data, lambda connection: store.add_user(connection, name, password, store.Role(role)))
    show(output, {"name": name, "role": role}, lambda: [f"added {name} ({role})"])


@users.command("password", epilog=examples("pulp-tasks users password jo"))
@click.argument("name", shell_complete=user_names)
@_password_file
@data_option
@output_option
def set_password(name: str, password_file: click.utils.LazyFile | None, data: Path | None, output: str) -> None:
    """Change the password of the user NAME."""
    from pulp_projections import users as store

    password = _password(password_file)
    _run(data, lambda connection: store.set_password(connection, name, password))
    show(output, {"name": name}, lambda: [f"changed the password of {name}"])


@users.command("remove", epilog=examples("pulp-tasks users remove jo"))
@click.argument("name", shell_complete=user_names)
@yes_option
@data_option
@output_option
def remove(name: str, is_sure: bool, data: Path | None, output: str) -> None:
    """Remove the user NAME, after a question."""
    from pulp_projections import users as store

    confirm(f"Remove the user {name}? The password cannot be brought back.", is_sure=is_sure)
    _run(data, lambda connection: store.remove_user(connection, name))
    show(output, {"name": name}, lambda: [f"removed {name}"])


@users.command("list", epilog=examples("pulp-tasks users list --output json | jq -r '.[].name'"))
@data_option
@output_option
def list_users(data: Path | None, output: str) -> None:
    """List the users."""
    from pulp_projections import users as store

    found = _run(data, store.list_users)
    report = [{"name": each.name, "role": each.role.value, "created_at": time_text(each.created_at)} for each in found]
    show(output, report, lambda: table([list(each.values()) for each in report], ("NAME", "ROLE", "CREATED")))


def _password(file: click.utils.LazyFile | None) -> str:
    if file is None:
        password = _asked_password()
    else:
        try:
            password = file.read().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise click.UsageError(f"{file.name}: the password is not UTF-8: {error.reason}") from None
    if not password:
        raise click.UsageError("The password is empty.")
    return password


def _asked_password() -> str:
    try:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("There is no terminal to ask for the password on: give --password-file.") from None


def _run(data: Path | None, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    from pulp_projections.connection import connect

    postgres = Target.find(data).need_postgres()

    async def run() -> T:
        async with await connect(postgres, "pulp-tasks users", connect_timeout_s=10) as connection:
            return await work(connection)

    with answering():
        return asyncio.run(run())
