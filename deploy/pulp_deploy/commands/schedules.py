"""`pulp-tasks schedules`: what an operator does with the tables of schedules."""

import asyncio
from pathlib import Path

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option


@click.group(cls=Group, epilog=examples("pulp-tasks schedules rebuild"))
def schedules() -> None:
    """Maintain the tables of schedules."""


@schedules.command("rebuild", epilog=examples("pulp-tasks schedules rebuild", "pulp-tasks schedules rebuild --yes"))
@yes_option
@data_option
@output_option
def rebuild(is_sure: bool, data: Path | None, output: str) -> None:
    """Fill the tables of schedules again, from the topic.

    It empties them as the owner of the tables; a processor refills them within seconds. Until then no schedule is
    listed, and none runs. You need this after the topic was restored or created again.
    """
    from pulp_projections.connection import connect
    from pulp_projections.schedules.projector import forget_schedules

    conninfo = Target.find(data).need_postgres()
    confirm("Fill the tables of schedules again?", is_sure=is_sure)

    async def empty() -> None:
        async with await connect(conninfo, "pulp-tasks-schedules") as connection:
            await forget_schedules(connection)

    asyncio.run(empty())
    show(output, {"emptied": True}, lambda: ["emptied: a processor fills them from the topic"])
