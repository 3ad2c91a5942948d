"""Reading one partition for a rebuild: as `Reader` reads it, with another client, or partly from an archive."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_archive.archive import Archive
from pulp_events.admin import end_offsets
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import client_settings
from pulp_events.reader import Headers, Reader, Record
from pulp_events.topics import Topics
from pulp_processor.consuming.partition_reader import PartitionReader
from pulp_processor.rebuilding.log_reader import LogReader

from tests.conftest import PARTITIONS
from tests.support.archives import archive_part
from tests.support.backends import Backend
from tests.support.foreign import append_with_odd_header

RECORDS, MOST = 1700, 400
HEADERS: list[Headers] = [(("a", b"1"),), (("a", b"1"),), (("a", b"2"), ("b", None)), ()]


def produce(kafka: str, topic: str, values: list[bytes], *, compression: str = "lz4") -> None:
    """Write the values to partition 1, with several headers in turn."""
    # Idempotent, so that a repeated request stays in its place.
    producer = Producer(client_settings(kafka, enable_idempotence=True, acks="all", compression_type=compression))
    for number, value in enumerate(values):
        producer.produce(topic, value, b"key", 1, headers=list(HEADERS[number % len(HEADERS)]))
    assert producer.flush(30) == 0


Opened = Callable[[str, str, int], Awaitable[PartitionReader | LogReader]]
"""A reader of partition 1 of a topic, from an offset on."""


@pytest.fixture(params=["Kafka", "an archive, and then Kafka", "an archive alone"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Archived records are deleted from Kafka: half of the log, or all of it."""

    async def from_kafka(kafka: str, topic: str, start: int) -> PartitionReader:
        return PartitionReader(kafka, topic, 1, start)

    async def from_an_archive(kafka: str, topic: str, start: int) -> LogReader:
        url = str(tmp_path / "archive")
        if not Archive.open(url).partitions:
            end = (await asyncio.to_thread(end_offsets, kafka, topic, PARTITIONS))[1]
            archived = end if request.param == "an archive alone" else end // 2
            await asyncio.to_thread(archive_part, kafka, topic, url, 1, archived)
            await asyncio.to_thread(delete_before, kafka, topic, archived)
        return LogReader(kafka, topic, 1, start, url)

    return from_kafka if request.param == "Kafka" else from_an_archive


def delete_before(kafka: str, topic: str, offset: int) -> None:
    admin = AdminClient(client_settings(kafka))  # its futures end only while it lives
    for future in admin.delete_records([TopicPartition(topic, 1, offset)], request_timeout=20).values():
        future.result()


async def by_kafka(kafka: str, topic: str, start: int) -> PartitionReader:
    return PartitionReader(kafka, topic, 1, start)


async def read(
    kafka: str, topic: str, start: int, end: int, most: int = MOST, opened: Opened = by_kafka
) -> list[list[Record]]:
    """The batches of partition 1 between two offsets."""
    async with await opened(kafka, topic, start) as reader:
        batches = []
        while batch := await reader.read(end, most=most):
            batches.append(batch)
            assert reader.next_offset == batch[-1].offset + 1
        assert await reader.read(end, most=most) == []
        return batches


async def read_by_the_other(kafka: str, topic: str, end: int) -> list[Record]:
    """What `Reader` reads before `end`."""

    def found() -> list[Record]:
        with Reader(kafka, topic, {1: 0}) as reader:
            return [record for _, records in reader.until({1: end}) for record in records]

    return await asyncio.to_thread(found)


@pytest.mark.parametrize("compression", ["lz4", "none"])
async def test_it_reads_what_the_other_client_reads(
    backend: Backend, topics: Topics, compression: str, opened: Opened
) -> None:
    values = [b"%d" % number for number in range(RECORDS)]
    await asyncio.to_thread(produce, backend.kafka, topics.events, values, compression=compression)
    expected = await read_by_the_other(backend.kafka, topics.events, RECORDS)
    batches = await read(backend.kafka, topics.events, 0, RECORDS, opened=opened)
    assert max(map(len, batches)) <= MOST
    records = [record for batch in batches for record in batch]
    assert [record.value for record in records] == values
    assert records == expected


