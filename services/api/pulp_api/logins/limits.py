"""Limits on failed logins: which attempts may check a password now, and in which order. No I/O; the clock is an
argument.

Credentials that were checked a moment ago are not limited. For all others:

- Failures of one name from one site are limited. The same name from elsewhere is not: nobody can lock a user out from
  another address.
- A site with many failures, whatever the names, is served after the others. A connection that has failed itself is
  refused; a new one is not, so that a person behind the same NAT as an attacker can still log in.
- A user who has logged in from a site before has attempts of their own there, on a new connection.

Memory is bounded: the least recently used entries are forgotten.
"""

from enum import IntEnum
from typing import Final

from pulp_accounts.user_names import normal_name
from pulp_events.errors import PulpError

from pulp_api.logins.basic import RequestOrigin
from pulp_api.logins.recent import Recent

MOST: Final = 10_000
"""The most entries of each kind."""
PAIR_BURST, PAIR_EVERY_S = 10, 10.0
"""Failures allowed for a name from a site: a burst, then one in this many seconds."""
SITE_BURST, SITE_EVERY_S = 100, 1.0
"""The same for a site, whatever the names."""
SLOW_AFTER: Final = 3
"""After this many failures of a name from a site the answer to a wrong password is delayed."""


class LoginsLimited(PulpError):
    """Too many logins failed, or too many wait. `retry_after_s` is a whole number of seconds."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1, int(retry_after_s + 0.999))
        super().__init__(f"Too many failed logins: try again in {self.retry_after_s} s.")


class Lane(IntEnum):
    """The order in which waiting logins are checked."""

    FAMILIAR = 0
    """The user has logged in from this site before."""
    USUAL = 1
    SUSPECT = 2
    """Many logins from this site failed."""
    AGAIN = 3
    """As SUSPECT, and the connection was refused before because too many waited."""


class Buckets:
    """Token buckets: each key has `burst` tokens, and regains one every `every_s` seconds."""

    def __init__(self, burst: int, every_s: float, most: int = MOST) -> None:
        self._burst, self._every_s = burst, every_s
        self._used: Recent[tuple[str, ...], tuple[float, float]] = Recent(most)

    def used(self, key: tuple[str, ...], now_s: float) -> float:
        """How many tokens are missing."""
        used, at_s = self._used.get(key) or (0.0, now_s)
        return max(0.0, used - (now_s - at_s) / self._every_s)

    def wait_s(self, key: tuple[str, ...], now_s: float) -> float:
        """Seconds until a token is available; 0 if one is."""
        return max(0.0, self.used(key, now_s) - (self._burst - 1)) * self._every_s

    def take(self, key: tuple[str, ...], now_s: float) -> None:
        """Take a token."""
        self._put(key, min(self._burst, self.used(key, now_s) + 1), now_s)

    def give_back(self, key: tuple[str, ...], now_s: float) -> None:
        """Put a token back."""
        self._put(key, self.used(key, now_s) - 1, now_s)

    def forget(self, key: tuple[str, ...]) -> None:
        """Fill the bucket of the key."""
        self._used.pop(key)

    def _put(self, key: tuple[str, ...], used: float, now_s: float) -> None:
        if used > 0:
            self._used.put(key, (used, now_s))
        else:
            self._used.pop(key)


class LoginAttempt:
    """An admitted attempt. The caller reports its outcome with one of the methods."""

    def __init__(
        self, limits: "LoginLimits", name: str, origin: RequestOrigin, lane: Lane, is_second_chance: bool
    ) -> None:
        self._limits, self._name, self._origin, self._is_second = limits, name, origin, is_second_chance
        self.lane, self.site = lane, origin.site

    def succeeded(self) -> None:
        """The password was right: forget the failures of this name from this site."""
        self._limits.succeed(self._name, self._origin)

    def failed(self, now_s: float) -> bool:
        """The password was wrong. Returns whether the answer should be delayed."""
        return self._limits.fail(self._name, self._origin, now_s)

    def undone(self, now_s: float) -> None:
        """The password was not checked."""
        self._limits.undo(self._name, self._origin, now_s, is_second_chance=self._is_second)

    def refused(self) -> None:
        """The attempt was refused because too many waited. The caller also reports `undone`."""
        self._limits.refuse(self._origin)


class LoginLimits:
    """Failed logins by name and site."""

    def __init__(self, most: int = MOST) -> None:
        self._pairs = Buckets(PAIR_BURST, PAIR_EVERY_S, most)
        self._second_chances = Buckets(PAIR_BURST, PAIR_EVERY_S, most)
        self._sites = Buckets(SITE_BURST, SITE_EVERY_S, most)
        self._familiar: Recent[tuple[str, ...], None] = Recent(most)
        self._failed_connections: Recent[RequestOrigin, None] = Recent(most)
        self._refused_connections: Recent[RequestOrigin, None] = Recent(most)

    def admit(self, name: str, origin: RequestOrigin, now_s: float) -> LoginAttempt:
        """Admit an attempt. It counts as a failure until reported otherwise. Raises `LoginsLimited`."""
        pair, site = _pair(name, origin), (origin.site,)
        is_new = origin.port != 0 and origin not in self._failed_connections
        is_familiar = pair in self._familiar
        buckets, wait_s = self._pairs, self._pairs.wait_s(pair, now_s)
        if wait_s and is_new and is_familiar:
            buckets, wait_s = self._second_chances, self._second_chances.wait_s(pair, now_s)
        site_wait_s = self._sites.wait_s(site, now_s)
        if wait_s or (site_wait_s and not is_new):
            raise LoginsLimited(max(wait_s, site_wait_s))
        buckets.take(pair, now_s)
        lane = Lane.FAMILIAR if is_familiar else self._suspicion(origin) if site_wait_s else Lane.USUAL
        return LoginAttempt(self, name, origin, lane, buckets is self._second_chances)

    def _suspicion(self, origin: RequestOrigin) -> Lane:
        return Lane.AGAIN if origin in self._refused_connections else Lane.SUSPECT

    def succeed(self, name: str, origin: RequestOrigin) -> None:
        """See `LoginAttempt.succeeded`."""
        pair = _pair(name, origin)
        self._pairs.forget(pair)
        self._second_chances.forget(pair)
        self._familiar.put(pair, None)

    def fail(self, name: str, origin: RequestOrigin, now_s: float) -> bool:
        """See `LoginAttempt.failed`."""
        self._sites.take((origin.site,), now_s)
        self._failed_connections.put(origin, None)
        return self._pairs.used(_pair(name, origin), now_s) > SLOW_AFTER

    def refuse(self, origin: RequestOrigin) -> None:
        """See `LoginAttempt.refused`."""
        self._refused_connections.put(origin, None)

    def undo(self, name: str, origin: RequestOrigin, now_s: float, *, is_second_chance: bool) -> None:
        """See `LoginAttempt.undone`."""
        buckets = self._second_chances if is_second_chance else self._pairs
        buckets.give_back(_pair(name, origin), now_s)


def key_of(name: str) -> str:
    """The same key for every spelling of a name that logs in the same user."""
    return normal_name(name).casefold()


def _pair(name: str, origin: RequestOrigin) -> tuple[str, ...]:
    return key_of(name), origin.site
