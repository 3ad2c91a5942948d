"""The recent answers of a server: when it may be asked again, and whether it is given up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MOST_DISAPPOINTMENTS: Final = 3
_FEWEST_FAILURES: Final = 3
_MOST_LOST_S: Final = 60.0


def is_hopeless(failures: int, lost_s: float, most_failures: int) -> bool:
    """Whether this many consecutive failures are enough. Fewer suffice if each took long, as with a server that
    hangs."""
    return failures >= most_failures or (failures >= _FEWEST_FAILURES and lost_s >= _MOST_LOST_S)


@dataclass
class Standing:
    """One server, for all requests of a task. Times are in seconds of one clock.

    Requests that run at the same time fail at the same time: those that began before a failure was known count with
    it. A failure counts once in a round, and after each round the server rests for a longer while.
    """

    rounds: int = 0
    """Consecutive failures, without a success between them."""
    ready_s: float = 0.0
    """When it may be asked again."""
    disappointments: int = 0
    """Consecutive files that were missing or did not match."""
    lost_s: float = 0.0
    """How long the requests of these rounds took until they failed."""
    _last_failed_s: float = float("-inf")

    def succeeded(self) -> None:
        """The server has sent the requested file, or a part of it."""
        self.rounds = self.disappointments = 0
        self.ready_s = self.lost_s = 0.0

    def disappointed(self) -> None:
        """The server has answered, but not with the requested file."""
        self.rounds = 0
        self.ready_s = self.lost_s = 0.0
        self.disappointments += 1

    def failed(self, *, began_s: float, now_s: float, pauses_s: Sequence[float], asked_pause_s: float) -> None:
        """A request that began then has failed. `asked_pause_s` is how long the server asks to be left alone."""
        if began_s >= self._last_failed_s:
            self.rounds += 1
            self.lost_s += now_s - began_s
            self._last_failed_s = now_s
        pause_s = pauses_s[min(self.rounds, len(pauses_s)) - 1] if pauses_s else 0.0
        self.ready_s = max(self.ready_s, now_s + max(pause_s, asked_pause_s))

    def is_down(self, most_rounds: int, latest_s: float) -> bool:
        """Whether it is given up: it has failed too often in a row, or asks to be left alone until after `latest_s`."""
        return is_hopeless(self.rounds, self.lost_s, most_rounds) or self.ready_s > latest_s

    @property
    def is_disappointing(self) -> bool:
        """Whether other servers are asked before it."""
        return self.disappointments >= _MOST_DISAPPOINTMENTS
