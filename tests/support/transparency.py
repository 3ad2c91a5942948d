"""Logs of invented records, without Kafka."""

from collections.abc import Iterable
from pathlib import Path

from pulp_events.reader import Record
from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint, origin_of
from pulp_transparency.entry import LogEntry
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import NoteSigner
from pulp_transparency.partition_log import PartitionLog

SIGNER = NoteSigner("pulp.example/events", bytes(range(32)))
RING = KeyRing.of(SIGNER.verifier.vkey)
STEP = 3
"""Offsets have gaps: every third one is a record."""


def record(number: int, partition: int = 0, offset: int | None = None) -> Record:
    """The record with this number, whose offset follows from it."""
    return Record(
        partition,
        STEP * number + 1 if offset is None else offset,
        1_700_000_000_000 + number,
        f"key {number}".encode(),
        f"value {number}".encode(),
        (("content-type", b"application/json"), ("empty", b""), ("none", None)),
    )


def records(count: int, partition: int = 0) -> list[Record]:
    """The first `count` records."""
    return [record(number, partition) for number in range(count)]


def empty(partition: int = 0) -> Checkpoint:
    """The checkpoint of a log without records."""
    return Checkpoint(origin_of(SIGNER.name, partition), 0, merkle.EMPTY_ROOT)


def logged(path: Path, found: Iterable[Record], partition: int = 0, signer: NoteSigner = SIGNER) -> str:
    """Write the log of these records into a folder, and return its checkpoint."""
    log = PartitionLog(path, empty(partition))
    for each in found:
        log.append(LogEntry.of(each))
    return signed(log, partition, signer)


def signed(log: PartitionLog, partition: int = 0, signer: NoteSigner = SIGNER) -> str:
    """Save and sign a log, and return its checkpoint."""
    note = log.save().signed(signer.named(origin_of(signer.name, partition)))
    log.install(note)
    return note


def opened(path: Path, partition: int = 0) -> PartitionLog:
    """The log of a folder, to go on with."""
    return PartitionLog(path, RING.open((path / "checkpoint").read_text(), partition))
