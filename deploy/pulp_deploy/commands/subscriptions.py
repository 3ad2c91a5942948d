"""`pulp-tasks subscriptions`: what an operator does with the tables of subscriptions."""

import asyncio
from pathlib import Path

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option


@click.group(cls=Group, epilog=examples("pulp-tasks subscriptions rebuild"))
def subscriptions() -> None:
    """Maintain the tables of subscriptions."""


@subscriptions.command(
    "rebuild", epilog=examples("pulp-tasks subscriptions rebuild", "pulp-tasks subscriptions rebuild --yes")
)
@yes_option
@data_option
@output_option
def rebuild(is_sure: bool, data: Path | None, output: str) -> None:
    """Fill the tables of subscriptions again, from the topic. It sends nothing again.

    It empties them as the owner of the tables; a processor refills them within seconds. Each subscription keeps its
    place, its secrets and its deliveries. You need this after the topic was restored or created again.
    """
    from pulp_projections.connection import connect
    from pulp_projections.webhooks.projector import forget_webhooks

    conninfo = Target.find(data).need_postgres()
    confirm("Fill the tables of subscriptions again?", is_sure=is_sure)

    async def empty() -> None:
        async with await connect(conninfo, "pulp-tasks-subscriptions") as connection:
            await forget_webhooks(connection)

    asyncio.run(empty())
    show(output, {"emptied": True}, lambda: ["emptied: a processor fills them from the topic"])
