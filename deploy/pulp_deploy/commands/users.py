"""`pulp-tasks users`: who may use the API."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from psycopg import AsyncConnection, OperationalError
from pulp_events.errors import ReadModelUnavailable
from pulp_projections import users as store
from pulp_projections.users import Role

from pulp_deploy.commands.target import Target, data_option

T = TypeVar("T")
_password_file = click.option(
    "--password-file",
    type=click.File("r"),
    help="File that holds the password (- for standard input); without it the password is asked for.",
)


@click.group()
def users() -> None:
    """Add, list and remove the users of the API."""


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@_password_file
@data_option
def add(name: str, role: str, password_file: click.utils.LazyFile | None, data: Path | None) -> None:
    """Add the user NAME. Viewers read; operators cancel as well; submitters submit and cancel their own."""
    password = _password(password_file)
    _run(data, lambda connection: store.add_user(connection, name, password, Role(role)))
    click.echo(f"added {name} ({role})")


@users.command("password")
@click.argument("name")
@_password_file
@data_option
def set_password(name: str, password_file: click.utils.LazyFile | None, data: Path | None) -> None:
    """Give the user NAME another password."""
    password = _password(password_file)
    _run(data, lambda connection: store.set_password(connection, name, password))
    click.echo(f"the password of {name} is changed")


@users.command("remove")
@click.argument("name")
@data_option
def remove(name: str, data: Path | None) -> None:
    """Remove the user NAME."""
    _run(data, lambda connection: store.remove_user(connection, name))
    click.echo(f"removed {name}")


@users.command("list")
@data_option
def list_users(data: Path | None) -> None:
    """List the users."""
    found = _run(data, store.list_users)
    click.echo(f"{'NAME':<24}{'ROLE':<12}CREATED")
    for user in found:
        click.echo(f"{user.name:<24}{user.role.value:<12}{user.created_at:%Y-%m-%d %H:%M:%S %Z}")


def _password(file: click.utils.LazyFile | None) -> str:
    if file is None:
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = file.read().rstrip("\r\n")
    if not password:
        raise click.UsageError("the password is empty")
    return password


def _run(data: Path | None, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    postgres = Target.find(data).need_postgres()

    async def run() -> T:
        try:
            connection = await AsyncConnection.connect(postgres, autocommit=True)
        except OperationalError as error:
            raise ReadModelUnavailable(f"Postgres does not answer: {str(error).strip()}") from error
        async with connection:
            return await work(connection)

    return asyncio.run(run())
