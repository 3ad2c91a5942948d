"""How far another machine's clock is off, as far as a message to it and back can tell."""

from typing import NamedTuple


class Offset(NamedTuple):
    """The other clock is ahead of ours by something between these; both are negative where it is behind."""

    low_s: float
    high_s: float

    @classmethod
    def measured(cls, asked_s: float, theirs_s: float, answered_s: float) -> "Offset":
        """From their time, which they read after we asked and before we had the answer."""
        return cls(theirs_s - answered_s, theirs_s - asked_s)

    @property
    def least_s(self) -> float:
        """It is off by so much at least, in either direction."""
        return max(0.0, self.low_s, -self.high_s)

    @property
    def width_s(self) -> float:
        """How inexact this is: the time that the answer took."""
        return self.high_s - self.low_s

    def __str__(self) -> str:
        return f"at least {self.least_s:.1f} s {'ahead of' if self.low_s > 0 else 'behind'}"


class BrokerClock:
    """The most exact offset of the brokers' clock since it was last asked for."""

    def __init__(self) -> None:
        self._best: Offset | None = None

    def note(self, asked_s: float, theirs_s: float, answered_s: float) -> None:
        """A record was stamped in between."""
        best = self._best
        if best is None or answered_s - asked_s < best.width_s:
            self._best = Offset.measured(asked_s, theirs_s, answered_s)

    def take(self) -> Offset | None:
        """The offset; None if nothing was noted since the last call."""
        best, self._best = self._best, None
        return best
