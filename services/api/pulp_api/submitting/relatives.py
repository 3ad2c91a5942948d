"""The tasks that a submission names: its parent, and those that it depends on."""

from pulp_events.errors import BadInput
from pulp_events.events import Accepted, Access
from pulp_projections.reading import queries
from pulp_projections.reading.queries import Ancestor

from pulp_api.caller import Visible
from pulp_api.freshness import Freshness, behind
from pulp_api.logins.auth import Connect


async def check_relatives(
    data: Accepted, connect: Connect, freshness: Freshness, visible: Visible | None = None
) -> None:
    """Raises `BadInput` for a task that does not exist, or for whose end the new task would wait for ever.

    A task that is not `visible` is as if it did not exist.
    Raises `ReadModelUnavailable` if the projection is too far behind to tell.
    """
    wanted = [*data.depends_on, *([] if data.parent_id is None else [data.parent_id])]
    if not wanted:
        return
    lag = await freshness.catch_up()
    async with connect() as connection:
        known = await queries.known_tasks(connection, wanted)
        if visible is not None:
            known = await visible(connection, known)
        ancestors = [] if data.parent_id is None else await queries.unfinished_ancestors(connection, data.parent_id)
    missing = [str(task_id) for task_id in wanted if task_id not in known]
    if missing:
        raise behind(lag) if lag is not None else BadInput(f"no such task: {', '.join(missing)}")
    for ancestor in ancestors:
        check_ancestor(data, ancestor)


def check_ancestor(data: Accepted, ancestor: Ancestor) -> None:
    """Raises `BadInput` if the child would wait for an unfinished ancestor, which may itself wait for the child."""
    if ancestor.task_id in data.depends_on:
        raise BadInput(
            f"a task cannot depend on its unfinished parent {ancestor.task_id}: each would wait for the other"
        )
    for resource in data.resources:
        is_exclusive = resource.access is Access.EXCLUSIVE
        if resource.key in ancestor.exclusive_resources or (is_exclusive and resource.key in ancestor.shared_resources):
            raise BadInput(
                f"the parent task {ancestor.task_id} holds resource {resource.key} until it ends: a child that needs it"
                " cannot run before. Leave the resource out, or submit the task without a parent"
            )
