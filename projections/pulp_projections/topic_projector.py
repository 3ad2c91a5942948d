"""Writing the events of an ordered topic into Postgres, rows and position in one transaction, so each event exactly
once. Schedules and subscriptions have a projector each.
"""

from collections.abc import Mapping, Sequence
from typing import LiteralString, NamedTuple

from psycopg import AsyncConnection
from pulp_events.errors import PulpError, TopicMismatch
from pulp_events.ordered_topic import TopicRange
from pulp_events.reader import Record


class PositionMoved(PulpError):
    """The position in Postgres is not the one reached here; nothing was written. Locate, and read again."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the position of the {what} in Postgres is another one")


class Words(NamedTuple):
    """The words for a topic's contents in messages."""

    plural: str
    consequence: str
    """What stops while the topic is the wrong one."""
    rebuild: str
    """The command that empties the tables."""


class TopicProjector:
    """Projects a topic over one connection in autocommit mode. Call `locate` first, and after errors."""

    def __init__(self, connection: AsyncConnection, topic: str, sql: Mapping[str, LiteralString], words: Words) -> None:
        """`sql` has the statements `adopt`, `topic` and `fence`."""
        self.next_offset = 0
        """The position: the offset of the next record."""
        self._connection, self._topic, self._sql, self._words = connection, topic, sql, words
        self._topic_id = ""

    async def locate(self, found: TopicRange) -> int:
        """Read the position. Raises `TopicMismatch` if the rows are of another topic, or go beyond its end."""
        values = {"name": self._topic, "topic_id": found.topic_id}
        await self._connection.execute(self._sql["adopt"], values)
        row = await (await self._connection.execute(self._sql["topic"])).fetchone()
        assert row is not None
        name, topic_id, next_offset = row
        plural, consequence, rebuild = self._words
        if topic_id != found.topic_id:
            raise TopicMismatch(
                f"topic {self._topic} (id {found.topic_id}) is not the one that the {plural} in Postgres are from"
                f" ({name}, id {topic_id}): {consequence}. If it is the right one: {rebuild}"
            )
        if not found.begin <= next_offset <= found.end:
            raise TopicMismatch(
                f"topic {self._topic} holds the offsets {found.begin} to {found.end}, and {next_offset} comes next:"
                f" {consequence}. Restore the topic; or, if it is the right one: {rebuild}"
            )
        self._topic_id, self.next_offset = topic_id, next_offset
        return self.next_offset

    async def project(self, records: Sequence[Record]) -> int:
        """Write the records that are not written yet; returns the position after them. Raises `PositionMoved`."""
        rest = [record for record in records if record.offset >= self.next_offset]
        if not rest:
            return self.next_offset
        end = rest[-1].offset + 1
        async with self._connection.transaction():
            values = {"expected": self.next_offset, "end": end, "topic_id": self._topic_id}
            if not await (await self._connection.execute(self._sql["fence"], values)).fetchall():
                raise PositionMoved(self._words.plural)
            for record in rest:
                await self._write(record)
        self.next_offset = end
        return end

    async def check_position(self) -> None:
        """Raises `PositionMoved` if the position in Postgres is another one, such as after a failover."""
        row = await (await self._connection.execute(self._sql["topic"])).fetchone()
        if row is None or row[2] != self.next_offset:
            raise PositionMoved(self._words.plural)

    async def _write(self, record: Record) -> None:
        raise NotImplementedError
