"""The gauges that the API reads for a monitor: of this process, of Kafka, and of the installation from Postgres."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pulp_events.findings import Severity
from pulp_projections.reading import trust
from pulp_projections.reading.queries import Condition
from pulp_projections.reading.queue import QueueRow, queues
from pulp_projections.reading.unblocked import longest_unblocked_s
from pulp_projections.schedules.reading import LATE_S, schedules_health
from pulp_projections.webhooks.reading import WaitingDeliveries, waiting_deliveries
from pulp_projections.workers import WorkerRow, dispatching, workers
from pulp_runtime.preconditions.watch import Watch
from pulp_runtime.telemetry import catalog
from pulp_runtime.telemetry.metric import Meter, Reading

from pulp_api.limiting.quotas import Quotas
from pulp_api.service import Service
from pulp_api.streaming.seats import Seats

KEPT_S: Final = 10.0
"""How long values from Postgres are reused, because counting runnable tasks reads each waiting task."""
_ONLINE: Final = Condition("w.online")


class Gauges:
    """Reads the values. Each method raises the errors of its source."""

    def __init__(self, service: Service, quotas: Quotas, seats: Seats, watch: Watch | None) -> None:
        self._service = service
        self._quotas = quotas
        self._seats = seats
        self._watch = watch

    def register(self, meter: Meter) -> None:
        """Tell the meter of them."""
        meter.add_source("process", self.of_process)
        meter.add_source("kafka", self.of_kafka)
        meter.add_source("postgres", self.of_postgres, kept_s=KEPT_S)

    async def of_process(self) -> Iterator[Reading]:
        """Streams and findings."""
        return self._of_process()

    async def of_kafka(self) -> list[Reading]:
        """The lag of every partition. Raises `LogUnavailable`."""
        ends = await self._service.log.end_offsets()
        positions = self._service.positions.current()
        return [
            Reading(catalog.LAG_EVENTS, max(0, end - positions.get(partition, 0)), (str(partition),))
            for partition, end in ends.items()
        ]

    async def of_postgres(self) -> list[Reading]:
        """Queues, workers, schedules, subscriptions and dead letters. Raises `psycopg.Error`."""
        unserved_s = self._service.unserved_s
        async with self._service.connection() as connection:
            running_of = self._quotas.running_of
            waiting = await queues(connection, unserved_s=unserved_s, running_of=running_of)
            longest_s = await longest_unblocked_s(connection, unserved_s=unserved_s, running_of=running_of)
            online = (await workers(connection, [_ONLINE])).rows
            dispatcher = await dispatching(connection)
            schedules = await schedules_health(connection, late_s=LATE_S)
            webhooks = await waiting_deliveries(connection)
            dead = await trust.dead_letters(connection)
            parked = await trust.parked_tasks(connection)
        now = datetime.now(UTC)
        return [
            *(reading for row in waiting for reading in _of_queue(row, now)),
            Reading(catalog.UNBLOCKED_QUEUE, sum(row.runnable for row in waiting)),
            Reading(catalog.LONGEST_UNBLOCKED, longest_s or 0.0),
            *_of_workers(online, now),
            Reading(catalog.DISPATCHING, float(dispatcher.assigns)),
            Reading(catalog.OVERDUE, schedules.overdue),
            *(reading for each in webhooks for reading in of_webhook(each)),
            Reading(catalog.DEAD_LETTERS, dead),
            Reading(catalog.PARKED, parked),
        ]

    def _of_process(self) -> Iterator[Reading]:
        yield Reading(catalog.STREAMS, len(self._seats))
        if self._watch is not None:
            found = Counter(finding.severity for finding in self._watch.report.findings)
            for severity in Severity:
                yield Reading(catalog.FINDINGS, found[severity], (severity.value,))


def _of_queue(row: QueueRow, now: datetime) -> Iterator[Reading]:
    label = (row.name,)
    yield Reading(catalog.RUNNABLE, row.runnable, label)
    yield Reading(catalog.BLOCKED, row.blocked, label)
    yield Reading(catalog.PARKED_IN_QUEUE, row.parked, label)
    yield Reading(catalog.RUNNING, row.running, label)
    yield Reading(catalog.UNSERVED, row.unserved, label)
    yield Reading(catalog.FREE_SLOTS, row.free_slots, label)
    waited_s = 0.0 if row.oldest_at is None else max(0.0, (now - row.oldest_at).total_seconds())
    yield Reading(catalog.OLDEST_WAIT, waited_s, label)


def of_webhook(each: WaitingDeliveries) -> Iterator[Reading]:
    """What waits for a subscription. Its parked tasks are apart: their events are no longer part of the backlog."""
    yield Reading(catalog.WEBHOOK_BACKLOG, each.events, (each.name,))
    yield Reading(catalog.WEBHOOK_BACKLOG_SECONDS, each.oldest_s, (each.name,))
    yield Reading(catalog.WEBHOOK_PARKED, each.parked_tasks, (each.name,))


def _of_workers(online: list[WorkerRow], now: datetime) -> Iterator[Reading]:
    yield Reading(catalog.WORKERS, len(online))
    for row in online:
        yield Reading(catalog.HEARTBEAT_AGE, max(0.0, (now - row.heartbeat_at).total_seconds()), (row.name,))
