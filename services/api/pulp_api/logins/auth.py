"""The caller, the authentication method, and logins by HTTP basic authentication."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
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
from pulp_api.logins.basic import Basic, RequestOrigin, WrongPassword
from pulp_api.logins.limits import LoginAttempt, LoginLimits, LoginsLimited, key_of
from pulp_api.logins.queue import LoginQueue
from pulp_api.logins.recent import Recent
from pulp_api.logins.under_way import UnderWay

TRUSTED_S: Final = 5.0
"""How long a login is trusted without asking Postgres: a removed user or a changed role takes effect after this."""
AUDIT_AGAIN_S: Final = 3600.0
"""The interval after which a login with the same credentials is audited again."""
_MOST_KNOWN: Final = 10_000
_MOST_WAITING: Final = 64
SLOW_S: Final = 1.0
"""The delay of the answer to a wrong password after several failures: it slows down a guesser, and costs us nothing."""
_MOST_DELAYED: Final = 500
_log = logging.getLogger("pulp.api")

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Forbidden(PulpError):
    """The user's role does not allow it. `actor` is the user's name in events."""

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(message)
        self.actor = actor


class Method(StrEnum):
    """How a caller was authenticated."""

    BASIC = "basic"
    TOKEN = "token"
    SESSION = "session"
    OIDC = "oidc"
    REMOTE_USER = "remote-user"


class Principal(NamedTuple):
    """An authenticated user."""

    name: str
    role: Role
    stamp: bytes = b""
    """A digest that identifies the credentials: of the password's hash, of the token, of the session."""
    method: Method = Method.BASIC

    @property
    def actor(self) -> str:
        """The user's name in events."""
        return f"user:{self.name}"

    def need(self, *roles: Role) -> None:
        """Raises `Forbidden` unless the user has one of the roles, or is an admin."""
        if self.role is not Role.ADMIN and self.role not in roles:
            wanted = " or ".join(sorted((*roles, Role.ADMIN)))
            by = " with this token" if self.method is Method.TOKEN else ""
            raise Forbidden(self.actor, f"user {self.name} has the role {self.role}{by}; this needs {wanted}")


class _Known(NamedTuple):
    """Correct credentials: the hash that they matched and the user they belong to, trusted until `ends_s`."""

    password_hash: str
    principal: Principal
    ends_s: float
    noted_s: float
    """When the login was last audited."""


class _Seen(NamedTuple):
    """A row of the users table, or None if there was none; trusted until `ends_s`."""

    found: Credentials | None
    ends_s: float


class PasswordLogins:
    """Checks names and passwords against the users table.

    Hashing is slow on purpose, so correct credentials are remembered under a key of this process, and the table is read
    again every few seconds. Remembered credentials never wait. All others pass the limits on failed logins and a queue,
    so that many wrong passwords cannot exhaust the machine.
    """

    def __init__(
        self,
        connect: Connect,
        audit: Audit,
        *,
        settings: PasswordSettings = passwords.USUAL,
        clock_s: Callable[[], float] = time.monotonic,
        slow_s: float = SLOW_S,
    ) -> None:
        self._connect, self._audit, self._settings = connect, audit, settings
        self._clock_s, self._slow_s = clock_s, slow_s
        self._key = os.urandom(32)
        self._known: Recent[bytes, _Known] = Recent(_MOST_KNOWN)
        self._seen: Recent[str, _Seen] = Recent(_MOST_KNOWN)
        self._checking: UnderWay[bytes, Principal] = UnderWay()
        self._limits = LoginLimits()
        self._queue = LoginQueue(max(1, min(4, (os.cpu_count() or 2) // 2)), _MOST_WAITING)
        self._delayed = 0
        # A hash of no password, so that checking an unknown name takes as long as checking a known one.
        self._nobody = passwords.hash_password(os.urandom(32).hex(), settings)

    async def principal(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`, `LoginsLimited`."""
        claimed = Basic.of(request)
        mark = blake2b("\0".join(claimed).encode(), key=self._key).digest()  # faster than an HMAC
        known = self._known.get(mark)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal
        origin, correlation_id = RequestOrigin.of(request), getattr(request.state, "correlation_id", None)
        return await self._checking.get(mark, partial(self._authenticate, mark, claimed, origin, correlation_id))

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the user still exists with the same role and password; for connections that stay open.

        The answer is at most `TRUSTED_S` seconds old. It is True while Postgres is away, as nothing can have changed.
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

    async def _authenticate(
        self, mark: bytes, claimed: Basic, origin: RequestOrigin, correlation_id: str | None
    ) -> Principal:
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
            method=Method.BASIC,
            correlation_id=correlation_id,
        )
        try:
            attempt = self._limits.admit(claimed.name, origin, self._clock_s())
            found = await self._check(claimed, attempt)
        except LoginsLimited:
            note(What.LOGIN_LIMITED)
            await self._delay_answer()
            raise
        if found is None:
            note(What.LOGIN_FAILED, detail="wrong name or password")
            if attempt.failed(self._clock_s()):
                await self._delay_answer()
            raise WrongPassword("Invalid username/password.")
        attempt.succeeded()
        return await self._trust(mark, found, origin, float("-inf"), correlation_id)

    async def _check(self, claimed: Basic, attempt: LoginAttempt) -> Credentials | None:
        """The user, if the password is right. Takes equally long for unknown names."""
        try:
            async with self._queue.turn(attempt.lane, key_of(claimed.name), attempt.site):
                async with self._connect() as connection:
                    found = await users.credentials(connection, claimed.name)
                password_hash = self._nobody
                if found is not None and found.password_hash != users.NO_PASSWORD:
                    password_hash = found.password_hash
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
        """Hash the password with the current parameters, and return the updated credentials.

        None if somebody has changed the user in the meantime.
        """
        password_hash = await asyncio.to_thread(passwords.hash_password, password, self._settings)
        try:
            async with self._connect() as connection:
                is_kept = await users.rehash(
                    connection, found.name, matched=found.password_hash, password_hash=password_hash
                )
                if not is_kept:  # another API process may have done the same
                    again = await users.credentials(connection, found.name)
                    return again if again is not None and again.changed_at == found.changed_at else None
        except psycopg.Error as error:  # a read-only role or a standby: the old hash still works
            _log.warning("a password hash of an earlier release stays", extra={"user": found.name, "error": error})
            return found
        return found._replace(password_hash=password_hash)

    async def _trust(
        self, mark: bytes, found: Credentials, origin: RequestOrigin, noted_s: float, correlation_id: str | None
    ) -> Principal:
        principal = _principal(found)
        now_s = self._clock_s()
        if now_s - noted_s >= AUDIT_AGAIN_S:
            noted_s = now_s
            self._audit.note(
                What.LOGIN_SUCCEEDED,
                actor=principal.actor,
                address=origin.address,
                method=Method.BASIC,
                correlation_id=correlation_id,
            )
            await self._note_login(found.name)
        self._known.put(mark, _Known(found.password_hash, principal, now_s + TRUSTED_S, noted_s))
        return principal

    async def _note_login(self, name: str) -> None:
        try:
            async with self._connect() as connection:
                await users.note_login(connection, name)
        except psycopg.Error as error:
            _log.warning("cannot store the time of a login", extra={"user": name, "error": error})

    async def _delay_answer(self) -> None:
        if self._delayed < _MOST_DELAYED:
            self._delayed += 1
            try:
                await asyncio.sleep(self._slow_s)
            finally:
                self._delayed -= 1


def _principal(found: Credentials) -> Principal:
    return Principal(found.name, found.role, blake2b(found.password_hash.encode(), digest_size=16).digest())
