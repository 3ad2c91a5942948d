"""Appending to the topic of schedules."""

from typing import Protocol

from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.ordered_topic import OrderedLog
from pulp_events.schedule_codec import encode_schedule_event, schedule_key
from pulp_events.schedule_events import ScheduleEvent


class ScheduleLog(Protocol):
    """Appends the events of schedules."""

    async def append(self, event: ScheduleEvent) -> int:
        """See `OrderedLog.append`."""
        ...


class KafkaScheduleLog(OrderedLog[ScheduleEvent]):
    """A `ScheduleLog` on Kafka."""

    def __init__(self, log: KafkaLog, servers: Servers, topic: str) -> None:
        super().__init__(log, servers, topic, lambda event: schedule_key(event.schedule_id), encode_schedule_event)
