"""A place in the log as one string, which every door returns and accepts: subscriptions, streams, commands, webhooks.

The text is the topic's id and the next offset of each partition, with dots between them: `TOPIC_ID.12.0.7.103`. It
needs no quotes in a shell or a URL. A topic that was deleted and created again has another id, so a cursor never names
the wrong records.
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from pulp_events.errors import BadInput, OffsetOutOfRange, TopicMismatch
from pulp_events.task import Position

_TEXT: Final = re.compile(r"([A-Za-z0-9_-]{22})((?:\.(?:0|[1-9][0-9]{0,18}))+)", re.ASCII)
"""No time and no other word of a start looks like this."""
_TO_TEXT: Final = str.maketrans("+/", "-_")
"""Kafka's client for C writes a topic's id with `+` and `/`; Kafka's own commands write it like this."""
_FROM_TEXT: Final = str.maketrans("-_", "+/")
_END: Final = 2**63
_EXAMPLE_TIME: Final = "2026-11-24T12:00:00Z"


class Cursor(NamedTuple):
    """A place between the records of the log: the topic, and the next offset of every partition."""

    topic_id: str
    """As `TopicInfo.topic_id` has it."""
    offsets: tuple[int, ...]

    @classmethod
    def at(cls, topic_id: str, positions: Mapping[int, int]) -> "Cursor":
        """The cursor of next offsets by partition; every partition must be present."""
        return cls(topic_id, tuple(positions[partition] for partition in range(len(positions))))

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor that `str` wrote. Raises `BadInput` for any other text.

        It takes the ids of streams of release 0.1 too: base64url of JSON.
        """
        found = _TEXT.fullmatch(text)
        offsets = tuple(map(int, found[2][1:].split("."))) if found else ()
        if found is None or max(offsets) >= _END:
            return _parse_old(text)
        return cls(found[1].translate(_FROM_TEXT), offsets)

    @property
    def positions(self) -> dict[int, int]:
        """Partition → next offset."""
        return dict(enumerate(self.offsets))

    def past(self, position: Position) -> "Cursor":
        """The cursor just after a record, and unchanged for the other partitions."""
        partition, offset = position
        return self._replace(offsets=(*self.offsets[:partition], offset + 1, *self.offsets[partition + 1 :]))

    def check(self, topic_id: str, ends: Mapping[int, int]) -> None:
        """Raises `TopicMismatch` for a cursor of another topic, `OffsetOutOfRange` for one that is ahead of the log."""
        if self.topic_id != topic_id or len(self.offsets) != len(ends):
            raise TopicMismatch(
                "this cursor belongs to another topic, or the topic was created again: it means nothing here. Start"
                " from the beginning, from now or from a time"
            )
        for partition, offset in enumerate(self.offsets):
            if offset > ends[partition]:
                raise OffsetOutOfRange(
                    f"this cursor is at {Position(partition, offset)}, and the log ends at"
                    f" {Position(partition, ends[partition])}: it was cut at its end, or the topic was created again."
                    " Start from the beginning, from now or from a time"
                )

    def check_begin(self, begins: Mapping[int, int]) -> None:
        """Raises `OffsetOutOfRange` if the log, which begins at these offsets, has lost records after the cursor."""
        for partition, offset in enumerate(self.offsets):
            if offset < begins[partition]:
                raise OffsetOutOfRange(
                    f"event {Position(partition, offset)} comes next, and the log begins at"
                    f" {Position(partition, begins[partition])}: Kafka has deleted the events between, as it keeps them"
                    " for a limited time. Start from the beginning, from now or from a time"
                )

    def __str__(self) -> str:
        return ".".join((self.topic_id.translate(_TO_TEXT), *map(str, self.offsets)))


def _parse_old(text: str) -> Cursor:
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = Cursor(*msgspec.json.decode(decoded, type=tuple[str, tuple[int, ...]]))
    except (NotBase64, ValueError, msgspec.MsgspecError, RecursionError):
        raise _no_cursor(text) from None
    if not cursor.offsets or not all(0 <= offset < _END for offset in cursor.offsets):
        raise _no_cursor(text)
    return cursor


def _no_cursor(text: str) -> BadInput:
    return BadInput(f"{text!r} is not a cursor: it looks like TOPIC_ID.12.0.7, with the next offset of each partition")


Edge: TypeAlias = Literal["beginning", "now"]
"""An edge of the log: its first remaining record, or its end."""
Start: TypeAlias = Edge | datetime | Cursor
"""Where to begin: at an edge of the log, with the first record at or after a broker time, or at a cursor."""
_EDGES: Final[Mapping[str, Edge]] = {edge: edge for edge in get_args(Edge)}


def parse_start(text: str) -> Start:
    """Where to begin, from `beginning`, `now`, a time in RFC 3339 with its zone, or a cursor. Raises `BadInput`."""
    if edge := _EDGES.get(text):
        return edge
    try:
        return Cursor.parse(text)
    except BadInput:
        pass
    try:
        return checked_time(datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # a zone can move a time out of the range of datetime
        raise BadInput(
            f"since={text}: expected is beginning, now, a time with its zone such as {_EXAMPLE_TIME}, or a cursor"
        ) from None


def checked_time(time: datetime) -> datetime:
    """The time in UTC. Raises `BadInput` for one without a zone."""
    if time.tzinfo is None:
        raise BadInput(f"since={time.isoformat()}: a time with its zone is expected, such as {_EXAMPLE_TIME}")
    return time.astimezone(UTC)
