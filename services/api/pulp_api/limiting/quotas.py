"""Quotas: what each user may use of the API, by role and by user."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from pulp_accounts import quota_store
from pulp_accounts.quota_store import Taken, Unfinished
from pulp_accounts.quotas import DEFAULTS, Quota, quota_of
from pulp_accounts.users import Role
from pulp_events.audit import What
from pulp_events.errors import BadInput, LogUnavailable, PulpError
from pulp_events.events import Accepted
from pulp_events.task import Position

from pulp_api.auditing.audit import Audit
from pulp_api.limiting.buckets import Key, LocalBuckets, SharedBuckets
from pulp_api.limiting.unfinished import Pending, UnfinishedTasks
from pulp_api.logins.auth import Connect, Principal

_KNOWN_S: Final = 5.0
"""How long the quotas of users are cached."""
_LOCAL_BURST_S: Final = 10
_BYTES_BURST_S: Final = 60
_COUNT_RETRY_S: Final = 5
"""When to try again if a task or a stream must end first."""


class QuotaExceeded(PulpError):
    """The user has used up a quota for now."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class QuotaForbids(PulpError):
    """A quota never allows this, however long the user waits."""


class Asking(NamedTuple):
    """The user whose quotas count, and the client's address."""

    principal: Principal
    address: str | None


class QuotaAdmission:
    """An admitted submission. The caller reports the outcome of the write."""

    def __init__(self, counts: UnfinishedTasks, actor: str, pending: Pending | None) -> None:
        self._counts, self._actor, self._pending = counts, actor, pending

    def written(self, position: Position) -> None:
        """The event is in the log."""
        if self._pending is not None:
            self._pending.position = position

    def failed(self, error: Exception) -> None:
        """The write failed. If its outcome is unknown, the submission still counts for a while."""
        if self._pending is not None and isinstance(error, LogUnavailable | BadInput):
            self._counts.drop(self._actor, self._pending)


