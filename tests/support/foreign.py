"""Records that only other clients write: with a header name that is not UTF-8, as C or Go programs can."""

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class _NoUtf8(str):
    """A name that encodes to bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


async def append_with_odd_header(kafka: str, topic: str, partition: int, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Append records with these keys and values."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        batch = producer.create_batch()
        # aiokafka's own writer of batches is compiled; the one in Python asks the name for its bytes.
        batch._builder = _DefaultRecordBatchBuilderPy(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=2_000_000,
        )
        for key, value in pairs:
            batch.append(key=key, value=value, timestamp=None, headers=[(_NoUtf8("odd"), b"x")])
        batch.close()
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
