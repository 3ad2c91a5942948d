"""Who is calling: HTTP basic authentication, and what each role may do."""

import asyncio
import hmac
import os
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from fastapi import Request
from psycopg import AsyncConnection
from pulp_events.errors import PulpError
from pulp_projections import users
from pulp_projections.users import Role

_CACHED_S: Final = 60.0
_MOST_CACHED: Final = 1000


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


class Authenticator:
    """Checks credentials against the users table.

    A hash is slow on purpose; what it has confirmed is remembered for a minute, under a key of this process, so that a
    busy client does not pay for it at every request.
    """

    def __init__(self, connect: Connect, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock_s = clock_s
        self._key = os.urandom(32)
        self._confirmed: dict[bytes, tuple[float, Principal]] = {}

    async def principal(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`."""
        name, password = _credentials(request.headers.get("authorization", ""))
        mark = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        known = self._confirmed.get(mark)
        if known is not None and known[0] > self._clock_s():
            return known[1]
        principal = await self._check(name, password)
        if len(self._confirmed) >= _MOST_CACHED:
            self._confirmed.clear()
        self._confirmed[mark] = (self._clock_s() + _CACHED_S, principal)
        return principal

    async def _check(self, name: str, password: str) -> Principal:
        async with self._connect() as connection:
            found = await users.credentials(connection, name)
        password_hash, role = found or (users.NOBODY, Role.VIEWER)
        is_right = await asyncio.to_thread(users.matches, password, password_hash)
        if not is_right or found is None:
            raise Unauthenticated("Invalid username/password.")
        return Principal(name, role)


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated("Authentication credentials were not provided.")
    try:
        name, colon, password = b64decode(encoded, validate=True).decode().partition(":")
    except (NotBase64, UnicodeDecodeError):
        raise Unauthenticated("Invalid basic header. Credentials not correctly base64 encoded.") from None
    if not colon or "\0" in name:
        raise Unauthenticated("Invalid basic header.")
    return name, password
