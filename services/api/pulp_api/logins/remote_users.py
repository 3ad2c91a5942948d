"""Logins by a proxy that names the user (`REMOTE_USER`): the word of a few addresses counts, and of no others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, NamedTuple, Self

from fastapi import Request
from pulp_accounts import users
from pulp_events import declared_settings
from pulp_events.audit import What
from pulp_events.declared_settings import Setting, words, wrong
from pulp_events.errors import SettingsError
from pulp_projections.away import AWAY
from starlette.types import ASGIApp, Receive, Scope, Send

from pulp_api.auditing.audit import Audit
from pulp_api.front.addresses import Proxies
from pulp_api.logins.auth import AUDIT_AGAIN_S, TRUSTED_S, Connect, Method, Principal
from pulp_api.logins.basic import RequestOrigin, Unauthenticated
from pulp_api.logins.recent import Recent
from pulp_api.respond import json

_MOST_KNOWN: Final = 10_000
_NOBODY: Final = Proxies()
_TOKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _header(name: str, text: str) -> str:
    if not set(text.lower()) <= _TOKEN or text.lower() in ("authorization", "cookie", "host"):
        raise wrong(name, repr(text), "the name of a header of its own is expected, such as X-Remote-User")
    return text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUserSettings:
    """Which header names the user, and from whom it counts."""

    header: Annotated[
        str | None,
        Setting(
            "PULP_API_REMOTE_USER_HEADER",
            "The header in which a proxy names the user it authenticated.",
            parse=_header,
            allowed="the name of a header",
        ),
    ] = None
    proxies: Annotated[
        Proxies,
        Setting(
            "PULP_API_REMOTE_USER_PROXIES",
            "The proxies that may do so. They must remove the header from client requests.",
            parse=lambda name, text: Proxies.parse(words(text), name),
            allowed="addresses and networks, separated by commas",
        ),
    ] = _NOBODY

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """From the environment. Raises `SettingsError`, which names the setting."""
        found = cls(**declared_settings.read(cls, env))
        if bool(found.header) != bool(found.proxies):
            raise SettingsError("PULP_API_REMOTE_USER_HEADER and PULP_API_REMOTE_USER_PROXIES: set both, or neither")
        return found


class RemoteUser:
    """Tells the application whom a configured proxy has authenticated.

    It must see the address of the connection itself: forwarding headers do not count here.
    """

    def __init__(self, app: ASGIApp, settings: RemoteUserSettings) -> None:
        self._app, self._proxies = app, settings.proxies
        self._header = (settings.header or "").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and client[0] in self._proxies:
            sent = [value for name, value in scope["headers"] if name == self._header]
            if len(sent) > 1:
                message = "the proxy names more than one user: it has to remove the header that a client sends"
                await json({"detail": message}, 400, {"Connection": "close"})(scope, receive, send)
                return
            if sent and sent[0].strip():
                scope = {**scope, "state": {**scope.get("state", {}), "remote_user": _text(sent[0].strip())}}
        await self._app(scope, receive, send)


class _Known(NamedTuple):
    principal: Principal
    ends_s: float
    audited_s: float


class RemoteUserLogins:
    """Looks up the users that a proxy names; the table of users has their roles."""

    def __init__(self, connect: Connect, audit: Audit, clock_s: Callable[[], float]) -> None:
        self._connect, self._audit, self._clock_s = connect, audit, clock_s
        self._known: Recent[str, _Known] = Recent(_MOST_KNOWN)

    async def principal(self, name: str, request: Request) -> Principal:
        """The caller whom a proxy names. Raises `Unauthenticated` for a user that does not exist."""
        known = self._known.get(name)
        if known is not None and known.ends_s > self._clock_s():
            return known.principal
        note = partial(
            self._audit.note,
            address=RequestOrigin.of(request).address,
            method=Method.REMOTE_USER,
            correlation_id=getattr(request.state, "correlation_id", None),
        )
        principal = await self._look_up(name)
        if principal is None:
            self._known.pop(name)
            note(What.LOGIN_FAILED, actor=f"user:{name}", detail="there is no such user")
            raise Unauthenticated("The user that the proxy names does not exist here.")
        now_s = self._clock_s()
        audited_s = float("-inf") if known is None else known.audited_s
        if now_s - audited_s >= AUDIT_AGAIN_S:
            audited_s = now_s
            note(What.LOGIN_SUCCEEDED, actor=principal.actor)
        self._known.put(name, _Known(principal, now_s + TRUSTED_S, audited_s))
        return principal

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the user still exists with the same role; True while Postgres is away."""
        try:
            return await self._look_up(principal.name) == principal
        except AWAY:
            return True

    async def _look_up(self, name: str) -> Principal | None:
        async with self._connect() as connection:
            found = await users.credentials(connection, name)
        return None if found is None else Principal(found.name, found.role, method=Method.REMOTE_USER)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