class Quotas:
    """The quotas of all users, and their use as far as this process knows."""

    def __init__(
        self,
        connect: Connect,
        by_role: Mapping[Role, str],
        audit: Audit,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`by_role` holds the settings for roles. Raises `BadInput` for a text that is not a quota."""
        self._connect = connect
        self._texts = {role: (default, by_role.get(role, "")) for role, default in DEFAULTS.items()}
        self._of_role = {role: quota_of(*texts) for role, texts in self._texts.items()}
        self._audit = audit
        self._clock_s = clock_s
        self._own: dict[str, str] = {}
        self._own_quota: dict[str, Quota] = {}
        self._own_ends_s = -math.inf
        self._local = LocalBuckets(clock_s)
        self._shared = SharedBuckets(self._take, clock_s)
        self._unfinished = UnfinishedTasks(self._count, clock_s)
        self._streams: Counter[str] = Counter()

    async def of(self, principal: Principal) -> Quota:
        """The user's quota now. Raises `psycopg.OperationalError`."""
        if self._own_ends_s <= self._clock_s():
            async with self._connect() as connection:
                self._own = await quota_store.overrides(connection)
            self._own_quota = {}
            self._own_ends_s = self._clock_s() + _KNOWN_S
        own = self._own.get(principal.name)
        if own is None:
            return self._of_role[principal.role]
        found = self._own_quota.get(principal.name)
        if found is None:
            found = self._own_quota[principal.name] = quota_of(*self._texts[principal.role], own)
        return found

    def running_of(self, role: str, own: str) -> int | None:
        """How many tasks of a user may run at once; `own` is the quota that was set for this user."""
        return quota_of(*self._texts[Role(role)], own).running

    async def submission(self, asking: Asking, data: Accepted) -> QuotaAdmission:
        """Admit a submission. Raises `QuotaForbids`, `QuotaExceeded`, `psycopg.OperationalError`."""
        quota, principal = await self.of(asking.principal), asking.principal
        if quota.priority is not None and data.priority > quota.priority:
            raise self._forbids(asking, "priority", f"priority {data.priority} is above {quota.priority}, the highest")
        size = len(msgspec.json.encode(data)) if quota.size is not None or quota.bytes is not None else 0
        if quota.size is not None and size > quota.size:
            raise self._forbids(asking, "size", f"the submission has {size} bytes, at most {quota.size} are taken")
        if quota.rate is not None:
            burst = quota.burst if quota.burst is not None else max(1.0, quota.rate * _LOCAL_BURST_S)
            wait_s = await self._shared.wait_s((principal.name, "submissions"), 1, quota.rate, burst)
            if wait_s > 0:
                raise self._exceeded(asking, "rate", f"{quota.rate:g} submissions a second, {burst:g} at once", wait_s)
        if quota.bytes is not None:
            burst = quota.bytes * _BYTES_BURST_S
            wait_s = await self._shared.wait_s((principal.name, "bytes"), size, quota.bytes, burst)
            if wait_s > 0:
                raise self._exceeded(asking, "bytes", f"{burst:.0f} bytes of submissions a minute", wait_s)
        pending = None
        if quota.unfinished is not None:
            pending = await self._unfinished.begin(principal.actor, quota.unfinished)
            if pending is None:
                limit = f"{quota.unfinished} tasks that wait or run: let some end, or cancel some"
                raise self._exceeded(asking, "unfinished", limit, _COUNT_RETRY_S)
        return QuotaAdmission(self._unfinished, principal.actor, pending)

    async def action(self, asking: Asking) -> None:
        """Admit a cancel. Raises `QuotaExceeded`, `psycopg.OperationalError`."""
        self._at_a_rate(asking, "actions", (await self.of(asking.principal)).actions, "cancels")

    async def search(self, asking: Asking) -> None:
        """Admit a search, or a list of all tasks. Raises `QuotaExceeded`, `psycopg.OperationalError`."""
        self._at_a_rate(asking, "searches", (await self.of(asking.principal)).searches, "searches and whole lists")

    async def open_stream(self, asking: Asking) -> None:
        """Admit an event stream; `close_stream` follows. Raises `QuotaExceeded`, `psycopg.OperationalError`."""
        most = (await self.of(asking.principal)).streams
        if most is not None and self._streams[asking.principal.name] >= most:
            raise self._exceeded(asking, "streams", f"{most} event streams at once: close one", _COUNT_RETRY_S)
        self._streams[asking.principal.name] += 1

    def close_stream(self, asking: Asking) -> None:
        """An event stream has ended."""
        self._streams[asking.principal.name] -= 1
        self._streams += Counter()  # removes the zeros

    def _at_a_rate(self, asking: Asking, key: str, rate: float | None, what: str) -> None:
        if rate is None:
            return
        wait_s = self._local.wait_s((asking.principal.name, key), rate, max(1.0, rate * _LOCAL_BURST_S))
        if wait_s > 0:
            raise self._exceeded(asking, key, f"{rate:g} {what} a second", wait_s)

    def _exceeded(self, asking: Asking, key: str, limit: str, retry_after_s: float) -> QuotaExceeded:
        error = QuotaExceeded(f"user {asking.principal.name} has used the quota {key!r}: {limit}", retry_after_s)
        error.args = (f"{error}. Try again in {error.retry_after_s} s, or {_advice(asking, key)}",)
        self._note(asking, error)
        return error

    def _forbids(self, asking: Asking, key: str, why: str) -> QuotaForbids:
        error = QuotaForbids(
            f"{why}, by the quota {key!r} of user {asking.principal.name}: submit within it, or {_advice(asking, key)}"
        )
        self._note(asking, error)
        return error

    def _note(self, asking: Asking, error: PulpError) -> None:
        self._audit.note(What.QUOTA_REFUSED, actor=asking.principal.actor, address=asking.address, detail=str(error))

    async def _take(self, key: Key, rate: float, burst: float, least: float, most: float) -> Taken:
        async with self._connect() as connection:
            return await quota_store.take(connection, *key, rate=rate, burst=burst, least=least, most=most)

    async def _count(self) -> Unfinished:
        async with self._connect() as connection:
            return await quota_store.unfinished(connection)


def _advice(asking: Asking, key: str) -> str:
    return f"ask an administrator for more (pulp-tasks quotas set {asking.principal.name} {key}=...)"
