"""Follows the events topic and keeps the log of each of its partitions."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

from pulp_events import admin
from pulp_events.checkpoints import last_records
from pulp_events.errors import LogError
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record
from pulp_events.task import Position
from pulp_events.topics import Topics

from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint, origin_of
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import FolderInUse, LogForked, RecordsFault
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import NoteSigner
from pulp_transparency.outlets import CheckpointOutbox
from pulp_transparency.partition_log import PartitionLog, write_whole
from pulp_transparency.published import Published
from pulp_transparency.tiles import LogTree, TileFolder
from pulp_transparency.traces import LogTraces

STATUS: Final = "status.json"
_LOCK: Final = "lock"
_POLL_S: Final = 0.5
_ASK_S: Final = 3.0
_log = logging.getLogger("pulp.transparency")


class FolderLock:
    """The right to write a folder of tiles. Raises `FolderInUse` if another process has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FolderInUse(
                f"another process writes the log in {folder}: stop it first, or name another folder"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class LogFollower:
    """The logs of all partitions, which keep up with Kafka. The caller holds the lock of the folder.

    Opening it raises an error if it cannot go on: `NoteError`, `TileFault`, `LogForked`, `RecordsFault`.
    """

    def __init__(
        self,
        servers: Servers,
        topics: Topics,
        folder: Path,
        signer: NoteSigner,
        ring: KeyRing,
        outboxes: Sequence[CheckpointOutbox],
        *,
        interval_s: float,
        traces: LogTraces | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers, self._topics, self._folder = servers, topics, folder
        self._signer, self._ring, self._outboxes = signer, ring, outboxes
        self._interval_s, self._clock_s, self._traces = interval_s, clock_s, traces
        self._connection = admin.connect(servers)
        count = admin.describe(self._connection, topics.events).partitions
        self._begins = admin.begin_offsets(self._connection, topics.events, count)
        self._signed: dict[int, int] = {}
        published = {
            partition: ring.open((record.value or b"").decode(errors="replace"), partition)
            for partition, record in last_records(servers, topics.checkpoints).items()
        }
        self._logs = {partition: self._resumed(partition, published.get(partition)) for partition in range(count)}
        self._reader = Reader(servers, topics.events, {partition: self._start(partition) for partition in self._logs})
        self._due_s = clock_s()

    def step(self) -> None:
        """Add the records that have arrived, and sign checkpoints that are due. Raises `LogForked`, `RecordsFault`,
        `LogError`."""
        for partition, records in self._reader.poll(min(_POLL_S, self._interval_s)).items():
            self._append(self._logs[partition], records)
        if self._clock_s() >= self._due_s:
            self._due_s = self._clock_s() + self._interval_s
            self.sign()

    def sign(self) -> None:
        """Write a checkpoint of each log that has grown, and offer it to the outlets."""
        for partition, log in self._logs.items():
            if log.may_sign and self._signed.get(partition) != log.size:
                note = log.save().signed(self._signer.named(origin_of(self._signer.name, partition)))
                log.install(note)
                self._signed[partition] = log.size
                if self._traces is not None:
                    self._traces.covered(partition, log.size)
                self._offer(partition, note)
        self._tell()

    @property
    def untaken(self) -> dict[str, int]:
        """For each outlet how many partitions have a checkpoint that it has not taken yet. From any thread."""
        return {each.name: each.waiting for each in self._outboxes}

    def uncovered(self) -> dict[int, int]:
        """How many events of each partition no checkpoint covers yet. From any thread. Raises `LogError`."""
        signed = dict(self._signed)
        unread = self._unread()
        return {
            partition: unread[partition] + log.size - signed.get(partition, 0) for partition, log in self._logs.items()
        }

    def close(self) -> None:
        """Close the connections to Kafka. Unsigned records are read again at the next start."""
        self._reader.close()

    def _resumed(self, partition: int, published: Checkpoint | None) -> PartitionLog:
        path = self._folder / str(partition)
        note = TileFolder(path).checkpoint()
        own = (
            Checkpoint(origin_of(self._ring.name, partition), 0, merkle.EMPTY_ROOT)
            if note is None
            else self._ring.open(note, partition)
        )
        if published is not None and published.size <= own.size:
            if LogTree(TileFolder(path), own.size).subtree(0, published.size) != published.root:
                raise LogForked(
                    f"the log in {path} contradicts the checkpoint of {published.size} records that was published to"
                    f" {self._topics.checkpoints}: one of the two was altered. Nothing is signed"
                )
            published = None
        log = PartitionLog(path, own, published)
        if note is not None and self._signer.verifier == self._ring.keys[-1].verifier:
            newest = own.signed(self._signer.named(own.origin))
            if newest != note:  # the key has been replaced since
                log.install(newest)
            self._signed[partition] = own.size
            self._offer_of(partition, log, newest)
        return log

    def _start(self, partition: int) -> int:
        """The offset to begin with: that of the log's last record, to check that it is still the same."""
        last, begin = self._logs[partition].last, self._begins[partition]
        if last is None:
            return begin
        if begin > last.offset + 1:
            raise RecordsFault(
                f"partition {partition} of {self._topics.events} begins at {begin}, and its log ends with"
                f" {last.offset}: Kafka deleted records before they were logged. Restore them, or begin a new log: move"
                " the folder of tiles away, and make a key of another name"
            )
        return max(begin, last.offset)

    def _append(self, log: PartitionLog, records: Sequence[Record]) -> None:
        for record in records:
            entry, last = LogEntry.of(record), log.last
            if last is not None and entry.offset <= last.offset:
                if entry != last:
                    place = Position(entry.partition, entry.offset)
                    raise LogForked(
                        f"record {place} of {self._topics.events} is not the one that was logged: it was altered, or"
                        " the topic was created again. Nothing is signed; pulp-tasks audit verify names the first"
                        " record that differs"
                    )
                continue
            log.append(entry)
            if self._traces is not None:
                self._traces.added(record)

    def _offer(self, partition: int, note: str) -> None:
        self._offer_of(partition, self._logs[partition], note)

    def _offer_of(self, partition: int, log: PartitionLog, note: str) -> None:
        next_offset = self._begins[partition] if log.last is None else log.last.offset + 1
        published = Published(partition, origin_of(self._signer.name, partition), log.size, note, next_offset)
        for outbox in self._outboxes:
            outbox.offer(published)

    def _tell(self) -> None:
        """Write the state, for `pulp-tasks status` and `audit status`."""
        outlets: Mapping[str, object] = {
            each.name: {"waiting": each.waiting, "fault": each.fault} for each in self._outboxes
        }
        sizes = {str(partition): log.size for partition, log in self._logs.items()}
        lag = {str(partition): lag for partition, lag in self._lag().items()}
        text = json.dumps({"time": time.time(), "sizes": sizes, "lag": lag, "outlets": outlets}, indent=2)
        try:
            write_whole(self._folder / STATUS, text + "\n")
        except OSError as error:
            _log.warning("the status cannot be written: %s", error, extra={"file": str(self._folder / STATUS)})

    def _lag(self) -> dict[int, int]:
        """How many records of each partition are still to be read; empty while Kafka does not answer."""
        try:
            return self._unread()
        except LogError as error:
            _log.warning("the lag is not known: %s", error)
            return {}

    def _unread(self) -> dict[int, int]:
        ends = admin.end_offsets(self._connection, self._topics.events, len(self._logs), timeout_s=_ASK_S)
        return {partition: max(0, ends[partition] - at) for partition, at in self._reader.positions.items()}
