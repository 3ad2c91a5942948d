"""Tasks that are assigned to a worker, with the rows that the dispatcher writes."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from psycopg import AsyncConnection


async def hold(
    connection: AsyncConnection,
    worker: str = "w1",
    instance_id: UUID | None = None,
    uses: Mapping[str, bool] | None = None,
) -> UUID:
    """A slot of the worker, in use with these resources: name → whether exclusively."""
    hold_id = uuid4()
    await connection.execute(
        "insert into holds (hold_id, worker, instance_id) values (%s, %s, %s)",
        [hold_id, worker, instance_id or uuid4()],
    )
    for resource, exclusive in (uses or {}).items():
        await connection.execute(
            "with n as (select next_fencing_token() as token)"
            " insert into reservations (hold_id, resource, exclusive, token, slot)"
            " select %s, %s, %s, token,"
            "        case when %s then int8range(null, null) else int8range(token, token, '[]') end from n",
            [hold_id, resource, exclusive, exclusive],
        )
    return hold_id


async def claim(
    connection: AsyncConnection,
    hold_id: UUID,
    task_id: UUID,
    *,
    attempt: int = 1,
    attempt_id: UUID | None = None,
    partition: int = 0,
) -> UUID:
    """The next task of a hold; the id of its attempt.

    The first one's tokens are those of the reservations, those of later ones are higher.
    """
    attempt_id = attempt_id or uuid4()
    await connection.execute(
        """
        with next as (select count(*) as place from claims where hold_id = %(hold)s)
        insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, place, tokens)
        select %(task)s, %(attempt)s, %(attempt_id)s, h.worker, h.instance_id, %(partition)s, h.hold_id, n.place,
               array(select case n.place when 0 then r.token else next_fencing_token() end
                       from reservations r where r.hold_id = h.hold_id order by r.resource)
          from holds h, next n where h.hold_id = %(hold)s
        """,
        {"hold": hold_id, "task": task_id, "attempt": attempt, "attempt_id": attempt_id, "partition": partition},
    )
    return attempt_id


async def assign(
    connection: AsyncConnection,
    *task_ids: UUID,
    worker: str = "w1",
    instance_id: UUID | None = None,
    uses: Mapping[str, bool] | None = None,
    attempt: int = 1,
    attempt_id: UUID | None = None,
) -> UUID:
    """One hold with these tasks, in this order; its id. `attempt_id` is the first one's."""
    hold_id = await hold(connection, worker, instance_id, uses)
    for task_id in task_ids:
        await claim(connection, hold_id, task_id, attempt=attempt, attempt_id=attempt_id)
        attempt_id = None
    return hold_id
