"""`pulp-tasks database`: the tables of an installation, and the rights of its roles."""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table

from pulp_deploy import process_settings
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import answering
from pulp_deploy.commands.target import Folder, Target, data_option, processor_settings
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from pulp_deploy.roles import Plan

T = TypeVar("T")
_PREFIX: Final = "pulp"


@click.group(cls=Group, epilog=examples("pulp-tasks database migrate", "pulp-tasks database roles --dry-run"))
def database() -> None:
    """Prepare the database: its tables and roles."""


@database.command(
    "migrate",
    cls=SettingsCommand,
    settings=process_settings.waiting,
    epilog=examples("pulp-tasks database migrate"),
)
@data_option
@output_option
def migrate(data: Path | None, output: str) -> None:
    """Create the tables, or bring them up to date.

    Run it as the owner of the tables, with PULP_POSTGRES. Processes whose roles may not migrate wait until it is done;
    those that log in as the owner migrate by themselves. It waits up to PULP_STARTUP_TIMEOUT_S for Kafka, its topics
    and Postgres.
    """
    from pulp_runtime.startup import prepare

    with answering():
        installed = asyncio.run(prepare(processor_settings(data)))
    report = {"applied": list(installed.migrations), "generation": installed.generation}
    lines = [f"applied {name}" for name in installed.migrations] or ["the tables are up to date"]
    show(output, report, lambda: lines)


@database.command(
    "roles",
    cls=SettingsCommand,
    settings=process_settings.waiting,
    epilog=examples(
        "pulp-tasks database roles --password-folder /etc/pulp/passwords",
        "pulp-tasks database roles --dry-run --no-passwords",
    ),
)
@click.option("--prefix", default=_PREFIX, show_default=True, help="What the names of the roles begin with.")
@click.option(
    "--password-folder",
    type=Folder(),
    help="Folder of passwords, one file per process; missing ones are created.",
)
@click.option(
    "--no-passwords", is_flag=True, help="Set no passwords: the roles log in with a certificate, or in another way."
)
@click.option("--dry-run", is_flag=True, help="Print the SQL, with passwords hidden, and change nothing.")
@data_option
@output_option
def roles(
    prefix: str, password_folder: Path | None, no_passwords: bool, dry_run: bool, data: Path | None, output: str
) -> None:
    """Create a database role for each kind of process.

    Each has the rights that its process needs, and no others.

    The kinds are processor, api, worker and reader (which only reads the views). PULP_POSTGRES names a superuser, or
    the owner of the tables if it may create roles. If there are no tables yet, a superuser creates PREFIX_owner, which
    will own them; run pulp-tasks database migrate as that role.

    You can run it again at any time: an existing role keeps its password, unless --password-folder has another one. It
    waits up to PULP_STARTUP_TIMEOUT_S for Postgres.
    """
    from pulp_deploy.roles import carry_out, plan, script

    if password_folder is not None and no_passwords:
        raise click.UsageError("--password-folder and --no-passwords exclude each other.")

    async def work(connection: "AsyncConnection[Any]") -> "tuple[Plan, list[str] | None, list[str]]":
        found = await plan(connection, prefix)
        new = _without_password(found)
        if dry_run:
            wanted = [] if no_passwords else new if password_folder is None else _all_roles(found)
            return found, script(found, dict.fromkeys(wanted)), wanted
        passwords = {} if no_passwords else _passwords(found, new, password_folder)
        await carry_out(connection, found, passwords)
        return found, None, list(passwords)

    found, sql, with_password = _run(data, work)
    report = _report(found, sql, with_password)
    if sql is not None:
        show(output, report, lambda: sql)
        return
    rows = [[each["process"], each["role"], _was(each["created"]), each["password"]] for each in report["roles"]]
    show(output, report, lambda: table(rows, ("PROCESS", "ROLE", "", "PASSWORD")))
    hint("Each process logs in with its role by its own PULP_POSTGRES; see docs/operate/database.md.")


def _report(plan: "Plan", sql: list[str] | None, with_password: list[str]) -> dict[str, Any]:
    made = [("owner", plan.owner, not plan.makes_owner), *((each.process.value, *each[1:]) for each in plan.roles)]
    return {
        "database": plan.database,
        "roles": [
            {
                "process": process,
                "role": role,
                "created": not exists,
                "password": "set" if role in with_password else "kept" if exists else "none",
            }
            for process, role, exists in made
        ],
        "sql": sql,
    }


def _was(created: bool) -> str:
    return "created" if created else "updated"


def _all_roles(plan: "Plan") -> list[str]:
    owner = [plan.owner] if plan.makes_owner else []
    return [*owner, *(each.name for each in plan.roles)]


def _without_password(plan: "Plan") -> list[str]:
    owner = [plan.owner] if plan.makes_owner else []
    return [*owner, *(each.name for each in plan.roles if not each.exists)]


def _passwords(plan: "Plan", new: list[str], folder: Path | None) -> dict[str, str]:
    """Return the passwords by role. Without a folder, ask on the terminal for those of new roles."""
    if folder is not None:
        kinds = {plan.owner: "owner"} if plan.makes_owner else {}
        kinds |= {each.name: each.process.value for each in plan.roles}
        return {role: _from_file(folder / kind) for role, kind in kinds.items()}
    if new and not sys.stdin.isatty():
        raise click.UsageError(
            f"{', '.join(new)} would be without a password, and there is no terminal to ask on: give --password-folder,"
            " or --no-passwords"
        )
    return {
        role: str(click.prompt(f"Password of {role}", hide_input=True, confirmation_prompt=True, err=True))
        for role in new
    }


def _from_file(path: Path) -> str:
    from pulp_deploy.files import make_folder, write_private

    if not path.exists():
        make_folder(path.parent, 0o700)
        write_private(path, secrets.token_urlsafe(24) + "\n")
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: the password is not UTF-8: {error.reason}") from None
    if not password:
        raise click.UsageError(f"{path} is empty: its text is the password.")
    return password


def _run(data: Path | None, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    from pulp_events.declared_settings import read_field
    from pulp_projections.connection import connect
    from pulp_runtime.installation import Installation
    from pulp_runtime.startup import wait_for_postgres

    postgres = Target.find(data).need_postgres()

    async def run() -> T:
        await wait_for_postgres(postgres, read_field(Installation, "startup_timeout_s", os.environ))
        async with await connect(postgres, "pulp-tasks database", connect_timeout_s=10) as connection:
            return await work(connection)

    with answering():
        return asyncio.run(run())
