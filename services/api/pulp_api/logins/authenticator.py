"""Authenticates callers, in whichever way they prove who they are."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fastapi import Request
from pulp_accounts import passwords
from pulp_accounts.passwords import PasswordSettings
from pulp_accounts.tokens import PREFIX

from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import SLOW_S, Connect, Method, PasswordLogins, Principal
from pulp_api.logins.basic import Unauthenticated
from pulp_api.logins.bearer import TokenLogins, bearer_of
from pulp_api.logins.cookies import SESSION, SessionLogins
from pulp_api.logins.oidc_settings import OidcSettings
from pulp_api.logins.remote_users import RemoteUserLogins

if TYPE_CHECKING:
    from pulp_api.logins.oidc import OidcLogins

SESSION_S: Final = 86_400.0
_NO_ISSUER: Final = OidcSettings()


class Authenticator:
    """Finds out who a caller is.

    The word of a trusted proxy goes first, then the header `Authorization` (a name and a password, a token of ours, a
    JWT of the issuer), then the cookie of a session.
    """

    def __init__(
        self,
        connect: Connect,
        audit: Audit,
        *,
        settings: PasswordSettings = passwords.USUAL,
        clock_s: Callable[[], float] = time.monotonic,
        slow_s: float = SLOW_S,
        session_s: float = SESSION_S,
        oidc: OidcSettings = _NO_ISSUER,
    ) -> None:
        """Raises `OSError` for certificates of the issuer that cannot be read."""
        self.passwords: Final = PasswordLogins(connect, audit, settings=settings, clock_s=clock_s, slow_s=slow_s)
        self.tokens: Final = TokenLogins(connect, audit, clock_s)
        self.sessions: Final = SessionLogins(connect, clock_s, timedelta(seconds=session_s))
        self._remote_users = RemoteUserLogins(connect, audit, clock_s)
        self._oidc = None if oidc.issuer is None else _issuer(oidc, oidc.issuer, connect, audit, clock_s)

    async def principal(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`, `LoginsLimited`, `CsrfFailed`, `IssuerAway`."""
        remote_user = getattr(request.state, "remote_user", None)
        if remote_user is not None:
            return await self._remote_users.principal(remote_user, request)
        if "authorization" not in request.headers:
            session_id = request.cookies.get(SESSION)
            if session_id:
                return await self.sessions.principal(session_id, request)
        secret = bearer_of(request)
        if secret is None:
            return await self.passwords.principal(request)
        if secret.startswith(PREFIX):
            return await self.tokens.principal(secret, request)
        if self._oidc is not None:
            return await self._oidc.principal(secret, request)
        raise Unauthenticated("Invalid token.")

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the same credentials would still give the same principal; for connections that stay open.

        The answer is at most `TRUSTED_S` seconds old. It is True while Postgres is away, as nothing can have changed.
        """
        match principal.method:
            case Method.TOKEN:
                return await self.tokens.still_valid(principal)
            case Method.SESSION:
                return await self.sessions.still_valid(principal)
            case Method.OIDC:
                return self._oidc is not None and await self._oidc.still_valid(principal)
            case Method.REMOTE_USER:
                return await self._remote_users.still_valid(principal)
            case Method.BASIC:
                return await self.passwords.still_valid(principal)


def _issuer(
    settings: OidcSettings, issuer: str, connect: Connect, audit: Audit, clock_s: Callable[[], float]
) -> "OidcLogins":
    # These libraries take a while and some memory: without an issuer they are not loaded.
    from pulp_api.logins.jwks import IssuerKeys
    from pulp_api.logins.oidc import OidcLogins

    keys = IssuerKeys(issuer, settings.jwks_url, ca_file=settings.ca_file, clock_s=clock_s)
    return OidcLogins(connect, audit, settings, keys, clock_s)
