"""The offset of another machine's clock, as exactly as one round trip can tell."""

from typing import NamedTuple


class Offset(NamedTuple):
    """The other clock is ahead of ours by an amount in this range; it is behind if both are negative."""

    low_s: float
    high_s: float

    @classmethod
    def measured(cls, asked_s: float, theirs_s: float, answered_s: float) -> "Offset":
        """From the other clock's time, read between our question and its answer."""
        return cls(theirs_s - answered_s, theirs_s - asked_s)

    @property
    def least_s(self) -> float:
        """The smallest possible offset, in either direction."""
        return max(0.0, self.low_s, -self.high_s)

    @property
    def width_s(self) -> float:
        """The uncertainty: how long the round trip took."""
        return self.high_s - self.low_s

    def __str__(self) -> str:
        return f"at least {self.least_s:.1f} s {'ahead of' if self.low_s > 0 else 'behind'}"


class ServerClock:
    """The most exact offset of a server's clock since the last call of `take`."""

    def __init__(self) -> None:
        self._best: Offset | None = None

    def note(self, asked_s: float, theirs_s: float, answered_s: float) -> None:
        """Note that the server read its clock between these local times."""
        best = self._best
        if best is None or answered_s - asked_s < best.width_s:
            self._best = Offset.measured(asked_s, theirs_s, answered_s)

    def take(self) -> Offset | None:
        """The offset; None if nothing was noted since the last call."""
        best, self._best = self._best, None
        return best
