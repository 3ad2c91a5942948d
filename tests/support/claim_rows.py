"""Random rows of tasks, and of claims with their holds, with the columns that the dispatcher reads."""

from dataclasses import dataclass
from uuid import UUID

from hypothesis import strategies as st
from psycopg import AsyncConnection

KNOWN = ["sync", "publish"]
QUEUES = ("default", "slow")


@dataclass(frozen=True)
class Row:
    """A task, with what the dispatcher reads. `uses`: (resource, is exclusive), as submitted, possibly with duplicates."""

    state: str
    operation: str
    queue: str
    priority: int
    accepted_s: int
    partition: int
    uses: tuple[tuple[str, bool], ...]
    depends_on: tuple[int, ...]
    claim: str | None
    """None, `held` or `released`."""


rows = st.lists(
    st.builds(
        Row,
        state=st.sampled_from(["waiting"] * 6 + ["running", "cancelling", "successful", "failed"]),
        operation=st.sampled_from(["sync", "sync", "publish", "unknown"]),
        queue=st.sampled_from(["default", "default", "slow", "other"]),
        priority=st.sampled_from([0, 0, 0, 5, -5]),
        accepted_s=st.integers(0, 3),
        partition=st.integers(0, 1),
        uses=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=3).map(tuple),
        depends_on=st.lists(st.integers(0, 20), max_size=2).map(tuple),
        claim=st.sampled_from([None, None, None, "held", "released"]),
    ),
    max_size=14,
)


@dataclass(frozen=True)
class Placed:
    """A row with its place in the log and its id."""

    row: Row
    task_id: UUID
    offset: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Order of acceptance."""
        return (self.row.accepted_s, self.row.partition, self.offset)

    @property
    def modes(self) -> dict[str, bool]:
        """Resource → is exclusive."""
        found: dict[str, bool] = {}
        for resource, exclusive in self.row.uses:
            found[resource] = found.get(resource, False) or exclusive
        return found

    def conflicts(self, other: "Placed") -> bool:
        """Whether the two may not run at once."""
        return any(mode or other.modes[key] for key, mode in self.modes.items() if key in other.modes)


async def insert(connection: AsyncConnection, task: Placed, depends_on: list[UUID]) -> None:
    row = task.row
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           values (%s, %s, %s, '{}', '[]', %s, %s, '{}', %s, %s, %s, 'user:x', %s, now(), %s, %s, 0, 1, 0, false, 0,
               '{}', 'null')""",
        [
            task.task_id,
            row.state,
            row.operation,
            [resource for resource, exclusive in row.uses if exclusive],
            [resource for resource, exclusive in row.uses if not exclusive],
            row.queue,
            row.priority,
            depends_on,
            f"2026-11-24T12:00:{row.accepted_s:02}Z",
            row.partition,
            task.offset,
        ],
    )
    exclusive = {resource for resource, is_exclusive in row.uses if is_exclusive}
    shared = {resource for resource, is_exclusive in row.uses if not is_exclusive}
    await connection.execute(
        """insert into generation_1.task_resources (resource, access, accepted_at, task_id)
           select u.resource, u.access::"char", t.accepted_at, t.task_id
             from generation_1.tasks t, unnest(%s::text[], %s::text[]) as u (resource, access) where t.task_id = %s""",
        [
            [*exclusive, *shared],
            [*("e" for _ in exclusive), *("b" if resource in exclusive else "s" for resource in shared)],
            task.task_id,
        ],
    )
