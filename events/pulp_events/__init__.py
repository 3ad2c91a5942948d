"""The contract of Pulp Tasks: its events, the task they fold into, and the log they are in."""

from pulp_events.errors import PulpError
from pulp_events.events import (
    Accepted,
    Access,
    CancelRequested,
    Event,
    Finished,
    Outcome,
    Progress,
    Resource,
    Started,
    TaskError,
    UnknownEvent,
    json_value,
)
from pulp_events.subscription import Received, Subscription, subscribe
from pulp_events.task import FINAL, Ignored, Position, Reason, State, Task, evolve

__all__ = [
    "FINAL",
    "Accepted",
    "Access",
    "CancelRequested",
    "Event",
    "Finished",
    "Ignored",
    "Outcome",
    "Position",
    "Progress",
    "PulpError",
    "Reason",
    "Received",
    "Resource",
    "Started",
    "State",
    "Subscription",
    "Task",
    "TaskError",
    "UnknownEvent",
    "evolve",
    "json_value",
    "subscribe",
]
