"""Logins by the JWTs of an OpenID Connect issuer (RFC 7519, RFC 9068)."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import jwt
from fastapi import Request
from pulp_accounts import users
from pulp_accounts.user_names import normal_name, objection_to
from pulp_accounts.users import Role
from pulp_events.audit import What
from pulp_events.errors import BadInput
from pulp_projections.away import AWAY

from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import AUDIT_AGAIN_S, TRUSTED_S, Connect, Method, Principal
from pulp_api.logins.basic import RequestOrigin, Unauthenticated
from pulp_api.logins.jwks import IssuerKeys
from pulp_api.logins.limits import LoginAttempt, LoginLimits, LoginsLimited
from pulp_api.logins.oidc_settings import OidcSettings
from pulp_api.logins.recent import Recent
from pulp_api.logins.under_way import UnderWay

_MOST_KNOWN: Final = 10_000
_REQUIRED: Final = ("exp", "iss", "aud", "sub")


class _Known(NamedTuple):
    """A token that was checked; trusted until `ends_s`, and not after its own end."""

    principal: Principal
    ends_s: float
    expires_at: float
    """Seconds since 1970, with the skew that is allowed."""
    audited_s: float


class OidcLogins:
    """Checks JWTs by the keys of their issuer.

    A user whom the issuer names for the first time is added to the users, without a password; so is one who was removed
    here meanwhile. The role is always that of the token's claims.
    """

    def __init__(
        self,
        connect: Connect,
        audit: Audit,
        settings: OidcSettings,
        keys: IssuerKeys,
        clock_s: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connect, self._audit, self._settings, self._keys = connect, audit, settings, keys
        self._clock_s, self._now = clock_s, now
        self._known: Recent[bytes, _Known] = Recent(_MOST_KNOWN)
        self._looking_up: UnderWay[bytes, Principal] = UnderWay()
        self._limits = LoginLimits()

    async def principal(self, token: str, request: Request) -> Principal:
        """The caller with this token. Raises `Unauthenticated`, `LoginsLimited`, `IssuerAway`."""
        digest = blake2b(token.encode(errors="surrogatepass"), digest_size=32).digest()
        known = self._known.get(digest)
        if known is not None and known.ends_s > self._clock_s() and known.expires_at > self._now():
            return known.principal
        origin, correlation_id = RequestOrigin.of(request), getattr(request.state, "correlation_id", None)
        look_up = partial(self._authenticate, token, digest, origin, correlation_id)
        return await self._looking_up.get(digest, look_up)

    async def _authenticate(
        self, token: str, digest: bytes, origin: RequestOrigin, correlation_id: str | None
    ) -> Principal:
        known = self._known.get(digest)
        note = partial(self._audit.note, address=origin.address, method=Method.OIDC, correlation_id=correlation_id)
        try:
            attempt = None if known is not None else self._limits.admit(digest.hex(), origin, self._clock_s())
        except LoginsLimited:
            note(What.LOGIN_LIMITED, actor="user:", is_claimed=True, detail="unknown tokens")
            raise
        try:
            claims = await self._checked(token)
            principal = self._principal(claims, digest)
            await self._note_user(principal, origin, correlation_id, is_login=known is None)
        except Unauthenticated as error:
            self._known.pop(digest)
            if attempt is not None:
                attempt.failed(self._clock_s())
            note(What.LOGIN_FAILED, actor="user:", is_claimed=True, detail=str(error))
            raise
        except BaseException:
            _undo(attempt, self._clock_s())
            raise
        if attempt is not None:
            attempt.succeeded()
        now_s = self._clock_s()
        audited_s = float("-inf") if known is None else known.audited_s
        if now_s - audited_s >= AUDIT_AGAIN_S:
            audited_s = now_s
            note(What.LOGIN_SUCCEEDED, actor=principal.actor, detail=f"as {principal.role}")
        expires_at = float(claims["exp"]) + self._settings.skew_s
        self._known.put(digest, _Known(principal, now_s + TRUSTED_S, expires_at, audited_s))
        return principal

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the token has not expired, and its user was not removed here; for connections that stay open.

        It is True while Postgres is away. Who connects again with the token is added again, as in `principal`.
        """
        known = self._known.get(principal.stamp)
        if known is None or known.expires_at <= self._now():
            return False
        if known.ends_s > self._clock_s():
            return True
        try:
            async with self._connect() as connection:
                return await users.issuer_of(connection, principal.name) == self._settings.issuer
        except AWAY:
            return True

    async def _checked(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that counts. Raises `Unauthenticated`, `IssuerAway`."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Unauthenticated("Invalid token.") from None
        if header.get("alg") not in self._settings.algorithms or "crit" in header:
            raise Unauthenticated("Invalid token: its algorithm is not one of those that are allowed.")
        key_id = header.get("kid")
        reason = "it is signed by no key of the issuer"
        for key in await self._keys.keys(key_id if isinstance(key_id, str) else None):
            if not _fits(key, header["alg"]):
                continue
            try:
                return self._decoded(token, key)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                continue
            except jwt.ExpiredSignatureError:
                reason = "it has expired"
            except jwt.ImmatureSignatureError:
                reason = "it does not count yet"
            except jwt.InvalidAudienceError:
                reason = "it is for another audience"
            except jwt.InvalidIssuerError:
                reason = "it is from another issuer"
            except jwt.MissingRequiredClaimError as error:
                reason = f"it lacks the claim {error.claim}"
            except (jwt.PyJWTError, ValueError, TypeError):
                reason = "it cannot be read"
            break
        raise Unauthenticated(f"Invalid token: {reason}.")

    def _decoded(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        settings = self._settings
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=list(settings.algorithms),
            audience=list(settings.audiences),
            issuer=settings.issuer,
            leeway=settings.skew_s,
            options={"require": list(_REQUIRED)},
        )
        return claims

    def _principal(self, claims: Mapping[str, Any], digest: bytes) -> Principal:
        name, role = _at(claims, self._settings.name_claim), self._role(claims)
        if not isinstance(name, str) or objection_to(normal_name(name)) is not None:
            raise Unauthenticated(
                f"Invalid token: the claim {self._settings.name_claim} is not a name that a user can have."
            )
        if role is None:
            raise Unauthenticated(
                f"Invalid token: the claim {self._settings.roles_claim} names nothing that stands for a role here."
            )
        return Principal(normal_name(name), role, digest, Method.OIDC)

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        found = _at(claims, self._settings.roles_claim)
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return next((role for value, role in self._settings.roles if value in values), None)

    async def _note_user(
        self, principal: Principal, origin: RequestOrigin, correlation_id: str | None, *, is_login: bool
    ) -> None:
        """Add the user, or change the role, if that is needed. Raises `Unauthenticated` for another user's name."""
        assert self._settings.issuer is not None
        try:
            async with self._connect() as connection:
                change = await users.vouch(
                    connection, principal.name, principal.role, self._settings.issuer, is_login=is_login
                )
        except BadInput as error:
            raise Unauthenticated(f"Invalid token: {error}.") from None
        if change is not None:
            self._audit.note_change(
                change,
                actor=principal.actor,
                address=origin.address,
                target=principal.name,
                detail=f"{principal.role}, for whom {self._settings.issuer} vouches",
                method=Method.OIDC,
                correlation_id=correlation_id,
            )


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """Whether the key is of the type that the algorithm needs."""
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(key.key)
    except (TypeError, ValueError, jwt.InvalidKeyError):
        return False
    return True


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim with this name, or else the nested value that its dots lead to; None if neither exists."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _undo(attempt: LoginAttempt | None, now_s: float) -> None:
    if attempt is not None:
        attempt.undone(now_s)
