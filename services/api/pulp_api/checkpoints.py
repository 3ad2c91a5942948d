"""The newest signed checkpoint of each partition's transparency log, as the topic of checkpoints has it."""

import asyncio
import re
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from pulp_events.broker_times import broker_time
from pulp_events.checkpoints import last_records, next_offset_of
from pulp_events.errors import LogError
from pulp_events.kafka import Servers
from pulp_events.reader import Record

_KEPT_S: Final = 5.0
"""How long all callers get the same answer: reading them takes Kafka some tenths of a second."""
_DASH: Final = "\N{EM DASH} "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_ID: Final = slice(0, 4)
"""The key's id in a signature (C2SP signed-note)."""


class CheckpointFacts(NamedTuple):
    """The contents of a checkpoint. They are not verified, because the API does not have the verifier key."""

    partition: int
    log: str
    """The log's origin."""
    size: int
    """The number of records that it covers."""
    root: str
    """The root of its tree, in base64."""
    keys: tuple[str, ...]
    """NAME+ID of the keys that have signed it."""
    time: datetime
    """When the broker got it."""
    next_offset: int
    """The offset of the first record that it does not cover."""
    note: str
    """The checkpoint as it was signed."""


class Checkpoints:
    """Reads them, for all requests of a process together."""

    def __init__(self, servers: Servers, topic: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._topic, self._clock_s = servers, topic, clock_s
        self._turn = asyncio.Lock()
        self._known: tuple[Sequence[CheckpointFacts] | LogError, float] | None = None

    async def newest(self) -> Sequence[CheckpointFacts]:
        """One for each partition that has any; none if no log is kept. Raises `LogError`."""
        async with self._turn:
            if self._known is None or self._clock_s() - self._known[1] > _KEPT_S:
                self._known = await self._read(), self._clock_s()
            found, _ = self._known
        if isinstance(found, LogError):
            raise found
        return found

    async def _read(self) -> Sequence[CheckpointFacts] | LogError:
        """An error is kept as an answer is: else all who wait would wait for Kafka again, one after the other."""
        try:
            records = await asyncio.to_thread(last_records, self._servers, self._topic)
        except LogError as error:
            return error
        return [told for _, record in sorted(records.items()) if (told := facts_of(record)) is not None]


def facts_of(record: Record) -> CheckpointFacts | None:
    """The contents of the record's checkpoint; None for a record that is not a checkpoint (C2SP tlog-checkpoint)."""
    try:
        note = (record.value or b"").decode()
    except UnicodeDecodeError:
        return None
    text, _, signatures = note.partition("\n\n")
    log, size, root, *_ = [*text.split("\n"), "", "", ""]
    if not (log and _SIZE.fullmatch(size) and root):
        return None
    keys = [_key(line.removeprefix(_DASH)) for line in signatures.splitlines() if line.startswith(_DASH)]
    return CheckpointFacts(
        partition=record.partition,
        log=log,
        size=int(size),
        root=root,
        keys=tuple(key for key in keys if key),
        time=broker_time(record.timestamp_ms),
        next_offset=next_offset_of(record),
        note=note,
    )


def _key(signature: str) -> str:
    name, _, encoded = signature.rpartition(" ")
    try:
        return f"{name}+{b64decode(encoded, validate=True)[_ID].hex()}"
    except ValueError:  # also for letters that are not ASCII
        return ""
