"""The contract of Pulp Tasks: its events, the task they fold into, and the log they are in.

The names below are imported on first use, so a program that needs only `pulp_events.errors` does not load Kafka.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pulp_events.async_subscription import AsyncSubscription, subscribe_async
    from pulp_events.cursor import Cursor, Start, parse_start
    from pulp_events.errors import PulpError
    from pulp_events.events import (
        Accepted,
        Access,
        AttemptFailed,
        CancelRequested,
        Event,
        Finished,
        Outcome,
        Progress,
        Purged,
        Resource,
        Retry,
        Started,
        TaskError,
        UnknownEvent,
        Unparked,
        json_value,
    )
    from pulp_events.filters import Filter
    from pulp_events.subscription import Received, Subscription, subscribe
    from pulp_events.task import FINAL, Ignored, Position, Reason, State, Task, evolve

_MODULES: Final = ("errors", "events", "task", "cursor", "filters", "subscription", "async_subscription")
"""Where the names are; the last two load Kafka's client."""

__all__ = [
    "FINAL",
    "Accepted",
    "Access",
    "AsyncSubscription",
    "AttemptFailed",
    "CancelRequested",
    "Cursor",
    "Event",
    "Filter",
    "Finished",
    "Ignored",
    "Outcome",
    "Position",
    "Progress",
    "PulpError",
    "Purged",
    "Reason",
    "Received",
    "Resource",
    "Retry",
    "Start",
    "Started",
    "State",
    "Subscription",
    "Task",
    "TaskError",
    "UnknownEvent",
    "Unparked",
    "evolve",
    "json_value",
    "parse_start",
    "subscribe",
    "subscribe_async",
]


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = vars(import_module(f"{__name__}.{module}"))
        if name in found:
            return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
