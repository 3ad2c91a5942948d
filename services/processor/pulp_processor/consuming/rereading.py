"""Reading a partition again from its position: how long to pause before, and when to give up."""

from typing import Final, NamedTuple

MOST_SEEKS: Final = 5
"""To the same position, without a commit between them; also how often at least another processor must have moved it."""
RIVAL_S: Final = 30.0
"""How long another processor may move the position. If a coordinator has lost its state, it gives the partitions away,
and the former owners learn of it only when a request times out."""
_PAUSES_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)


class Rereads(NamedTuple):
    """What happened since the last commit, as far as reading had to start over."""

    offset: int = -1
    seeks: int = 0
    """How often reading started over at this offset."""
    moves: int = 0
    """How often the offset had changed, so that another processor must have written."""
    first_s: float = 0.0
    last_s: float = 0.0

    def at(self, offset: int, now_s: float) -> "Rereads":
        """Reading starts over at the offset, which is the position in Postgres."""
        if not self.seeks:
            return Rereads(offset, 1, 0, now_s, now_s)
        if offset == self.offset:
            return self._replace(seeks=self.seeks + 1, last_s=now_s)
        return self._replace(offset=offset, seeks=1, moves=self.moves + 1, last_s=now_s)

    @property
    def pause_s(self) -> float:
        """How long to wait before reading: while another processor writes, each attempt is in vain."""
        return _PAUSES_S[min(self.moves, len(_PAUSES_S) - 1)]

    @property
    def reason_to_give_up(self) -> str | None:
        """Why reading it once more would be useless, if it would."""
        if self.seeks > MOST_SEEKS:
            return (
                f"it was read {MOST_SEEKS} times from its position, and does not continue there. The log lacks records:"
                " by compaction, or by a producer that writes in Kafka transactions, whose markers take offsets. This"
                " topic allows neither"
            )
        rival_s = self.last_s - self.first_s
        if self.moves >= MOST_SEEKS and rival_s >= RIVAL_S:
            return (
                f"another processor that is not in the consumer group has written the same database for {rival_s:.0f} s"
            )
        return None
