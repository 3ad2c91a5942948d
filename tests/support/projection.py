"""A log with many tasks in it, and its projection in the test's own loop."""

import asyncio
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from pulp_events.events import Event
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_processor.settings import Settings
from pulp_projections.writing.projector import Projector

from tests.support.records import story


def settings_of(kafka: str, database: str, topics: Topics, **changed: Any) -> Settings:
    """A processor's settings."""
    return Settings(**{"kafka": kafka, "postgres": database, "topics": topics, "startup_timeout_s": 20, **changed})


def stories(seed: int, partitions: int, *, tasks: int = 20, length: int = 200) -> list[tuple[Event, int]]:
    """Events of many tasks with their partitions, partly in a valid order and partly not."""
    random = Random(seed)
    found = [(event, partition) for partition in range(partitions) for event in story(random, tasks, length)]
    return sorted(found, key=lambda item: item[1])


async def append_all(log: KafkaLog, events: Iterable[tuple[Event, int]]) -> None:
    """Append them, each partition's in order."""
    async with asyncio.TaskGroup() as group:  # tasks start in this order, and an append sends before it waits
        for event, partition in events:
            group.create_task(log.append(event, partition))


async def project(settings: Settings, ends: dict[int, int]) -> None:
    """Project everything before `ends` into the active generation."""
    projectors = {partition: Projector(settings.postgres, partition) for partition in ends}
    start = {partition: await projector.locate() for partition, projector in projectors.items()}
    with Reader(settings.kafka, settings.topics.events, start) as reader:
        for partition, records in reader.until(ends):
            await projectors[partition].project(records)
    for projector in projectors.values():
        await projector.close()


async def rows(database: str, table: str, generation: int | None = None) -> list[dict[str, Any]]:
    """All rows of a table (of a view, or of a generation), in order, without columns that do not come from the log."""
    schema = "public" if generation is None else f"generation_{generation}"
    async with await psycopg.AsyncConnection.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        cursor = await connection.execute(SQL("select * from {}.{}").format(Identifier(schema), Identifier(table)))
        found = [{name: value for name, value in row.items() if name != "sent"} for row in await cursor.fetchall()]
    task = ("partition", "record_offset", "task_id", "state", "operation", "resource", "access")
    key = (*task, "day", "kind", "waited", "ran")
    return sorted(found, key=lambda row: str([row.get(name) for name in key]))


async def execute(database: str, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Run a statement and return its rows."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []
