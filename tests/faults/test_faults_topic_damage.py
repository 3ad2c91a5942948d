"""A damaged topic: the processor refuses to continue, explains why to the operator, and skips nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from pulp_events.admin import create_topics, describe
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.events import accepted
from tests.support.projection import append_all, execute, project, settings_of

EVENTS = 20


class Installation:
    """A log, a read model, and a processor that is started on them."""

    def __init__(self, backend: Backend, database: str, topics: Topics, home: Path) -> None:
        self.backend, self.database, self.topics, self.home = backend, database, topics, home
        self.admin = AdminClient({"bootstrap.servers": backend.kafka})

    async def append(self, count: int) -> dict[int, int]:
        """Append this many events to partition 0; return the ends of the log."""
        log = KafkaLog(self.backend.kafka, self.topics.events, PARTITIONS)
        await append_all(log, [(accepted(), 0) for _ in range(count)])
        ends = await log.end_offsets()
        await log.close()
        return ends

    async def project(self, ends: dict[int, int]) -> None:
        """Run a processor before the damage."""
        info = describe(self.backend.kafka, self.topics.events)
        await execute(
            self.database, "insert into event_topic (name, topic_id, partitions) values (%s, %s, %s)", [*info]
        )
        await project(settings_of(self.backend.kafka, self.database, self.topics), ends)

    async def make_anew(self) -> None:
        """Delete the topics, and create them with the same names."""
        for future in self.admin.delete_topics(list(self.topics)).values():
            await asyncio.wrap_future(future)
        await asyncio.to_thread(create_topics, self.backend.kafka, self.topics, partitions=PARTITIONS, replication=1)

    async def processor_says(self) -> tuple[int, str]:
        """Start a processor; return its exit code and output."""
        env = environment(
            self.home,
            PULP_KAFKA=self.backend.kafka,
            PULP_POSTGRES=self.database,
            PULP_TOPIC_PREFIX=self.topics.events.removesuffix(".events"),
        )
        command = [sys.executable, "-m", "pulp_deploy", "processor"]
        result = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return result.returncode, result.stderr

    async def written(self) -> tuple[int, int]:
        """The position of partition 0, and how many events are in the history."""
        [row] = await execute(
            self.database,
            "select (select next_offset from positions where partition = 0), (select count(*) from task_events)",
        )
        return row[0], row[1]


async def test_events_that_retention_has_cut_are_not_skipped(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    installation = Installation(backend, database, topics, tmp_path)
    await installation.append(EVENTS)
    cut = installation.admin.delete_records([TopicPartition(topics.events, 0, 10)])
    await asyncio.gather(*map(asyncio.wrap_future, cut.values()))
    code, said = await installation.processor_says()
    assert code != 0
    assert f"{topics.events}/0 begins at offset 10, but 0 comes next: retention has cut" in said
    assert await installation.written() == (0, 0)


async def test_a_topic_that_was_made_anew_is_another_topic(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    installation = Installation(backend, database, topics, tmp_path)
    await installation.project(await installation.append(EVENTS))
    await installation.make_anew()
    await installation.append(2 * EVENTS)
    code, said = await installation.processor_says()
    assert code == 78
    assert "is not the topic that the read model was made from" in said
    assert "Was it created again?" in said
    assert await installation.written() == (EVENTS, EVENTS)


async def test_a_log_that_was_truncated_does_not_hold_what_was_projected(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    installation = Installation(backend, database, topics, tmp_path)
    await installation.project(await installation.append(EVENTS))
    await installation.make_anew()
    await installation.append(5)
    # The same topic, restored from an older copy: nobody can truncate a topic from outside.
    topic_id = describe(backend.kafka, topics.events).topic_id
    await execute(database, "update event_topic set topic_id = %s", [topic_id])
    code, said = await installation.processor_says()
    assert code != 0
    assert f"{topics.events}/0 ends at offset 5, but {EVENTS} comes next: the log was truncated or restored" in said
    assert await installation.written() == (EVENTS, EVENTS)


async def test_another_number_of_partitions_is_refused(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    installation = Installation(backend, database, topics, tmp_path)
    await installation.project(await installation.append(EVENTS))
    for future in installation.admin.create_partitions([NewPartitions(topics.events, PARTITIONS + 1)]).values():
        await asyncio.wrap_future(future)
    code, said = await installation.processor_says()
    assert code == 78
    assert f"has {PARTITIONS + 1} partitions, the read model was made for {PARTITIONS}" in said
