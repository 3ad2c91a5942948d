"""Who is calling: HTTP basic authentication, and what each role may do."""

import asyncio
import os
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hashlib import blake2b
from typing import Final, NamedTuple

from fastapi import Request
from psycopg import AsyncConnection
from pulp_events.errors import PulpError
from pulp_projections import users
from pulp_projections.users import Role

_TRUSTED_S: Final = 5.0
"""So long a user who was removed, or has another role or password now, is let in as before."""
_MOST_KNOWN: Final = 1000


Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Unauthenticated(PulpError):
    """No credentials, or wrong ones."""


class Forbidden(PulpError):
    """The user's role does not allow it."""


class Principal(NamedTuple):
    """An authenticated user."""

    name: str
    role: Role

    @property
    def actor(self) -> str:
        """How events name the user."""
        return f"user:{self.name}"

    def need(self, *roles: Role) -> None:
        """Raises `Forbidden` unless the user has one of the roles, or is an admin."""
        if self.role is not Role.ADMIN and self.role not in roles:
            wanted = " or ".join(sorted((*roles, Role.ADMIN)))
            raise Forbidden(f"user {self.name} has the role {self.role}; this needs {wanted}")


class _Known(NamedTuple):
    """Credentials that were right: the hash that they matched, and what they stand for until `ends_s`."""

    password_hash: str
    principal: Principal
    ends_s: float


class Authenticator:
    """Checks credentials against the users table.

    A hash is slow on purpose. One that was matched is remembered, under a key of this process, so that a busy client
    does not pay for it at every request; the table is looked at again every few seconds. Passwords are hashed one at
    a time: many wrong ones must not take the machine.
    """

    def __init__(self, connect: Connect, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock_s = clock_s
        self._key = os.urandom(32)
        self._known: dict[bytes, _Known] = {}
        self._hashing = asyncio.Lock()

    async def principal(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`."""
        name, password = _credentials(request.headers.get("authorization", ""))
        mark = blake2b(f"{name}\0{password}".encode(), key=self._key).digest()  # a third of what an HMAC takes
        known = self._known.get(mark)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal
        async with self._connect() as connection:
            found = await users.credentials(connection, name)
        password_hash, role = found or (users.NOBODY, Role.VIEWER)
        is_right = await self._matches(mark, password, password_hash)
        if not is_right or found is None:
            raise Unauthenticated("Invalid username/password.")
        principal = Principal(name, role)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[mark] = _Known(password_hash, principal, self._clock_s() + _TRUSTED_S)
        return principal

    async def _matches(self, mark: bytes, password: str, password_hash: str) -> bool:
        async with self._hashing:
            known = self._known.get(mark)  # perhaps of a request that came at the same time
            if known is not None and known.password_hash == password_hash:
                return True
            return await asyncio.to_thread(users.matches, password, password_hash)


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated("Authentication credentials were not provided.")
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise Unauthenticated("Invalid basic header. Credentials not correctly base64 encoded.") from None
    if not colon or "\0" in name:
        raise Unauthenticated("Invalid basic header.")
    return name, password
