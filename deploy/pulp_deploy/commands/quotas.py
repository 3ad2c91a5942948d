"""`pulp-tasks quotas`: what each user may use of the system."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show, table

from pulp_deploy import process_settings
from pulp_deploy.commands.completing import user_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import answering
from pulp_deploy.commands.target import Target, data_option
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from psycopg import AsyncConnection

T = TypeVar("T")


@click.group(cls=Group, epilog=examples("pulp-tasks quotas list"))
def quotas() -> None:
    """List, set and clear the quotas of users.

    A user has the quota of the role, except for the keys set for that user alone.

    \b
    rate        submissions a second, such as rate=20/s
    burst       submissions at once after a pause
    bytes       bytes of submissions, such as bytes=10M/min
    size        bytes of one submission, such as size=256K
    unfinished  tasks that wait or run
    running     tasks that run at once
    priority    the highest priority of a task
    actions     cancels a second
    searches    searches and whole lists a second
    streams     event streams at once

    `none` lifts a limit: rate=none.
    """


@quotas.command(
    "list",
    cls=SettingsCommand,
    settings=process_settings.quotas,
    epilog=examples("pulp-tasks quotas list --output json | jq -r '.[].name'"),
)
@data_option
@output_option
def list_quotas(data: Path | None, output: str) -> None:
    """List the users, and the quotas set for each alone.

    The quotas of the roles come first. They come from the defaults and from PULP_QUOTA_ROLE in the environment, which
    should be the API's.
    """
    from pulp_accounts import quota_store
    from pulp_accounts.quotas import in_force

    roles = in_force(Target.find(data).environment)
    users = _run(data, quota_store.list_quotas)
    found: list[tuple[str | None, str, str]] = [(None, role.value, quota) for role, quota in roles.items()]
    found += [(each.name, each.role.value, each.quota) for each in users]
    report = [{"name": name, "role": role, "quota": quota} for name, role, quota in found]
    rows = [(name or "(everybody)", role, quota or "-") for name, role, quota in found]
    show(output, report, lambda: table(rows, ("NAME", "ROLE", "QUOTA")))


@quotas.command(
    "set", epilog=examples("pulp-tasks quotas set jo rate=5/s unfinished=100", "pulp-tasks quotas set jo priority=none")
)
@click.argument("name", shell_complete=user_names)
@click.argument("quota", nargs=-1, required=True, metavar="KEY=VALUE...")
@data_option
@output_option
def set_quota(name: str, quota: tuple[str, ...], data: Path | None, output: str) -> None:
    """Set quotas of the user NAME, besides those already set.

    They take effect within five seconds.
    """
    from pulp_accounts import quota_store

    now = _run(data, lambda connection: quota_store.set_quota(connection, name, " ".join(quota)))
    show(output, {"name": name, "quota": now}, lambda: [f"set for {name}: {now}"])


@quotas.command("clear", epilog=examples("pulp-tasks quotas clear jo"))
@click.argument("name", shell_complete=user_names)
@data_option
@output_option
def clear(name: str, data: Path | None, output: str) -> None:
    """Give the user NAME the quota of the role again."""
    from pulp_accounts import quota_store

    _run(data, lambda connection: quota_store.clear_quota(connection, name))
    show(output, {"name": name, "quota": ""}, lambda: [f"nothing is set for {name} any more: the role's quota counts"])


def _run(data: Path | None, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    from pulp_projections.connection import connect

    postgres = Target.find(data).need_postgres()

    async def run() -> T:
        async with await connect(postgres, "pulp-tasks quotas", connect_timeout_s=10) as connection:
            return await work(connection)

    with answering():
        return asyncio.run(run())
