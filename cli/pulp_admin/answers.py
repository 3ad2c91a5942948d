"""What each bad answer of the server means to the user. Pure."""

from collections.abc import Mapping
from typing import Any

import httpx
from pulp_console.exits import DATA, DENIED, SOFTWARE, TEMPORARY, UNAVAILABLE

from pulp_admin.arguments import example_of
from pulp_admin.errors import Failure, NotFound, StaleStream, Unreachable

_AWAY = (502, 503, 504)


def json_of(response: httpx.Response, url: str) -> Any:
    """The JSON of a good answer. Raises `Failure` for a bad one; `url` is that of the server, for the message."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        message = (
            "The web server reported an error trying to access the Pulp application."
            f" It answered {response.status_code} and no JSON: is {url} the Pulp server?"
        )
        if response.status_code in _AWAY:
            raise Unreachable(message, SOFTWARE, why=f"status {response.status_code}") from None
        raise Failure(message, SOFTWARE) from None
    if response.status_code >= 400:
        raise _failure(response, body if isinstance(body, dict) else {})
    if response.status_code >= 300:
        where = response.headers.get("location", "")
        raise Failure(f"The server answered {response.status_code} and sends to {where!r}: is {url} right?", SOFTWARE)
    return body


def detail_of(response: httpx.Response) -> str:
    """What the server says of its error, in either dialect; the status if it says nothing."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    status = f"status {response.status_code}"
    if isinstance(body, list):
        return "\n".join(map(str, body)) or status
    found = body if isinstance(body, dict) else {}
    return str(found.get("error_message") or found.get("detail") or _fields(found) or status)


def _fields(body: Mapping[str, Any]) -> str:
    """Pulp 3's `{FIELD: [MESSAGE]}`, a line for each field."""
    return "\n".join(
        f"{field}: {' '.join(map(str, messages))}" for field, messages in body.items() if isinstance(messages, list)
    )


def _failure(response: httpx.Response, body: Mapping[str, Any]) -> Failure:
    status, detail = response.status_code, detail_of(response)
    match status:
        case 404 if isinstance(body.get("resources"), dict):
            lines = "\n".join(f"  {value} ({key})" for key, value in body["resources"].items())
            return NotFound(f"The following resource(s) could not be found:\n\n{lines}\n\n")
        case 404:
            return NotFound(detail)
        case 401:
            return Failure(
                "Authentication Failed\n\nCheck the user name and the password in the client configuration"
                " (~/.pulp/admin.toml), in PULP_USERNAME and PULP_PASSWORD, or given with --username and"
                " --password-file.",
                DENIED,
            )
        case 403:
            return Failure(f"Insufficient Permissions: {detail}", DENIED)
        case 501:
            return Failure(detail, UNAVAILABLE, to_stdout=True)
        case 503 | 504:
            message = f"The server cannot answer now: {detail}\nTry again in a moment."
            return Unreachable(message, TEMPORARY, why=detail)
        case 410:
            return StaleStream(detail, DATA)
        case 429:
            return Failure(f"The server is asked too often: {detail}\nTry again in a moment.", TEMPORARY)
        case 400 if isinstance(body.get("example"), dict):
            return Failure(f"{detail}\n{example_of(body['example'])}", DATA)
        case _ if status < 500:
            return Failure(detail, DATA)
        case _:
            return Failure(f"An internal error occurred on the Pulp server:\n\n{detail}", SOFTWARE)
