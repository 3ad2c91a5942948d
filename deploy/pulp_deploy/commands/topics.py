"""`pulp-tasks topics`: the topics of an installation."""

from pathlib import Path

import click
from pulp_events import admin

from pulp_deploy.backend import PARTITIONS
from pulp_deploy.commands.target import Target, data_option


@click.group()
def topics() -> None:
    """Make and look at the topics in Kafka."""


@topics.command("create")
@click.option(
    "--partitions", type=click.IntRange(1), default=PARTITIONS, show_default=True, help="Can never be changed."
)
@click.option("--replication", type=click.IntRange(1), default=1, show_default=True, help="3 for production.")
@data_option
def create(partitions: int, replication: int, data: Path | None) -> None:
    """Make the topics that are missing. The number of partitions bounds the number of processors, for ever."""
    target = Target.find(data)
    made = admin.create_topics(target.need_kafka(), target.topics, partitions=partitions, replication=replication)
    for name in target.topics:
        click.echo(f"{name}: {'made' if name in made else 'is there'}")


@topics.command("list")
@data_option
def list_topics(data: Path | None) -> None:
    """List the topics with their size."""
    target = Target.find(data)
    kafka = target.need_kafka()
    rows = []
    for name in target.topics:
        info = admin.describe(kafka, name)
        begins = admin.begin_offsets(kafka, name, info.partitions)
        ends = admin.end_offsets(kafka, name, info.partitions)
        rows.append(f"{name:<32}{info.partitions:>10}{sum(ends.values()) - sum(begins.values()):>14}")
    click.echo("\n".join([f"{'TOPIC':<32}{'PARTITIONS':>10}{'RECORDS':>14}", *rows]))


@topics.command("describe")
@click.argument("name", required=False)
@data_option
def describe(name: str | None, data: Path | None) -> None:
    """Show a topic's id and the offsets of each partition (the events topic unless NAME is given)."""
    target = Target.find(data)
    kafka, topic = target.need_kafka(), name or target.topics.events
    info = admin.describe(kafka, topic)
    begins = admin.begin_offsets(kafka, topic, info.partitions)
    ends = admin.end_offsets(kafka, topic, info.partitions)
    click.echo(f"Topic  {info.name}")
    click.echo(f"Id     {info.topic_id}")
    click.echo(f"{'PARTITION':>9}{'BEGIN':>14}{'END':>14}")
    for partition in sorted(ends):
        click.echo(f"{partition:>9}{begins[partition]:>14}{ends[partition]:>14}")
