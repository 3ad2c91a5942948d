"""Print the result of healing a task, and record the action."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulp_console.escaping import one_line
from pulp_console.output import hint

from pulp_deploy.commands import comparison
from pulp_deploy.commands.target import Target

if TYPE_CHECKING:
    from pulp_processor.rebuilding.heal import Healed
    from pulp_processor.settings import Settings

PATIENCE_S: Final = 2.0
"""From when on progress is shown."""
_MOST_LINES: Final = 20


def as_value(found: "Healed", is_published: bool) -> dict[str, Any]:
    """The value for scripts."""
    return {
        "task_id": str(found.task_id),
        "generation": found.generation,
        "position": str(found.position),
        "events": found.events,
        "replaced": found.is_replaced,
        "published": is_published,
        "differences": [comparison.values_of(each) for each in found.differences],
    }


def page(found: "Healed", is_published: bool) -> list[str]:
    """The page for people."""
    from pulp_processor.rebuilding.compare import short

    lines = [
        f"task {found.task_id}: {found.events} events in partition {found.position.partition},"
        f" before offset {found.position.offset}"
    ]
    for each in found.differences[:_MOST_LINES]:
        what = f"{each.table} {':'.join(each.key)}: {each.column}"
        lines.append(one_line(f"  {what} is {short(each.active)}; the log says {short(each.other)}"))
    if (more := len(found.differences) - _MOST_LINES) > 0:
        lines.append(f"  ... {more} more")
    if not found.differences:
        return [*lines, "equal: nothing had to be replaced"]
    if not found.is_replaced:
        return [*lines, "not equal; nothing was changed"]
    lines.append("replaced by what the log says")
    return [*lines, "its state is published again"] if is_published else lines


def publish(settings: "Settings", found: "Healed") -> bool:
    """Publish the state of the task again, and say whether that was done; a remark if Kafka does not take it."""
    from psycopg import Error
    from pulp_events.errors import PulpError
    from pulp_processor.publishing.publisher import publish_again

    columns = [each for each in found.differences if (each.table, each.column) == ("tasks", "partition")]
    former = [int(str(each.active)) for each in columns]
    publishing = publish_again(
        settings.kafka, settings.topics, settings.postgres, found.task_id, found.position.partition, former
    )
    try:
        return asyncio.run(publishing)
    except (PulpError, Error) as error:
        hint(
            f"The rows are replaced, but the topic {settings.topics.states} may still have the earlier state: {error}."
            " To publish every task again: pulp-tasks states rebuild"
        )
        return False


def audit(data: Path | None, found: "Healed") -> None:
    """Record who has replaced the rows, and which; a remark if Kafka does not take the record."""
    from pulp_events.audit import What

    from pulp_deploy.audit_trail import audit_change

    target = Target.find(data)
    columns = ", ".join(sorted({f"{each.table}.{each.column}" for each in found.differences}))
    detail = f"generation {found.generation}, at {found.position}: {columns}"
    fault = audit_change(target.need_kafka(), target.topics, What.TASK_HEALED, target=str(found.task_id), detail=detail)
    if fault is not None:
        hint(f"The rows are replaced, but this is not in the audit: {fault}")
