"""Sources of the records that are compared with the log: Kafka, an archive with or without Kafka, or a copy."""

import base64
import binascii
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveDamaged
from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record

from pulp_transparency.errors import RecordsFault


class Records(Protocol):
    """All records of an events topic that somebody has kept, by partition."""

    def partitions(self) -> list[int]:
        """The partitions, in order."""
        ...

    def end(self, partition: int) -> int | None:
        """The offset from which nothing is kept by design; None if all of the log must exist."""
        ...

    def read(self, partition: int, start: int = 0) -> Iterator[Record]:
        """The records of one partition from an offset on, up to its end at the time of the call, in order.

        It begins with the first one that is left, and raises `RecordsFault` for what cannot be read.
        """
        ...


class KafkaRecords:
    """The topic as Kafka has it now. Raises `LogUnavailable`."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._count = admin.describe(servers, topic).partitions

    def partitions(self) -> list[int]:
        """The partitions of the topic."""
        return list(range(self._count))

    def end(self, partition: int) -> None:
        """As `Records.end`."""

    def read(self, partition: int, start: int = 0) -> Iterator[Record]:
        """As `Records.read`."""
        connection = admin.connect(self._servers)
        begin = admin.begin_offsets(connection, self._topic, self._count)[partition]
        end = admin.end_offsets(connection, self._topic, self._count)[partition]
        if max(begin, start) >= end:
            return
        try:
            with Reader(self._servers, self._topic, {partition: max(begin, start)}) as reader:
                for _, records in reader.until({partition: end}):
                    yield from records
        except OffsetOutOfRange as error:
            raise RecordsFault(f"Kafka deletes records of {self._topic} while they are read: {error}") from error


class ArchivedRecords:
    """An archive, and then Kafka from where it ends; without Kafka, only the archive.

    A damaged file does not stop it: its records are compared as far as they can be read, so that the first altered one
    can be named.
    """

    def __init__(self, archive: Archive, kafka: KafkaRecords | None = None) -> None:
        self._archive, self._kafka = archive, kafka
        self.faults: dict[int, dict[str, ArchiveDamaged]] = {}
        """The damage found while reading, by partition and file."""
        if kafka is None and not archive.partitions:
            raise RecordsFault(f"the archive at {archive.url} is empty: pulp-tasks archive write fills it")

    def partitions(self) -> list[int]:
        """The partitions of the archive and of the topic."""
        return sorted({*self._archive.partitions, *(self._kafka.partitions() if self._kafka is not None else ())})

    def end(self, partition: int) -> int | None:
        """See `Records.end`: an archive alone ends where it was last written."""
        return self._archive.end(partition) if self._kafka is None else None

    def read(self, partition: int, start: int = 0) -> Iterator[Record]:
        """As `Records.read`."""
        found = self.faults.setdefault(partition, {})

        def note(fault: ArchiveDamaged) -> None:
            found[fault.place] = fault

        for records in self._archive.read(partition, start, on_fault=note):
            yield from records
        if self._kafka is not None and partition in self._kafka.partitions():
            yield from self._kafka.read(partition, max(start, self._archive.end(partition)))


class CopyFolder:
    """A folder with one file of JSON Lines for each partition, `PARTITION.jsonl`, a record a line, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_dir() or not self.partitions():
            raise RecordsFault(
                f"{path} is neither an archive (of pulp-tasks archive write) nor a copy of the records (of pulp-tasks"
                " audit copy): files such as 0/manifest.json or 0.jsonl are expected"
            )

    def partitions(self) -> list[int]:
        """The partitions that have a file."""
        names = (each.name.removesuffix(".jsonl") for each in self._path.glob("*.jsonl"))
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def end(self, partition: int) -> None:
        """As `Records.end`."""

    def read(self, partition: int, start: int = 0) -> Iterator[Record]:
        """As `Records.read`."""
        path = self._path / f"{partition}.jsonl"
        try:
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    record = decoded(line, f"{path}, line {number}")
                    if record.offset >= start:
                        yield record
        except (OSError, UnicodeDecodeError) as error:
            raise RecordsFault(f"{path} cannot be read: {error}") from error


def encoded(record: Record) -> str:
    """A record as a line of JSON, without the line break."""
    return json.dumps(
        {
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _base64(record.key),
            "headers": [[name, _base64(value)] for name, value in record.headers],
            "value": _base64(record.value),
        },
        separators=(",", ":"),
    )


def decoded(line: str, place: str) -> Record:
    """The record of a line. Raises `RecordsFault`, which names the place."""
    try:
        found = json.loads(line)
        return Record(
            _number(found["partition"]),
            _number(found["offset"]),
            _number(found["timestamp_ms"]),
            _bytes(found["key"]),
            _bytes(found["value"]),
            tuple((_name(name), _bytes(value)) for name, value in found["headers"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise RecordsFault(f"{place} does not hold a record: {error!r}. It was altered, or cut off") from error


def write_copy(records: Records, folder: Path) -> dict[int, int]:
    """Copy all records into a new folder, and return their number by partition. Only their owner can read the files,
    which hold arguments and addresses. Raises `RecordsFault`, `OSError`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RecordsFault(f"{folder} is not empty: name a new folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    counts = {}
    for partition in records.partitions():
        with open(folder / f"{partition}.jsonl", "x", encoding="utf-8", opener=private) as file:
            count = 0
            for record in records.read(partition):
                file.write(encoded(record) + "\n")
                count += 1
        counts[partition] = count
    return counts


def private(path: str, flags: int) -> int:
    """An `opener` for a file of records, which only its owner can read."""
    return os.open(path, flags, 0o600)


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not the name of a header")
    value.encode()  # half of a surrogate pair is not text, and has no bytes to hash
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
