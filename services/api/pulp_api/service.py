"""The parts that the handlers of both dialects share: the log, Postgres, and the services on top of them."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final

from pulp_events.log import TimedLog
from pulp_projections.personal.master import MasterKeys
from pulp_projections.reading.archived import RecordArchive
from pulp_projections.reading.pages import Pages
from pulp_projections.reading.positions import Positions
from pulp_runtime.installation import UNSERVED_S
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_api.canceller import Canceller
from pulp_api.fairness.connections import Connections
from pulp_api.freshness import Freshness
from pulp_api.pattern_searches import PatternSearches
from pulp_api.purging import Purger
from pulp_api.recent_writes import RecentWrites
from pulp_api.settings import LISTED_S
from pulp_api.streaming.first_offsets import FirstOffsets
from pulp_api.submitting.personal import PersonalArguments
from pulp_api.submitting.submitter import MAX_ARGUMENT_BYTES, Submitter
from pulp_api.task_reader import TaskReader

MOST_ARCHIVED_PASTS: Final = 2
"""How many lists of the past may read the archive at once: each holds a connection meanwhile."""


class Service:
    """The parts, joined."""

    def __init__(
        self,
        *,
        log: TimedLog,
        connections: Connections,
        positions: Positions,
        partitions: int,
        max_argument_bytes: int = MAX_ARGUMENT_BYTES,
        queues: Collection[str] = (),
        unserved_s: float = UNSERVED_S,
        listed_s: int = LISTED_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        meter: Meter = NO_METER,
        master_keys: MasterKeys | None = None,
        archive: RecordArchive | None = None,
    ) -> None:
        """`archive` has the events of months that were detached from the history."""
        self.log = log
        self.positions = positions
        self.partitions = partitions
        self.unserved_s = unserved_s
        self.listed_s = listed_s
        self.connection = connections.connection
        self.pattern_searches = PatternSearches(self.connection)
        self.pages = Pages()
        self.first_offsets = FirstOffsets(log)
        self.freshness = Freshness(log, positions, self.connection)
        self.writes = RecentWrites()
        self.archive = archive
        self.archived_pasts = asyncio.Semaphore(MOST_ARCHIVED_PASTS)
        """Turns at lists of the past that read the archive."""
        self.tasks = TaskReader(self.freshness, archive)
        self.personal = PersonalArguments(self.connection, master_keys)
        self.purger = Purger(log, self.freshness, self.connection, clock)
        self.canceller = Canceller(log, positions, self.freshness, self.connection, self.writes, clock, meter=meter)
        self.submitter = Submitter(
            log,
            self.tasks,
            self.freshness,
            self.connection,
            self.writes,
            self.personal,
            partitions=partitions,
            max_argument_bytes=max_argument_bytes,
            queues=queues,
            clock=clock,
        )
