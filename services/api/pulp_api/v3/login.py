"""Login and logout of browsers, as in Pulp 3."""

from typing import TypedDict
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pulp_accounts.users import Role
from pulp_events.audit import What

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.logins.auth import Method
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import Unauthenticated
from pulp_api.respond import json
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.references import Kind

router = APIRouter(prefix=ROOT)


class LoginResponse(TypedDict):
    """The caller, and how the request was authenticated."""

    pulp_href: str
    prn: str
    username: str
    role: Role
    authenticated_by: Method


@router.post("/login/")
async def log_in(call: Authenticated, request: Request) -> Response:
    """Begin a session for a user who sent a name and a password: 201, with the cookies `sessionid` and `csrftoken`.

    A request with the session's cookie that may change something needs the value of `csrftoken` in `X-CSRFToken`.
    """
    principal = call.principal
    call.need_password("a session begins with a name and a password, by HTTP basic authentication")
    response = json(_user(call), 201)
    if not await _authenticator(call).sessions.begin(principal.name, request, response):
        raise Unauthenticated("Invalid username/password.")
    _note(call, What.LOGIN_SUCCEEDED, "a session has begun")
    return response


@router.get("/login/")
async def read_login(call: Authenticated) -> Response:
    """The caller: name, role, and how the request was authenticated."""
    return json(_user(call))


@router.delete("/login/")
async def log_out(call: Authenticated) -> Response:
    """End the session: 204, without the cookies. It counts nowhere after five seconds."""
    response = Response(status_code=204)
    await _authenticator(call).sessions.end(call.principal, response)
    if call.principal.method is Method.SESSION:
        _note(call, What.LOGGED_OUT, "")
    return response


@router.post("/logout/")
async def log_out_by_post(call: Authenticated) -> Response:
    """The same as DELETE of `login/`."""
    return await log_out(call)


def _user(call: AuthenticatedCall) -> LoginResponse:
    name = call.principal.name
    return {
        "pulp_href": Kind.USER.href(quote(name, safe="")),
        "prn": Kind.USER.prn(quote(name, safe="")),
        "username": name,
        "role": call.principal.role,
        "authenticated_by": call.principal.method,
    }


def _authenticator(call: AuthenticatedCall) -> Authenticator:
    found: Authenticator = call.request.app.state.authenticator
    return found


def _note(call: AuthenticatedCall, what: What, detail: str) -> None:
    call.request.app.state.audit.note(
        what,
        actor=call.principal.actor,
        address=call.asking.address,
        method=Method.SESSION,
        detail=detail,
        correlation_id=call.caller.correlation_id,
    )
