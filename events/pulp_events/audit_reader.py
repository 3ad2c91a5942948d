"""Reading the audit topic, up to its end or endlessly."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pulp_events import admin
from pulp_events.audit import AuditRecord, decode_audit
from pulp_events.errors import UndecodableRecord
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record


class AuditEntry(NamedTuple):
    """A record of the audit topic with its position. `timestamp_ms` is the broker's time of its append."""

    partition: int
    offset: int
    timestamp_ms: int
    record: AuditRecord | None
    """None if the bytes are not an audit record."""
    error: str | None
    """Why it could not be decoded."""


def read_audit(
    servers: Servers, topic: str, *, since: datetime | None = None, follow: bool = False
) -> Iterator[AuditEntry | None]:
    """Entries in order of their append, from a broker time on.

    Ends where the topic ended at the call. With `follow` it never ends, and yields None about twice a second while no
    record arrives. Raises `TopicNotFound`, `LogUnavailable`.
    """
    partitions = admin.describe(servers, topic).partitions
    ends = admin.end_offsets(servers, topic, partitions)
    if since is None:
        start = admin.begin_offsets(servers, topic, partitions)
    else:
        start = admin.offsets_since(servers, topic, partitions, int(since.timestamp() * 1000))
    with Reader(servers, topic, start) as reader:
        if not follow:
            for _, records in reader.until(ends):
                yield from map(_entry, records)
            return
        while True:
            batches = reader.poll(0.5)
            if not batches:
                yield None
            for records in batches.values():
                yield from map(_entry, records)


def _entry(record: Record) -> AuditEntry:
    where = (record.partition, record.offset, record.timestamp_ms)
    try:
        return AuditEntry(*where, decode_audit(record.value), None)
    except UndecodableRecord as error:
        return AuditEntry(*where, None, error.reason)
