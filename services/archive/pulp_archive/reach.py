"""Whether the archive reaches where Kafka begins, so that Kafka may delete what is archived."""

import time
from typing import Final, NamedTuple

from pulp_events import admin
from pulp_events.findings import Finding, Severity
from pulp_events.kafka import Servers
from pulp_events.reader import first_times
from pulp_events.topic_states import read_topic
from pulp_events.topics import Topics

from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveDamaged, ArchiveError, ArchiveIncomplete

SUBJECT: Final = "Archive"
_PART: Final = 0.5
"""The fraction of the retention after which waiting records are in danger."""


class Waiting(NamedTuple):
    """The records that are not archived yet."""

    records: int
    oldest_ms: int | None
    """The broker's time of the oldest record; None if none waits, or nobody asked."""


def look(url: str, servers: Servers, topics: Topics, *, with_ages: bool = False) -> list[Finding]:
    """The findings; with `with_ages`, also whether records wait for too long. Raises `LogUnavailable`, `LogRefused`."""
    connection = admin.connect(servers)
    info = admin.describe(connection, topics.events)
    begins = admin.begin_offsets(connection, topics.events, info.partitions)
    try:
        archive = Archive.open(url)
        archive.check_topic(info.name, info.topic_id)
        archive.check_reach(info.name, begins)
    except ArchiveIncomplete as error:
        return [_finding("archive-gap", Severity.FAULT, str(error), "no rebuild can read the whole log", None)]
    except ArchiveDamaged as error:
        return [_finding("archive-damaged", Severity.FAULT, str(error), "what Kafka has deleted cannot be read", None)]
    except ArchiveError as error:
        mend = "see that PULP_ARCHIVE is right and its storage answers"
        return [_finding("archive-away", Severity.WARNING, str(error), "nothing is archived or read there", mend)]
    if not with_ages:
        return []
    ends = admin.end_offsets(connection, topics.events, info.partitions)
    starts = {partition: max(begins[partition], archive.end(partition)) for partition in ends}
    waiting = {partition: start for partition, start in starts.items() if start < ends[partition]}
    settings = read_topic(connection, topics.events).settings or {}
    return judge(
        Waiting(
            sum(ends[partition] - start for partition, start in waiting.items()),
            min(first_times(servers, topics.events, waiting).values(), default=None),
        ),
        int(settings.get("retention.ms", -1)),
        time.time() * 1000,
    )


def judge(waiting: Waiting, retention_ms: int, now_ms: float) -> list[Finding]:
    """A warning if what waits to be archived is in danger of being deleted first. Pure."""
    if waiting.oldest_ms is None or retention_ms < 0 or now_ms - waiting.oldest_ms < retention_ms * _PART:
        return []
    hours = (now_ms - waiting.oldest_ms) / 3_600_000
    return [
        _finding(
            "archive-behind",
            Severity.WARNING,
            f"{waiting.records} records are not archived, the oldest for {hours:.1f} hours, and Kafka keeps them for"
            f" {retention_ms / 3_600_000:.1f}",
            "Kafka deletes them, and they are lost",
            "run pulp-tasks archive write more often",
        )
    ]


def _finding(check: str, severity: Severity, wrong: str, endangers: str, mend: str | None) -> Finding:
    return Finding(check, SUBJECT, severity, wrong, endangers, mend)
