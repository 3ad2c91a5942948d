"""The target of a batch: a generation, and a position in a partition that must still be current.

The fence keeps a batch from being written twice. It moves the position in the same transaction as the rows, and only if
the position is still the one before the batch.
"""

from typing import Final, LiteralString, NamedTuple, Protocol

from psycopg import AsyncConnection
from pulp_events.errors import PulpError

from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

_PARTS: Final = load("pulp_projections.writing", "target.sql")
_FENCE: Final = _PARTS["fence"]
GUARDS: Final[dict[str, LiteralString]] = {
    "guards": load("pulp_projections.writing", "target.sql", {"fence": _FENCE})["guards"],
    "outcome": _PARTS["outcome"],
}
"""The guards of the live projection, as common table expressions, and the columns that tell whether they hold."""
_SQL: Final = load("pulp_projections.writing", "target.sql", GUARDS)


class OutOfPlace(PulpError):
    """The batch does not continue the position in Postgres; nothing was written. Seek to the position and go on."""


class FenceLost(OutOfPlace):
    """Another processor has moved the partition's position, or a task of the partition was healed."""


class GapInBatch(OutOfPlace):
    """The batch starts after the position, or records are missing within it."""


class GenerationChanged(OutOfPlace):
    """Another generation of the read model is active now."""


class Located(NamedTuple):
    """The state of a projector. Its cached tasks are valid as long as this does not change."""

    generation: int
    next_offset: int
    heals: int = 0
    """How often a task of the partition was healed."""


class Place(NamedTuple):
    """The place of a batch."""

    generation: int
    partition: int
    expected: int
    """The position before the batch."""
    end: int
    """The position after the batch."""
    heals: int = 0
    """How often a task was healed before the tasks of the batch were read."""

    @property
    def payload(self) -> str:
        """The notifications for readers."""
        return f"{self.generation} {self.partition} {self.end}"

    def check(self, *, is_active: bool, is_free: bool) -> None:
        """Raises `GenerationChanged` or `FenceLost` unless both guards held."""
        if not is_active:
            raise GenerationChanged(f"generation {self.generation} is not the active one any more")
        if not is_free:
            raise FenceLost(
                f"partition {self.partition}: the position is not {self.expected} any more, or a task was healed"
            )


class Target(Protocol):
    """The generation that a projector writes."""

    @property
    def is_live(self) -> bool:
        """Whether readers and workers are notified, and dead letters are still to be sent."""
        ...

    async def locate(self, connection: AsyncConnection, partition: int) -> Located:
        """The generation and the position in it. From then on the connection is for that generation only."""
        ...

    async def enter(self, connection: AsyncConnection, place: Place) -> None:
        """Begin the transaction of a batch: move the position. Raises `OutOfPlace`."""
        ...


class ActiveGeneration:
    """The target of the live projection: whichever generation is active."""

    is_live = True

    async def locate(self, connection: AsyncConnection, partition: int) -> Located:
        """See `Target.locate`."""
        row = await (await connection.execute(_SQL["locate"], {"partition": partition})).fetchone()
        if row is None:
            raise PulpError(f"the read model has no position of partition {partition}: was it installed?")
        await prepare(connection, row[0])
        return Located(*row)

    async def enter(self, connection: AsyncConnection, place: Place) -> None:
        """See `Target.enter`."""
        values = {**place._asdict(), "payload": place.payload}
        row = await (await connection.execute(_SQL["enter"], values)).fetchone()
        assert row is not None
        place.check(is_active=row[0], is_free=row[1])


async def prepare(connection: AsyncConnection, generation: int) -> None:
    """Make a connection write the tables of a generation."""
    await connection.execute(_SQL["prepare"], {"schema": schema_of(generation)})


async def advance(connection: AsyncConnection, place: Place) -> None:
    """Move the position in a transaction that holds its generation by other means. Raises `FenceLost`."""
    cursor = await connection.execute(_FENCE, place._asdict())
    place.check(is_active=True, is_free=cursor.rowcount == 1)
