"""Logins by the cookies of a browser's session, which needs a second token against cross-site requests (CSRF)."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

from fastapi import Request, Response
from pulp_accounts import sessions
from pulp_accounts.sessions import digest_of
from pulp_events.errors import PulpError
from pulp_projections.away import AWAY

from pulp_api.logins.auth import TRUSTED_S, Connect, Method, Principal
from pulp_api.logins.basic import RequestOrigin, Unauthenticated
from pulp_api.logins.crossing import READING
from pulp_api.logins.limits import LoginLimits
from pulp_api.logins.recent import Recent
from pulp_api.logins.under_way import UnderWay

SESSION: Final = "sessionid"
CSRF: Final = "csrftoken"
_HEADER: Final = "x-csrftoken"
_MOST_KNOWN: Final = 10_000
_LONGEST: Final = 200


class CsrfFailed(PulpError):
    """A request with a session's cookie that may change something lacks the session's `X-CSRFToken`."""


class _Known(NamedTuple):
    principal: Principal
    ends_s: float


class SessionLogins:
    """Checks sessions against their table: one that counts is trusted for `TRUSTED_S` without asking Postgres."""

    def __init__(self, connect: Connect, clock_s: Callable[[], float], lifetime: timedelta) -> None:
        self._connect, self._clock_s, self._lifetime = connect, clock_s, lifetime
        self._known: Recent[bytes, _Known] = Recent(_MOST_KNOWN)
        self._looking_up: UnderWay[bytes, _Known] = UnderWay()
        self._limits = LoginLimits()

    async def principal(self, session_id: str, request: Request) -> Principal:
        """The caller with this session. Raises `Unauthenticated`, `CsrfFailed`, `LoginsLimited`."""
        if len(session_id) > _LONGEST:
            raise Unauthenticated("Authentication credentials were not provided.")
        digest = digest_of(session_id)
        known = self._known.get(digest)
        if known is None or known.ends_s <= self._clock_s():
            look_up = partial(self._look_up, digest, RequestOrigin.of(request), is_known=known is not None)
            known = await self._looking_up.get(digest, look_up)
        if request.method not in READING:
            _check_csrf(session_id, request.headers.get(_HEADER))
        return known.principal

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the session goes on, with the same role; at most `TRUSTED_S` old, and True while Postgres is away."""
        known = self._known.get(principal.stamp)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal == principal
        try:
            return await self._read(principal.stamp) == principal
        except AWAY:
            return True

    async def begin(self, user: str, request: Request, response: Response) -> bool:
        """Begin a session, and set its cookies; whether there still is such a user."""
        async with self._connect() as connection:
            session_id = await sessions.begin(connection, user, self._lifetime)
        if session_id is None:
            return False
        for name, value in ((SESSION, session_id), (CSRF, csrf_of(session_id))):
            response.set_cookie(
                name,
                value,
                max_age=int(self._lifetime.total_seconds()),
                path="/",
                secure=request.url.scheme == "https",
                httponly=name == SESSION,  # the page's script sends the other one back in a header
                samesite="lax",
            )
        response.headers["Cache-Control"] = "no-store"
        return True

    async def end(self, principal: Principal, response: Response) -> None:
        """End the caller's session, if any, and remove the cookies."""
        if principal.method is Method.SESSION:
            async with self._connect() as connection:
                await sessions.end(connection, principal.stamp)
            self._known.pop(principal.stamp)
        for name in (SESSION, CSRF):
            response.delete_cookie(name, path="/", samesite="lax")

    async def _look_up(self, digest: bytes, origin: RequestOrigin, *, is_known: bool) -> _Known:
        now_s = self._clock_s()
        attempt = None if is_known else self._limits.admit(digest.hex(), origin, now_s)
        try:
            principal = await self._read(digest)
        except BaseException:
            if attempt is not None:
                attempt.undone(now_s)
            raise
        if principal is None:
            self._known.pop(digest)
            if attempt is not None:
                attempt.failed(now_s)
            raise Unauthenticated("The session has ended: log in again.")
        if attempt is not None:
            attempt.succeeded()
        found = _Known(principal, now_s + TRUSTED_S)
        self._known.put(digest, found)
        return found

    async def _read(self, digest: bytes) -> Principal | None:
        async with self._connect() as connection:
            found = await sessions.read(connection, digest)
        return None if found is None else Principal(found.user, found.role, digest, Method.SESSION)


def csrf_of(session_id: str) -> str:
    """The token against cross-site requests that belongs to a session; the id cannot be computed from it."""
    return blake2b(b"csrf", key=session_id.encode(), digest_size=32).hexdigest()


def _check_csrf(session_id: str, sent: str | None) -> None:
    if sent is None:
        raise CsrfFailed("CSRF Failed: CSRF token missing.")
    if not compare_digest(sent.encode(), csrf_of(session_id).encode()):
        raise CsrfFailed("CSRF Failed: CSRF token from the 'X-Csrftoken' HTTP header incorrect.")
