"""`pulp-tasks states`: what an operator does with the topic of states."""

from pathlib import Path

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option


@click.group(cls=Group, epilog=examples("pulp-tasks states rebuild"))
def states() -> None:
    """Maintain the topic of states."""


@states.command("rebuild", epilog=examples("pulp-tasks states rebuild", "pulp-tasks states rebuild --yes"))
@yes_option
@data_option
@output_option
def rebuild(is_sure: bool, data: Path | None, output: str) -> None:
    """Publish the state of every task again.

    A processor with PULP_STATE_TOPIC=yes begins within seconds, and then goes on as before. Subscribers get the same
    states again, and nothing is lost meanwhile. You need this after the topic was deleted and created again.
    """
    from pulp_events import admin
    from pulp_processor.publishing.state_log import start_over

    target = Target.find(data)
    kafka = target.need_kafka()
    info = admin.describe(kafka, target.topics.states)
    confirm("Publish the state of every task again?", is_sure=is_sure)
    start_over(kafka, target.topics, info.partitions)
    show(output, {"started_over": True}, lambda: ["started over: a processor publishes every task again"])
