"""A fetch returns every record once and in order, however it is split, and nothing after a damaged one."""

import asyncio
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from pulp_events.reader import Record
from pulp_processor.consuming.internals.record_fetcher import _FetchResult, _PartitionRecords

AT = TopicPartition("events", 3)
HEADERS = [("content-type", b"json")]
TIME_MS = 1_764_000_000_000
CONTROL = 0x20  # of a record batch's attributes (Kafka message format, version 2)


def batch(first: int, count: int, *, attributes: int = 0) -> bytearray:
    """A record batch as a broker sends it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    for number in range(count):
        headers: Any = HEADERS if number % 5 else []
        builder.append(
            offset=number,
            timestamp=TIME_MS,
            key=b"k%d" % (first + number),
            value=b"v%d" % (first + number),
            headers=headers,
        )
    data = bytearray(builder.build())
    data[0:8] = first.to_bytes(8, "big")
    if attributes:
        data[21:23] = attributes.to_bytes(2, "big")
        data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return data


def fetched(*batches: bytes | bytearray, offset: int = 0) -> _PartitionRecords:
    """The records that one fetch from this offset on returned."""
    return _PartitionRecords(AT, MemoryRecords(b"".join(batches)), [], offset, None, None, True, 0)


def expected(*offsets: int, base: int = 0) -> list[Record]:
    """The records with these offsets, of a batch that begins at `base`."""
    return [
        Record(3, at, TIME_MS, b"k%d" % at, b"v%d" % at, tuple(HEADERS) if (at - base) % 5 else ()) for at in offsets
    ]


@pytest.mark.parametrize("most", [1, 3, 7, 10, 11, 100])
def test_they_come_once_and_in_order_however_many_are_taken(most: int) -> None:
    records = fetched(batch(0, 10), batch(10, 1), batch(11, 10))
    taken: list[Record] = []
    while not records.is_exhausted:
        part = records.take(most)
        assert len(part) == min(most, 21 - len(taken))
        taken += part
        assert records.next_fetch_offset == len(taken)
    assert taken == expected(*range(10)) + expected(10, base=10) + expected(*range(11, 21), base=11)
    assert records.take(most) == []


def test_a_batch_that_begins_before_the_offset_is_cut() -> None:
    records = fetched(batch(0, 10), batch(10, 2), offset=7)
    assert [record.offset for record in records.take(100)] == [7, 8, 9, 10, 11]
    assert records.next_fetch_offset == 12


def test_the_same_headers_are_in_memory_once() -> None:
    records = fetched(batch(0, 4)).take(4)
    assert records[1].headers == tuple(HEADERS)
    assert records[1].headers is records[3].headers


def test_control_batches_are_passed_over() -> None:
    records = fetched(batch(0, 2), batch(2, 1, attributes=CONTROL), batch(3, 2))
    assert [record.offset for record in records.take(2)] == [0, 1]
    assert records.next_fetch_offset == 2
    assert [record.offset for record in records.take(100)] == [3, 4]
    assert (records.next_fetch_offset, records.is_exhausted) == (5, True)

    records = fetched(batch(0, 1, attributes=CONTROL))
    assert (records.take(5), records.next_fetch_offset, records.is_exhausted) == ([], 1, True)


async def result_of(records: _PartitionRecords) -> tuple[Any, Any]:
    """What aiokafka keeps of a fetch, and the partition's state in the consumer."""
    subscriptions = SubscriptionState(loop=asyncio.get_running_loop())
    subscriptions.assign_from_user([AT])
    assert subscriptions.subscription is not None
    assignment: Any = subscriptions.subscription.assignment
    state = assignment.state_value(AT)
    state.seek(records.next_fetch_offset)
    return _FetchResult(AT, assignment=assignment, partition_records=records, backoff=0), state


async def test_the_consumer_moves_with_what_was_taken() -> None:
    result, state = await result_of(fetched(batch(0, 10)))
    assert [record.offset for record in result.getall(4)] == [0, 1, 2, 3]
    assert (state.position, result.has_more()) == (4, True)
    assert [record.offset for record in result.getall()] == [4, 5, 6, 7, 8, 9]
    assert (state.position, result.has_more()) == (10, False)
    assert result.getall() == []


async def test_after_a_seek_what_was_fetched_before_is_dropped() -> None:
    result, state = await result_of(fetched(batch(0, 10)))
    result.getall(4)
    state.seek(2)
    assert result.getall() == []
    assert (state.position, result.has_more()) == (2, False)


async def test_nothing_is_handed_out_of_a_damaged_fetch_and_nothing_is_skipped() -> None:
    damaged = batch(5, 5)
    damaged[-1] ^= 1
    result, state = await result_of(fetched(batch(0, 5), damaged, batch(10, 5)))
    assert [record.offset for record in result.getall(3)] == [0, 1, 2]
    with pytest.raises(CorruptRecordException, match=r"CRC.*partition=3"):
        result.getall()
    assert (state.position, result.has_more(), result.getall()) == (3, False, [])
