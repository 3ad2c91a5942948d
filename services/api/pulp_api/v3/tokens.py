"""Bearer tokens: users make, list and revoke their own; administrators list and revoke all. Not in Pulp 3."""

from datetime import timedelta
from typing import Annotated, Final, NotRequired, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct
from pulp_accounts import tokens
from pulp_accounts.tokens import BearerToken
from pulp_accounts.users import Role, common_role
from pulp_events.audit import What

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import BadBody, decoded
from pulp_api.logins.auth import Method
from pulp_api.logins.authenticator import Authenticator
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import FLAG, TEXT, QueryParameter, controls, flag_of, names_of, refuse_unknown

router = APIRouter(prefix=ROOT)
PARAMETERS: Final = [QueryParameter("user", TEXT), QueryParameter("all", FLAG), *controls("limit offset")]
LONGEST: Final = timedelta(days=366)
"""The longest lifetime of a token."""
_USUAL: Final = timedelta(days=30)
_NO_STORE: Final = {"Cache-Control": "no-store"}


class NewToken(Struct, forbid_unknown_fields=True):
    """The body that creates a token."""

    name: str
    role: Role | None = None
    """By default the caller's role."""
    expires_in_seconds: Annotated[int, Meta(ge=1, le=int(LONGEST.total_seconds()))] = int(_USUAL.total_seconds())


class TokenResponse(TypedDict):
    """What is known of a bearer token."""

    pulp_href: str
    id: UUID
    name: str
    user: str
    role: Annotated[Role, Meta(description="The most that it allows; the user's own role limits it as well.")]
    pulp_created: Time
    expires_at: Time
    last_used_at: Annotated[Time | None, Meta(description="Accurate to about a minute.")]
    revoked_at: Time | None
    revoked_by: str | None
    valid: Annotated[bool, Meta(description="Whether it is neither revoked nor expired.")]
    token: NotRequired[Annotated[str, Meta(description="The token itself; only in the answer to its creation.")]]


@router.get("/tokens/")
async def list_tokens(call: Authenticated, request: Request) -> Response:
    """A page of the caller's tokens; for administrators, `user` selects another user's tokens and `all=true` all."""
    query = request.query_params
    refuse_unknown(query, names_of(PARAMETERS))
    wanted = None if flag_of(query.get("all", "")) else query.get("user", call.principal.name)
    call.need_own(wanted or "")
    async with call.service.connection() as connection:
        found = await tokens.list_tokens(connection, wanted)
    limit, offset = limit_and_offset(request)
    return json(page_of(request, len(found), [_shape(each) for each in found[offset : offset + limit]]))


@router.post("/tokens/")
async def create_token(call: Authenticated, request: Request) -> Response:
    """Make a token for the caller: 201, with the token, which nothing shows again."""
    call.need_no_token("a token cannot make tokens: log in with the password")
    call.need_no_jwt("a JWT makes no tokens: they would outlive what the issuer takes away")
    wanted = _wanted(await request.body())
    role = wanted.role or call.principal.role
    if common_role(role, call.principal.role) is not role:
        raise FieldErrors(
            {"role": [f"user {call.principal.name} has the role {call.principal.role}, so a token cannot have {role}."]}
        )
    await call.quotas.action(call.asking)
    async with call.service.connection() as connection:
        lifetime = timedelta(seconds=wanted.expires_in_seconds)
        made, secret = await tokens.create(connection, call.principal.name, wanted.name, role, lifetime)
    _audit(call, What.TOKEN_CREATED, made, f"{made.role}, until {instant(made.expires_at)}")
    return json({**_shape(made), "token": secret}, 201, {"Location": _href(made), **_NO_STORE})


@router.get("/tokens/{token_id}/")
async def read_token(call: Authenticated, token_id: str) -> Response:
    """One token of the caller, or of anybody for administrators; `current` is the one that the request came with."""
    found = await _find(call, token_id)
    return _missing() if found is None else json(_shape(found))


@router.delete("/tokens/{token_id}/")
async def revoke_token(call: Authenticated, token_id: str) -> Response:
    """Revoke a token: it counts no more in this process at once, and within five seconds in the others.

    A token may revoke itself, and no other one unless its role is admin.
    """
    found = await _find(call, token_id)
    if found is None:
        return _missing()
    if call.principal.role is not Role.ADMIN and found.token_id != await _current(call):
        call.need_no_token("a token can revoke itself only")
    await call.quotas.action(call.asking)
    async with call.service.connection() as connection:
        revoked = await tokens.revoke(connection, found.token_id, call.principal.actor)
        digest = await tokens.digest_by_id(connection, found.token_id)
    if revoked is None or digest is None:
        return _missing()
    authenticator: Authenticator = call.request.app.state.authenticator
    authenticator.tokens.forget(digest)
    if found.revoked_at is None:
        _audit(call, What.TOKEN_REVOKED, revoked)
    return json(_shape(revoked))


_CURRENT: Final = "current"


async def _find(call: AuthenticatedCall, token_id: str) -> BearerToken | None:
    """The token, if the caller may see it."""
    found_id = await _current(call) if token_id == _CURRENT else _uuid(token_id)
    if found_id is None:
        return None
    async with call.service.connection() as connection:
        found = await tokens.read(connection, found_id)
    is_own = found is not None and found.user == call.principal.name
    return found if is_own or call.principal.role is Role.ADMIN else None


async def _current(call: AuthenticatedCall) -> UUID | None:
    """The id of the token that the request came with."""
    if call.principal.method is not Method.TOKEN:
        return None
    async with call.service.connection() as connection:
        found = await tokens.login(connection, call.principal.stamp)
    return None if found is None else found.token.token_id


def _wanted(body: bytes) -> NewToken:
    try:
        return decoded(body, NewToken, "the token")
    except BadBody as error:
        raise FieldErrors({error.misfit.path or "body": [error.misfit.sentence]}) from None


def _audit(call: AuthenticatedCall, what: What, token: BearerToken, detail: str = "") -> None:
    name = f"the token {token.name}"
    call.request.app.state.audit.note_change(
        what,
        actor=call.principal.actor,
        address=call.asking.address,
        target=token.user,
        detail=f"{name}: {detail}" if detail else name,
        method=call.principal.method,
        correlation_id=call.caller.correlation_id,
    )


def _shape(token: BearerToken) -> TokenResponse:
    return {
        "pulp_href": _href(token),
        "id": token.token_id,
        "name": token.name,
        "user": token.user,
        "role": token.role,
        "pulp_created": instant(token.created_at),
        "expires_at": instant(token.expires_at),
        "last_used_at": instant(token.last_used_at),
        "revoked_at": instant(token.revoked_at),
        "revoked_by": token.revoked_by,
        "valid": token.is_valid,
    }


def _href(token: BearerToken) -> str:
    return f"{ROOT}/tokens/{token.token_id}/"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _missing() -> Response:
    return json({"detail": "No Token matches the given query."}, 404)
