"""Whether waiting tasks can ever run (is there a dispatcher, are there workers), and whether schedules run."""

from datetime import UTC, datetime

import psycopg
from psycopg import AsyncConnection
from pulp_events.findings import Finding, Severity
from pulp_projections.schedules.reading import LATE_S, SchedulesHealth, schedules_health
from pulp_projections.workers import Dispatching, Unserved, dispatching, unserved


async def look(connection: AsyncConnection) -> list[Finding]:
    """What keeps tasks waiting for ever, and schedules from running; [] if this role may not read it."""
    try:
        found = [_unserved(each) for each in await unserved(connection)]
        cursor = await connection.execute("select exists (select from tasks where state = 'waiting')")
        [(does_wait,)] = await cursor.fetchall()
        if does_wait and not (dispatcher := await dispatching(connection)).assigns:
            found.append(_not_dispatching(dispatcher))
        health = await schedules_health(connection, late_s=LATE_S)
        if health.overdue:
            found.append(_overdue(health))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        return []
    return found


def _not_dispatching(dispatcher: Dispatching) -> Finding:
    if dispatcher.settles:
        return Finding(
            "dispatch-settling",
            "dispatch",
            Severity.WARNING,
            "tasks wait, and the processor that assigns them has just taken over: it waits until the events in the log"
            " as of then are projected, and workers have reported what they run",
            "no task starts before that",
            "wait; if it lasts for minutes, look at the lag, and at the log of the processors (logger pulp.dispatcher)",
        )
    return Finding(
        "dispatch-stopped",
        "dispatch",
        Severity.WARNING,
        "tasks wait, and no processor assigns them to workers",
        "no task starts",
        "start one: pulp-tasks processor",
    )


def _overdue(health: SchedulesHealth) -> Finding:
    number = "1 schedule is" if health.overdue == 1 else f"{health.overdue} schedules are"
    return Finding(
        "schedules-overdue",
        "schedules",
        Severity.WARNING,
        f"{number} overdue, by up to {health.overdue_s or 0:.0f} s",
        "their tasks are not submitted",
        "look at the log of the processors (logger pulp.scheduler); without one: pulp-tasks processor",
    )


def _unserved(found: Unserved) -> Finding:
    tasks = "1 task waits" if found.waiting == 1 else f"{found.waiting} tasks wait"
    last = ""
    if found.last_worker is not None and found.until is not None:
        last = f"; worker {found.last_worker} did, until {_time_text(found.until)}"
    cancel = f"or cancel them: pulp-admin tasks cancel --all --queue {found.queue}"
    if found.operation is None:
        return Finding(
            "queue-unserved",
            found.queue,
            Severity.WARNING,
            f"{tasks} in this queue, which no live worker serves{last}",
            "they do not start",
            f"start a worker: pulp-tasks worker --queue {found.queue}; {cancel}",
        )
    return Finding(
        "operation-unserved",
        found.operation,
        Severity.WARNING,
        f"{tasks} for this operation in the queue {found.queue}, and no live worker of it offers the operation{last}",
        "they do not start",
        f"install the package of the operation where workers run, and restart them; {cancel}"
        f" --operation {found.operation}",
    )


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
