"""Malformed and unexpected records, written directly to the topic."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from confluent_kafka import Producer

from tests.faults.folding import Raw
from tests.faults.reading import PREFIX

_MEGABYTE: Final = 1_000_000


class Bad(NamedTuple):
    """One record; `name` says what is wrong with it."""

    name: str
    partition: int
    key: bytes | None
    value: bytes | None


def poison(random: Random, partitions: int, recent: dict[int, list[Raw]]) -> Iterator[Bad]:
    """At least one of every kind. `recent` are records of the log, which are repeated unchanged."""
    for partition, raws in recent.items():
        for raw in raws:
            yield Bad("written twice", partition, raw.key, raw.value)
            if b"task.accepted.v" not in (raw.value or b""):
                yield Bad("another partition", (partition + 1) % partitions, raw.key, raw.value)
    for name, key, value in (*no_events(random), *strange_events(random)):
        yield Bad(name, random.randrange(partitions), key, value)
    for partition, raws in recent.items():
        for raw in raws:
            yield from _after_the_end(random, partition, raw)


def write(kafka: str, topic: str, records: list[Bad]) -> None:
    """Append them, each acknowledged."""
    producer = Producer(
        {"bootstrap.servers": kafka, "acks": "all", "enable.idempotence": True, "message.max.bytes": 1_100_000}
    )
    failed: list[str] = []
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            record.partition,
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
    left = producer.flush(60)
    if left or failed:
        raise RuntimeError(f"poison was not written: {failed or left}")


def no_events(random: Random) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """(what is wrong, key, value) of records that cannot be decoded."""
    task_id = _id(random)
    key = task_id.encode()
    sound = _envelope(random, "cancel-requested", task_id, {"reason": None})
    yield "null value", key, None
    yield "empty value", key, b""
    yield "no JSON", key, b"{"
    yield "no UTF-8", key, b'{"a": "\xff"}'
    yield "another task's key", _id(random).encode(), _bytes(sound)
    yield "no key", None, _bytes(sound)
    yield "U+0000", key, _bytes({**sound, "data": {"reason": "a\0b"}})
    yield "no subject", key, _bytes({name: value for name, value in sound.items() if name != "subject"})
    yield "another specversion", key, _bytes({**sound, "specversion": "0.3"})
    yield "a type of data that does not fit", key, _bytes(_envelope(random, "started", task_id, {"attempt": "one"}))
    yield "a megabyte of nothing", key, b" " * _MEGABYTE


def strange_events(random: Random) -> Iterator[tuple[str, bytes, bytes]]:
    """(what is odd, key, value) of events that have no effect."""

    def made(kind: str, data: dict[str, Any], **more: Any) -> tuple[bytes, bytes]:
        task_id = _id(random)
        return task_id.encode(), _bytes({**_envelope(random, kind, task_id, data), **more})

    attempt = _id(random)
    start = {"attempt": 1, "attempt_id": attempt, "worker": "nobody", "cancellable": True}
    yield "unknown task", *made("started", start)
    yield "unknown task", *made("progress", {"attempt_id": attempt, "sequence": 1, "progress": {}})
    yield "unknown task", *made("cancel-requested", {})
    yield "unknown task", *made("finished", {"attempt_id": None, "outcome": "successful"})
    yield "unknown task", *made("purged", {"requested_by": "user:nobody", "filter": {}})
    yield "unknown type", *made("renamed", {"a": 1})
    yield "unknown version", *made("started", start, type=f"{PREFIX}started.v9")
    big = {"attempt_id": attempt, "sequence": 1, "progress": {"text": "x" * (_MEGABYTE - 1000)}}
    yield "a megabyte of progress", *made("progress", big)
    for hours in (-1, 1):
        time = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
        yield "a clock that is an hour off", *made("cancel-requested", {}, time=time)


def _after_the_end(random: Random, partition: int, raw: Raw) -> Iterator[Bad]:
    """Later events of an existing task, without effect: stale, or with a used id and another body."""
    try:
        body = json.loads(raw.value or b"")
    except ValueError:
        return
    if not str(body.get("type", "")).endswith(("accepted.v1", "accepted.v2")) or raw.key is None:
        return
    task_id, attempt = body["subject"], _id(random)
    yield Bad(
        *("the same id with another body", partition, raw.key),
        _bytes({**body, "data": {**body["data"], "operation": "other"}}),
    )
    late = {"attempt_id": attempt, "outcome": "failed", "error": {"code": "zombie", "description": "too late"}}
    for kind, data in (
        ("progress", {"attempt_id": attempt, "sequence": 10**6, "progress": {"zombie": True}}),
        ("finished", late),
    ):
        yield Bad(f"{kind} of a stranger's attempt", partition, raw.key, _bytes(_envelope(random, kind, task_id, data)))


def _envelope(random: Random, kind: str, task_id: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        **{"specversion": "1.0", "id": _id(random), "source": "/poison", "type": f"{PREFIX}{kind}.v1"},
        **{"subject": task_id, "time": datetime.now(UTC).isoformat(), "actor": "user:poison", "data": data},
    }


def _id(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
