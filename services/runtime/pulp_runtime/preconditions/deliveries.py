"""Whether subscriptions deliver: parked subscriptions, and parked tasks of subscriptions."""

from collections.abc import Iterable

import psycopg
from psycopg import AsyncConnection
from pulp_events.findings import Finding, Severity
from pulp_events.webhook import WebhookState
from pulp_projections.webhooks.reading import WaitingDeliveries, waiting_deliveries


async def look(connection: AsyncConnection) -> list[Finding]:
    """Subscriptions that are parked, wholly or for some tasks; nothing if this role may not know it."""
    try:
        return list(judge(await waiting_deliveries(connection)))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        return []


def judge(found: Iterable[WaitingDeliveries]) -> Iterable[Finding]:
    """What is wrong with these."""
    for each in found:
        if each.state is WebhookState.PARKED:
            yield _warning(
                "subscription-parked",
                each,
                f"the subscription is parked: {each.reason or 'no reason was given'}",
                f"its endpoint gets no events; {_events(each.events)} behind its place",
                f"mend the endpoint; then: pulp-admin subscriptions resume {each.name}",
            )
        if each.parked_tasks:
            tasks = "1 task is" if each.parked_tasks == 1 else f"{each.parked_tasks} tasks are"
            yield _warning(
                "subscription-tasks-parked",
                each,
                f"{tasks} parked, since the endpoint refused an event of each",
                "the endpoint does not get the later events of these tasks",
                f"see why: pulp-admin subscriptions show {each.name}; then: pulp-admin subscriptions redeliver"
                f" {each.name}",
            )


def _events(number: int) -> str:
    return "1 event is" if number == 1 else f"{number} events are"


def _warning(check: str, of: WaitingDeliveries, wrong: str, endangers: str, mend: str) -> Finding:
    return Finding(check, of.name, Severity.WARNING, wrong, endangers, mend)
