"""`pulp-tasks users`: the users of the API."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.asking import can_ask, confirm, yes_option
from pulp_console.groups import Choice, Group, examples
from pulp_console.output import hint, show, table
from pulp_console.times import time_text

from pulp_deploy import process_settings
from pulp_deploy.commands.completing import user_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import answering
from pulp_deploy.commands.target import Target, data_option, stack_folder, stack_option
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from pulp_accounts.passwords import PasswordSettings
    from pulp_accounts.users import User
    from pulp_events.audit import What

T = TypeVar("T")
ROLES: Final = ("viewer", "operator", "submitter", "auditor", "admin")
"""The values of `pulp_accounts.users.Role`, which is slow to load."""
_LONGEST_FILE: Final = 10_000
_password_file = click.option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    help="Read the password from this file (- for standard input). Without it, you are asked twice.",
)
_even_last = click.option("--force", "even_last", is_flag=True, help="Even if nobody is left who can manage users.")


@click.group(cls=Group, epilog=examples("pulp-tasks users list"))
def users() -> None:
    """Add, list, change and remove the users of the API.

    Changes take effect within five seconds, for open event streams too. The audit records each change.
    """


@users.command(
    "add",
    cls=SettingsCommand,
    settings=process_settings.new_passwords,
    epilog=examples("pulp-tasks users add jo --role operator --password-file ./password"),
)
@click.argument("name")
@click.option("--role", type=Choice(ROLES), required=True, help="What the user may do.")
@_password_file
@data_option
@output_option
def add(name: str, role: str, password_file: click.utils.LazyFile | None, data: Path | None, output: str) -> None:
    """Add the user NAME.

    Viewers read. Operators also cancel. Submitters submit, and cancel their own tasks. Auditors read, including the
    audit of all tasks. Admins do everything. A password has at least PULP_PASSWORD_MIN_LENGTH characters; several words
    in a row make a good one.
    """
    from pulp_accounts import users as store
    from pulp_accounts.user_names import check_new_name
    from pulp_events.audit import What

    with answering():
        check_new_name(name, ())  # before the user is asked for a password
    settings, password = _settings(), _password(password_file)
    kept = _run(data, lambda connection: store.add_user(connection, name, password, store.Role(role), settings))
    _audit(data, What.USER_ADDED, kept, role)
    show(output, {"name": kept, "role": role}, lambda: [f"added {kept} ({role})"])


@users.command(
    "password",
    cls=SettingsCommand,
    settings=process_settings.new_passwords,
    epilog=examples("pulp-tasks users password jo"),
)
@click.argument("name", shell_complete=user_names)
@_password_file
@data_option
@output_option
def set_password(name: str, password_file: click.utils.LazyFile | None, data: Path | None, output: str) -> None:
    """Change the password of the user NAME."""
    from pulp_accounts import users as store
    from pulp_events.audit import What

    settings, password = _settings(), _password(password_file)
    _run(data, lambda connection: store.set_password(connection, name, password, settings))
    _audit(data, What.PASSWORD_CHANGED, name)
    show(output, {"name": name}, lambda: [f"changed the password of {name}"])
    _tell_client_file(data, name)


@users.command("role", epilog=examples("pulp-tasks users role jo operator"))
@click.argument("name", shell_complete=user_names)
@click.argument("role", type=Choice(ROLES))
@_even_last
@data_option
@output_option
def set_role(name: str, role: str, even_last: bool, data: Path | None, output: str) -> None:
    """Give the user NAME another role.

    Changing the role of the last administrator needs --force.
    """
    from pulp_accounts import users as store
    from pulp_events.audit import What

    wanted = store.Role(role)
    before = _run(
        data, lambda connection: _advised(store.set_role(connection, name, wanted, even_last_admin=even_last))
    )
    if before is not wanted:
        _audit(data, What.ROLE_CHANGED, name, f"{before} to {role}")
    value = {"name": name, "role": role, "before": before.value}
    show(
        output,
        value,
        lambda: [f"{name} is {role} now, and was {before}" if before is not wanted else f"{name} is {role} already"],
    )


@users.command("remove", epilog=examples("pulp-tasks users remove jo"))
@click.argument("name", shell_complete=user_names)
@yes_option
@_even_last
@data_option
@output_option
def remove(name: str, is_sure: bool, even_last: bool, data: Path | None, output: str) -> None:
    """Remove the user NAME, after asking.

    Removing the last administrator needs --force.
    """
    from pulp_accounts import users as store
    from pulp_events.audit import What

    confirm(f"Remove the user {name}? The password cannot be brought back.", is_sure=is_sure)
    issuer = _run(data, lambda connection: _advised(store.remove_user(connection, name, even_last_admin=even_last)))
    _audit(data, What.USER_REMOVED, name)
    show(output, {"name": name}, lambda: [f"removed {name}"])
    if issuer is not None:
        hint(f"{issuer} vouches for {name}, who comes back with the next JWT: take the right away there")
    _tell_client_file(data, name)


@users.command("list", epilog=examples("pulp-tasks users list --output json | jq -r '.[].name'"))
@data_option
@output_option
def list_users(data: Path | None, output: str) -> None:
    """List the users.

    CHANGED is when the password or role last changed, and LAST LOGIN when the user last signed in, to the hour. A
    remark says what is wrong with a name by today's rules: the user is not affected, but check whom the name resembles.
    Another remark names the issuer that vouches for a user without a password here.
    """
    from pulp_accounts import users as store

    found = [_value(each) for each in _run(data, store.list_users)]
    head = ("NAME", "ROLE", "CREATED", "CHANGED", "LAST LOGIN", "REMARK")
    show(output, found, lambda: table([_row(each) for each in found], head, width=None))


@users.command("reset-admin", epilog=examples("pulp-tasks users reset-admin"))
@yes_option
@stack_option
@output_option
def reset_admin(is_sure: bool, data: Path | None, output: str) -> None:
    """Give the user admin of a local stack a new password.

    The password is random, and the user gets the role admin with it, after asking. The data folder keeps the password,
    and its client configuration is rewritten.
    """
    from pulp_accounts import users as store
    from pulp_events.audit import What

    from pulp_deploy.admin_reset import write_anew
    from pulp_deploy.credentials import ADMIN, random_password

    folder, password = stack_folder(data), random_password()
    target = Target.find(folder.path)
    confirm(f"Give the user {ADMIN} of {folder.path} a new password and the role admin?", is_sure=is_sure)
    _run_on(target, lambda connection: store.reset_admin(connection, ADMIN, password))
    write_anew(folder, password)
    _audit(folder.path, What.PASSWORD_CHANGED, ADMIN, "reset, with the role admin")
    value = {"name": ADMIN, "client_file": str(folder.path / "admin.toml")}
    show(output, value, lambda: [f"{ADMIN} has a new password; {value['client_file']} has it"])


def _value(user: "User") -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role.value,
        "created_at": time_text(user.created_at),
        "changed_at": time_text(user.changed_at),
        "last_login_at": None if user.last_login_at is None else time_text(user.last_login_at),
        "has_old_hash": user.has_old_hash,
        "issuer": user.issuer,
        "remark": user.remark,
    }


def _row(value: dict[str, Any]) -> list[str]:
    remarks = [
        f"the name: {value['remark']}" if value["remark"] else "",
        f"signs in by {value['issuer']}" if value["issuer"] else "",
    ]
    remark = "; ".join(filter(None, remarks)) or "-"
    return [
        value["name"],
        value["role"],
        value["created_at"],
        value["changed_at"],
        value["last_login_at"] or "-",
        remark,
    ]


async def _advised(change: Awaitable[T]) -> T:
    """Await it, and add advice to a `LastAdmin` error."""
    from pulp_accounts.users import LastAdmin

    try:
        return await change
    except LastAdmin as error:
        raise LastAdmin(f"{error}. Make another one first (pulp-tasks users role NAME admin), or add --force") from None


def _audit(data: Path | None, what: "What", name: str, detail: str = "") -> None:
    from pulp_events.errors import SettingsError

    from pulp_deploy.audit_trail import audit_change

    target = Target.find(data)
    fault: str | None
    try:
        fault = audit_change(target.need_kafka(), target.topics, what, target=name, detail=detail)
    except SettingsError as error:
        fault = str(error)
    if fault is not None:
        hint(f"The change is done, but is not in the audit: {fault}")


def _tell_client_file(data: Path | None, name: str) -> None:
    """Remark that the client configuration of the local stack still has the old password."""
    from pulp_deploy.credentials import ADMIN

    folder = stack_folder(data)
    is_local = name == ADMIN and (data is not None or folder.owner() is not None)
    if is_local and (folder.path / "admin.toml").exists() and Target.find(data) == Target.find(folder.path):
        hint(
            f"{folder.path / 'admin.toml'}, with which pulp-admin works as {ADMIN}, does not fit any more: write the"
            " new password into it, or: pulp-tasks users reset-admin"
        )


def _settings() -> "PasswordSettings":
    from pulp_accounts.passwords import PasswordSettings

    return PasswordSettings.read(os.environ)


def _password(file: click.utils.LazyFile | None) -> str:
    if file is None:
        password = _asked_password()
    else:
        try:
            password = str(file.read(_LONGEST_FILE)).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise click.UsageError(f"{file.name}: the password is not UTF-8: {error.reason}") from None
    if not password:
        raise click.UsageError("The password is empty.")
    return password


def _asked_password() -> str:
    if not can_ask():
        raise click.UsageError("There is no terminal to ask for the password on: give --password-file.")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _run(data: Path | None, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    return _run_on(Target.find(data), work)


def _run_on(target: Target, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    from pulp_projections.connection import connect

    postgres = target.need_postgres()

    async def run() -> T:
        async with await connect(postgres, "pulp-tasks users", connect_timeout_s=10) as connection:
            return await work(connection)

    with answering():
        return asyncio.run(run())
