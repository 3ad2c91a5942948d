"""A record that client libraries choke on, since the name of a header is not UTF-8, stops nothing."""

import asyncio
from pathlib import Path

from pulp_events.codec import encode, key_of
from pulp_events.ids import new_id
from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted
from tests.support.foreign import append_with_odd_header
from tests.support.processor_process import installation
from tests.support.projection import rows

MANY = 200
"""So often that Python would take its quicker way to call a method, which does not look at the error."""


async def test_a_reader_hands_it_out_without_headers(backend: Backend, topics: Topics) -> None:
    await append_with_odd_header(backend.kafka, topics.events, 1, [(b"a key", b"a value")] * MANY)

    def read() -> list[Record]:
        with Reader(backend.kafka, topics.events, {1: 0}) as reader:
            return [record for _, records in reader.until({1: MANY}) for record in records]

    found = await asyncio.to_thread(read)
    assert [record.offset for record in found] == list(range(MANY))
    assert {(record.key, record.value, record.headers) for record in found} == {(b"a key", b"a value", ())}


async def test_a_processor_goes_on(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> None:
    task_id = new_id()
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as site:
        processor = await site.start().up()
        await site.reached(await site.happens())
        await append_with_odd_header(site.kafka, topics.events, 2, [(b"a key", b"no event")])
        await append_with_odd_header(site.kafka, topics.events, 3, [(key_of(task_id), encode(accepted(task_id)))])
        ends = await site.happens()
        await site.reached(ends)
        again = await site.happens()
        await site.reached(again)
        assert await processor.stopped() == 0
        await site.rows_are_right(again)
    (letter,) = await rows(database, "dead_letters")
    assert (letter["partition"], letter["key"], letter["value"], letter["headers"]) == (2, b"a key", b"no event", [])
    assert task_id in {row["task_id"] for row in await rows(database, "tasks")}
