"""Whether tasks are parked because a record of theirs cannot be projected."""

import psycopg
from psycopg import AsyncConnection
from pulp_events.findings import Finding, Severity
from pulp_projections.reading.trust import parked_tasks


async def look(connection: AsyncConnection) -> list[Finding]:
    """Reports parked tasks; nothing if this role may not know about them."""
    try:
        number = await parked_tasks(connection)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        return []
    return judge(number)


def judge(number: int) -> list[Finding]:
    """The finding for this many parked tasks."""
    if not number:
        return []
    tasks = "1 task is" if number == 1 else f"{number} tasks are"
    return [
        Finding(
            "tasks-parked",
            "dead letters",
            Severity.WARNING,
            f"{tasks} parked: a record of each cannot be projected",
            "they do not go on, and keep what they hold; with more than PULP_MOST_PARKED_TASKS no processor runs",
            "see why: pulp-tasks dead-letters list; then retry or discard the records",
        )
    ]