async def test_it_begins_and_ends_within_what_is_fetched(backend: Backend, topics: Topics, opened: Opened) -> None:
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"%d" % number for number in range(RECORDS)])
    batches = await read(backend.kafka, topics.events, 123, 1601, opened=opened)
    assert [record.offset for batch in batches for record in batch] == list(range(123, 1601))
    assert await read(backend.kafka, topics.events, 1601, 1601, opened=opened) == []


async def test_records_that_are_larger_than_a_fetch_come_all_the_same(
    backend: Backend, topics: Topics, opened: Opened
) -> None:
    values = [os.urandom(950_000), b"small", os.urandom(950_000), b"small"]
    await asyncio.to_thread(produce, backend.kafka, topics.events, values, compression="none")
    batches = await read(backend.kafka, topics.events, 0, len(values), opened=opened)
    assert [record.value for batch in batches for record in batch] == values


async def test_a_header_that_is_no_text_stops_nothing(backend: Backend, topics: Topics, opened: Opened) -> None:
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"before"])
    await append_with_odd_header(backend.kafka, topics.events, 1, [(b"key", b"odd")])
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"after"])
    batches = await read(backend.kafka, topics.events, 0, 3, opened=opened)
    assert [(record.value, record.headers) for batch in batches for record in batch] == [
        (b"before", HEADERS[0]),
        (b"odd", ()),
        (b"after", HEADERS[0]),
    ]


async def test_what_the_log_has_lost_is_not_skipped(backend: Backend, topics: Topics) -> None:
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"%d" % number for number in range(20)])
    await asyncio.to_thread(delete_before, backend.kafka, topics.events, 5)
    with pytest.raises(OffsetOutOfRange, match=r"partition 1, offset 0\).*nothing was skipped"):
        await read(backend.kafka, topics.events, 0, 20)
    assert [record.offset for batch in await read(backend.kafka, topics.events, 5, 20) for record in batch] == list(
        range(5, 20)
    )


async def test_what_neither_the_archive_nor_kafka_has_is_not_skipped(
    backend: Backend, topics: Topics, tmp_path: Path
) -> None:
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"%d" % number for number in range(20)])
    url = str(tmp_path / "archive")
    await asyncio.to_thread(archive_part, backend.kafka, topics.events, url, 1, 8)
    await asyncio.to_thread(delete_before, backend.kafka, topics.events, 10)

    async def opened(kafka: str, topic: str, start: int) -> LogReader:
        return LogReader(kafka, topic, 1, start, url)

    with pytest.raises(OffsetOutOfRange, match=r"partition 1, offset 8\).*nothing was skipped"):
        await read(backend.kafka, topics.events, 0, 20, opened=opened)


async def test_a_broker_that_is_not_there_yet_is_waited_for(backend: Backend, topics: Topics) -> None:
    await asyncio.to_thread(produce, backend.kafka, topics.events, [b"0", b"1"])
    with closing(create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    reading = asyncio.create_task(read(f"127.0.0.1:{port}", topics.events, 0, 2))
    done, _ = await asyncio.wait([reading], timeout=1)
    assert not done
    server = await asyncio.start_server(lambda reader, writer: _hand_on(backend.kafka, reader, writer), port=port)
    try:
        assert [record.value for batch in await reading for record in batch] == [b"0", b"1"]
    finally:
        server.close()


async def test_who_waits_for_an_answer_can_be_cancelled_and_leaves_nothing_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: asked.put_nowait(writer), "127.0.0.1", 0)  # no answer comes
    reading = asyncio.create_task(read(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "events", 0, 2))
    connection = await asked.get()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    del reading
    gc.collect()
    connection.close()
    server.close()
    assert "Unclosed" not in caplog.text


async def _hand_on(kafka: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stand in for a broker for as long as the client needs it: the client learns the broker's real address this
    way."""
    host, _, port = kafka.split(",")[0].rpartition(":")
    broker_reader, broker_writer = await asyncio.open_connection(host, int(port))

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()

    await asyncio.gather(pipe(reader, broker_writer), pipe(broker_reader, writer))
