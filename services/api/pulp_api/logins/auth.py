"""Who is calling: HTTP basic authentication, and what each role may do."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from hashlib import blake2b
from typing import Final, NamedTuple

import psycopg
from fastapi import Request
from psycopg import AsyncConnection
from pulp_accounts import passwords, users
from pulp_accounts.passwords import PasswordSettings
from pulp_accounts.users import Credentials, Role
from pulp_events.audit import What
from pulp_events.errors import PulpError
from pulp_projections.away import AWAY

from pulp_api.auditing.audit import Audit
from pulp_api.logins.basic import Basic, Origin, Unauthenticated
from pulp_api.logins.limits import Attempt, LoginLimits, LoginsLimited, key_of
from pulp_api.logins.queue import LoginQueue
from pulp_api.logins.recent import Recent

TRUSTED_S: Final = 5.0
"""So long a user who was removed, or has another role or password now, is let in as before."""
_NOTED_S: Final = 3600.0
"""A login with the same credentials is audited again after so long."""
_MOST_KNOWN: Final = 10_000
_MOST_WAITING: Final = 64
_SLOW_S: Final = 1.0
"""So late a wrong answer comes to who has had several: it costs a guesser the time, and us nothing."""
_MOST_SLOW: Final = 500
_log = logging.getLogger("pulp.api")

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Forbidden(PulpError):
    """The user's role does not allow it. `actor` as events name the user."""

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(message)
        self.actor = actor


class Principal(NamedTuple):
    """An authenticated user."""

    name: str
    role: Role
    stamp: bytes = b""
    """Of the password that was right: another one has another stamp."""

    @property
    def actor(self) -> str:
        """How events name the user."""
        return f"user:{self.name}"

    def need(self, *roles: Role) -> None:
        """Raises `Forbidden` unless the user has one of the roles, or is an admin."""
        if self.role is not Role.ADMIN and self.role not in roles:
            wanted = " or ".join(sorted((*roles, Role.ADMIN)))
            raise Forbidden(self.actor, f"user {self.name} has the role {self.role}; this needs {wanted}")


class _Known(NamedTuple):
    """Credentials that were right: the hash that they matched, and what they stand for until `ends_s`."""

    password_hash: str
    principal: Principal
    ends_s: float
    noted_s: float
    """When the login was last audited."""


class _Seen(NamedTuple):
    """A user as the table had it, until `ends_s`."""

    found: Credentials | None
    ends_s: float


