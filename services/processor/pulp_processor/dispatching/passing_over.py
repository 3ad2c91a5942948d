"""Which waiting tasks hold back no others, because nobody could run them for too long. Pure."""

from collections.abc import Iterable
from uuid import UUID

from pulp_processor.dispatching.tables import Offered
from pulp_processor.dispatching.waiting import WaitingTask


def passed_over(tasks: Iterable[WaitingTask], offered: Offered) -> set[UUID]:
    """Those that have waited since `offered.since` and that nobody could run since; and those that depend on them."""
    waiting = list(tasks)
    found = {
        task.task_id for task in waiting if task.offer not in offered.offers and task.order.accepted_at <= offered.since
    }
    rest = [task for task in waiting if task.unmet] if found else []
    while more := {task.task_id for task in rest if task.task_id not in found and not task.unmet.isdisjoint(found)}:
        found |= more
    return found
