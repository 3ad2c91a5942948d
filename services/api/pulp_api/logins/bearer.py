"""Logins by bearer tokens (RFC 6750) that this service has issued."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from fastapi import Request
from pulp_accounts import tokens
from pulp_accounts.tokens import TokenLogin
from pulp_events.audit import What
from pulp_projections.away import AWAY

from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import AUDIT_AGAIN_S, TRUSTED_S, Connect, Method, Principal
from pulp_api.logins.basic import RequestOrigin, Unauthenticated
from pulp_api.logins.limits import LoginAttempt, LoginLimits, LoginsLimited
from pulp_api.logins.recent import Recent
from pulp_api.logins.under_way import UnderWay

_USE_NOTED_S: Final = 60.0
"""How often the last use of a token is stored."""
_MOST_KNOWN: Final = 10_000
_LONGEST: Final = 16_384
"""The most characters of a bearer token of any kind."""
_log = logging.getLogger("pulp.api")


def bearer_of(request: Request) -> str | None:
    """The bearer token of a request; None without one. Raises `Unauthenticated` for one that is too long."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    if len(secret) > _LONGEST:
        raise Unauthenticated("Invalid token.")
    return secret.strip()


class _Known(NamedTuple):
    """A token that counted when it was looked up; trusted until `ends_s`."""

    principal: Principal
    ends_s: float
    audited_s: float
    used_s: float
    """When the last use was stored."""


class TokenLogins:
    """Checks tokens against their table: a token that counts is trusted for `TRUSTED_S` without asking Postgres.

    Nobody can guess a token, so the limits on unknown ones, by address and by token, only keep their cost low.
    """

    def __init__(self, connect: Connect, audit: Audit, clock_s: Callable[[], float]) -> None:
        self._connect, self._audit, self._clock_s = connect, audit, clock_s
        self._known: Recent[bytes, _Known] = Recent(_MOST_KNOWN)
        self._looking_up: UnderWay[bytes, Principal] = UnderWay()
        self._limits = LoginLimits()

    async def principal(self, secret: str, request: Request) -> Principal:
        """The caller with this token. Raises `Unauthenticated`, `LoginsLimited`."""
        digest = tokens.digest_of(secret)
        known = self._known.get(digest)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal
        origin, correlation_id = RequestOrigin.of(request), getattr(request.state, "correlation_id", None)
        return await self._looking_up.get(digest, partial(self._authenticate, digest, origin, correlation_id))

    async def _authenticate(self, digest: bytes, origin: RequestOrigin, correlation_id: str | None) -> Principal:
        known = self._known.get(digest)
        note = partial(self._audit.note, address=origin.address, method=Method.TOKEN, correlation_id=correlation_id)
        try:
            attempt = None if known is not None else self._admit(digest, origin)
        except LoginsLimited:
            note(What.LOGIN_LIMITED, actor="user:", is_claimed=True, detail="unknown tokens")
            raise
        found = await self._look_up(digest, attempt)
        if found is None or found.fault is not None:
            self._known.pop(digest)
            if attempt is not None:
                attempt.failed(self._clock_s())
            if found is None:
                note(What.LOGIN_FAILED, actor="user:", is_claimed=True, detail="an unknown token")
                raise Unauthenticated("Invalid token.")
            detail = f"the token {found.token.name} {found.fault}"
            note(What.TOKEN_REFUSED, actor=f"user:{found.token.user}", detail=detail)
            raise Unauthenticated(f"Invalid token: {detail}.")
        if attempt is not None:
            attempt.succeeded()
        return await self._trust(digest, found, known, note)

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the token still counts, with the same role. It is True while Postgres is away."""
        known = self._known.get(principal.stamp)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal == principal
        try:
            async with self._connect() as connection:
                found = await tokens.login(connection, principal.stamp)
        except AWAY:
            return True
        return found is not None and found.fault is None and _principal(found, principal.stamp) == principal

    def forget(self, digest: bytes) -> None:
        """Trust this token no longer, because it was revoked."""
        self._known.pop(digest)

    def _admit(self, digest: bytes, origin: RequestOrigin) -> LoginAttempt:
        return self._limits.admit(digest.hex(), origin, self._clock_s())

    async def _look_up(self, digest: bytes, attempt: LoginAttempt | None) -> TokenLogin | None:
        try:
            async with self._connect() as connection:
                return await tokens.login(connection, digest)
        except BaseException:
            if attempt is not None:
                attempt.undone(self._clock_s())
            raise

    async def _trust(
        self, digest: bytes, found: TokenLogin, known: _Known | None, note: Callable[..., None]
    ) -> Principal:
        principal, now_s = _principal(found, digest), self._clock_s()
        audited_s = float("-inf") if known is None else known.audited_s
        used_s = float("-inf") if known is None else known.used_s
        if now_s - audited_s >= AUDIT_AGAIN_S:
            audited_s = now_s
            note(What.LOGIN_SUCCEEDED, actor=principal.actor, detail=f"the token {found.token.name}")
        if now_s - used_s >= _USE_NOTED_S:
            used_s = now_s
            await self._note_use(found.token.token_id)
        self._known.put(digest, _Known(principal, now_s + TRUSTED_S, audited_s, used_s))
        return principal

    async def _note_use(self, token_id: UUID) -> None:
        try:
            async with self._connect() as connection:
                await tokens.note_use(connection, token_id)
        except psycopg.Error as error:  # a read-only role or a standby
            _log.warning("cannot store the use of a token", extra={"token_id": str(token_id), "error": error})


def _principal(found: TokenLogin, digest: bytes) -> Principal:
    return Principal(found.token.user, found.role, digest, Method.TOKEN)