class Authenticator:
    """Checks credentials against the users table.

    A hash is slow on purpose. One that was matched is remembered, under a key of this process, so that a busy client
    does not pay for it at every request; the table is looked at again every few seconds. Who has such credentials waits
    for nobody. All others pass the limits on failed logins, and a queue: many wrong passwords must not take the
    machine.
    """

    def __init__(
        self,
        connect: Connect,
        audit: Audit,
        *,
        settings: PasswordSettings = passwords.USUAL,
        clock_s: Callable[[], float] = time.monotonic,
        slow_s: float = _SLOW_S,
    ) -> None:
        self._connect, self._audit, self._settings = connect, audit, settings
        self._clock_s, self._slow_s = clock_s, slow_s
        self._key = os.urandom(32)
        self._known: Recent[bytes, _Known] = Recent(_MOST_KNOWN)
        self._seen: Recent[str, _Seen] = Recent(_MOST_KNOWN)
        self._checking: dict[bytes, asyncio.Task[Principal]] = {}
        self._limits = LoginLimits()
        self._queue = LoginQueue(max(1, min(4, (os.cpu_count() or 2) // 2)), _MOST_WAITING)
        self._slow = 0
        # Of no password: to check one against it costs what a real check costs.
        self._nobody = passwords.hash_password(os.urandom(32).hex(), settings)

    async def principal(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`, `LoginsLimited`."""
        claimed = Basic.of(request)
        mark = blake2b("\0".join(claimed).encode(), key=self._key).digest()  # a third of what an HMAC takes
        known = self._known.get(mark)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal
        task = self._checking.get(mark)  # perhaps for a request that came at the same time
        if task is None:
            origin, correlation_id = Origin.of(request), getattr(request.state, "correlation_id", None)
            task = asyncio.create_task(self._look(mark, claimed, origin, correlation_id))
            self._checking[mark] = task
            task.add_done_callback(partial(self._looked, mark))
        return await asyncio.shield(task)

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the user still has the role, and the password has not changed, for who holds a connection open.

        What it says is at most five seconds old. While Postgres is away, nothing can have changed: it is true.
        """
        seen = self._seen.get(principal.name)
        if seen is None or seen.ends_s <= self._clock_s():
            try:
                async with self._connect() as connection:
                    found = await users.credentials(connection, principal.name)
            except AWAY:
                return True
            seen = _Seen(found, self._clock_s() + TRUSTED_S)
            self._seen.put(principal.name, seen)
        return seen.found is not None and _principal(seen.found) == principal

    async def _look(self, mark: bytes, claimed: Basic, origin: Origin, correlation_id: str | None) -> Principal:
        known = self._known.get(mark)
        if known is not None:
            async with self._connect() as connection:
                found = await users.credentials(connection, claimed.name)
            if found is not None and found.password_hash == known.password_hash:
                return await self._trust(mark, found, origin, known.noted_s, correlation_id)
            self._known.pop(mark)
        note = partial(
            self._audit.note,
            actor=f"user:{claimed.name}",
            address=origin.address,
            is_claimed=True,
            correlation_id=correlation_id,
        )
        try:
            attempt = self._limits.admit(claimed.name, origin, self._clock_s())
            found = await self._check(claimed, attempt)
        except LoginsLimited:
            note(What.LOGIN_LIMITED)
            await self._come_late()
            raise
        if found is None:
            note(What.LOGIN_FAILED, detail="wrong name or password")
            if attempt.failed(self._clock_s()):
                await self._come_late()
            raise Unauthenticated("Invalid username/password.")
        attempt.succeeded()
        return await self._trust(mark, found, origin, float("-inf"), correlation_id)

    async def _check(self, claimed: Basic, attempt: Attempt) -> Credentials | None:
        """The user, if the password is right. The same work whether there is one of that name or not."""
        try:
            async with self._queue.turn(attempt.lane, key_of(claimed.name), attempt.site):
                async with self._connect() as connection:
                    found = await users.credentials(connection, claimed.name)
                password_hash = self._nobody if found is None else found.password_hash
                is_right = await asyncio.to_thread(passwords.matches, claimed.password, password_hash)
                if found is not None and is_right and passwords.is_outdated(password_hash, self._settings):
                    found = await self._rehash(found, claimed.password)
                return found if is_right else None
        except BaseException as error:
            attempt.undone(self._clock_s())
            if isinstance(error, LoginsLimited):
                attempt.refused()
            raise

    async def _rehash(self, found: Credentials, password: str) -> Credentials | None:
        """Hash the password in today's way, now that it is known; the credentials as they are then.

        None if somebody has changed the user meanwhile.
        """
        password_hash = await asyncio.to_thread(passwords.hash_password, password, self._settings)
        try:
            async with self._connect() as connection:
                is_kept = await users.rehash(
                    connection, found.name, matched=found.password_hash, password_hash=password_hash
                )
                if not is_kept:  # perhaps another API has done the same
                    again = await users.credentials(connection, found.name)
                    return again if again is not None and again.changed_at == found.changed_at else None
        except psycopg.Error as error:  # a role that may only read, or a standby: the old hash is as good as before
            _log.warning("a password hash of an earlier release stays", extra={"user": found.name, "error": error})
            return found
        return found._replace(password_hash=password_hash)

    async def _trust(
        self, mark: bytes, found: Credentials, origin: Origin, noted_s: float, correlation_id: str | None
    ) -> Principal:
        principal = _principal(found)
        now_s = self._clock_s()
        if now_s - noted_s >= _NOTED_S:
            noted_s = now_s
            self._audit.note(
                What.LOGIN_SUCCEEDED, actor=principal.actor, address=origin.address, correlation_id=correlation_id
            )
            await self._note_login(found.name)
        self._known.put(mark, _Known(found.password_hash, principal, now_s + TRUSTED_S, noted_s))
        return principal

    async def _note_login(self, name: str) -> None:
        try:
            async with self._connect() as connection:
                await users.note_login(connection, name)
        except psycopg.Error as error:
            _log.warning("the time of a login was not kept", extra={"user": name, "error": error})

    async def _come_late(self) -> None:
        if self._slow < _MOST_SLOW:
            self._slow += 1
            try:
                await asyncio.sleep(self._slow_s)
            finally:
                self._slow -= 1

    def _looked(self, mark: bytes, task: "asyncio.Task[Principal]") -> None:
        self._checking.pop(mark, None)
        if not task.cancelled():
            task.exception()  # told to who waits; if nobody does any more, it is no error of ours


def _principal(found: Credentials) -> Principal:
    return Principal(found.name, found.role, blake2b(found.password_hash.encode(), digest_size=16).digest())
