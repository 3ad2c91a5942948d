"""`pulp-tasks topics`: the topics of an installation."""

import asyncio
import os
from pathlib import Path

import click
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table

from pulp_deploy import process_settings
from pulp_deploy.commands.completing import topic_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option
from pulp_deploy.commands.topic_acls import acls
from pulp_deploy.defaults import PARTITIONS
from pulp_deploy.settings_help import SettingsCommand


@click.group(cls=Group, epilog=examples("pulp-tasks topics list"))
def topics() -> None:
    """Create and inspect the topics in Kafka."""


topics.add_command(acls)


@topics.command(
    "create",
    cls=SettingsCommand,
    settings=process_settings.waiting,
    epilog=examples("pulp-tasks topics create --partitions 48 --replication 3"),
)
@click.option(
    "--partitions", type=click.IntRange(1), default=PARTITIONS, show_default=True, help="Fixed when it is created."
)
@click.option("--replication", type=click.IntRange(1), default=1, show_default=True, help="Use 3 in production.")
@data_option
@output_option
def create(partitions: int, replication: int, data: Path | None, output: str) -> None:
    """Create the topics that are missing, once Kafka answers.

    It waits up to PULP_STARTUP_TIMEOUT_S for Kafka. The number of partitions limits how many processors can ever share
    the work.
    """
    from pulp_events import admin
    from pulp_events.declared_settings import read_field
    from pulp_runtime.installation import Installation
    from pulp_runtime.startup import wait_for_kafka

    target = Target.find(data)
    kafka = target.need_kafka()
    asyncio.run(wait_for_kafka(kafka, read_field(Installation, "startup_timeout_s", os.environ)))
    made = admin.create_topics(kafka, target.topics, partitions=partitions, replication=replication)
    report = [{"name": name, "created": name in made} for name in target.topics]
    show(output, report, lambda: [f"{name}: {'created' if name in made else 'exists'}" for name in target.topics])


@topics.command("mend", epilog=examples("pulp-tasks topics mend --dry-run", "pulp-tasks topics mend"))
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@data_option
@output_option
def mend(dry_run: bool, data: Path | None, output: str) -> None:
    """Give the topics the settings that keep every event.

    These are unlimited retention, no compaction (for the topic of states: compaction), the broker's times, records of
    the greatest size, no unclean elections, and, with three replicas, two that must take each write. Other settings
    stay, and so does the retention of the events if PULP_ARCHIVE is set. This does not bring back what Kafka has
    deleted, and existing records keep their times.
    """
    from pulp_archive.settings import ARCHIVE
    from pulp_events import admin, topic_states
    from pulp_events.errors import TopicNotFound
    from pulp_events.topic_checks import mends, missing_topic

    target = Target.find(data)
    is_archived = ARCHIVE.read(target.environment) is not None
    connection = admin.connect(target.need_kafka())
    changes, missing = [], []
    for name in target.topics:
        try:
            state = topic_states.read_topic(connection, name, is_compacted=target.topics.is_compacted(name))
            state = state._replace(is_archived=is_archived and name == target.topics.events)
        except TopicNotFound:
            missing.append(missing_topic(name, target.topics))
            continue
        wanted = mends(state)
        changes += [
            {"name": name, "setting": key, "before": (state.settings or {})[key], "after": value}
            for key, value in wanted.items()
        ]
        if wanted and not dry_run:
            topic_states.mend(connection, name, wanted)
    report = {"changed": not dry_run and bool(changes), "changes": changes}
    rows = [[change[key] for key in ("name", "setting", "before", "after")] for change in changes]
    show(output, report, lambda: table(rows, ("TOPIC", "SETTING", "BEFORE", "AFTER")) if rows else ["nothing to mend"])
    for finding in missing:
        hint(str(finding))


@topics.command("list", epilog=examples("pulp-tasks topics list"))
@data_option
@output_option
def list_topics(data: Path | None, output: str) -> None:
    """List the topics with their size."""
    from pulp_events import admin

    target = Target.find(data)
    kafka = admin.connect(target.need_kafka())
    report = []
    for name in target.topics:
        info = admin.describe(kafka, name)
        begins = admin.begin_offsets(kafka, name, info.partitions)
        ends = admin.end_offsets(kafka, name, info.partitions)
        records = sum(ends.values()) - sum(begins.values())
        report.append({"name": name, "partitions": info.partitions, "records": records})
    rows = [[str(value) for value in topic.values()] for topic in report]
    show(output, report, lambda: table(rows, ("TOPIC", "PARTITIONS", "RECORDS")))


@topics.command("describe", epilog=examples("pulp-tasks topics describe pulp.tasks.events"))
@click.argument("name", required=False, shell_complete=topic_names)
@data_option
@output_option
def describe(name: str | None, data: Path | None, output: str) -> None:
    """Show a topic's id and the offsets of its partitions.

    NAME is a topic of the installation; without it, the events topic.
    """
    from pulp_events import admin

    target = Target.find(data)
    kafka = admin.connect(target.need_kafka())
    info = admin.describe(kafka, name or target.topics.events)
    begins = admin.begin_offsets(kafka, info.name, info.partitions)
    ends = admin.end_offsets(kafka, info.name, info.partitions)
    partitions = [
        {"partition": partition, "begin": begins[partition], "end": ends[partition]} for partition in sorted(ends)
    ]
    report = {"name": info.name, "id": info.topic_id, "partitions": partitions}
    rows = [[str(value) for value in partition.values()] for partition in partitions]
    show(
        output,
        report,
        lambda: [f"Topic  {info.name}", f"Id     {info.topic_id}", *table(rows, ("PARTITION", "BEGIN", "END"))],
    )
