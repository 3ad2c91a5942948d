"""Turn error responses of the server into messages for the user. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

import httpx
from pulp_console.exits import DATA, DENIED, SOFTWARE, TEMPORARY, UNAVAILABLE

from pulp_admin.arguments import example_of
from pulp_admin.errors import Conflict, Failure, NotFound, StaleStream, Unreachable

_AWAY = (502, 503, 504)
_NO_RIGHT: Final = "Insufficient Permissions"
_WRONG_PASSWORD: Final = "Invalid Username or Password"
_NO_MATCH: Final = re.compile(r"No (\w+) matches the given query\.")
_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_REFUSAL: Final = "Invalid username/password"
"""How the detail begins in the dialect of Pulp 3, for an answer without a code."""
_LOG_IN: Final = (
    "Check the user name and the password in the client configuration (~/.pulp/admin.toml or admin.conf), in"
    " PULP_USERNAME and PULP_PASSWORD, or given with --username and --password-file; or log in again: pulp-admin login"
    " -u NAME"
)


def json_of(response: httpx.Response, url: str) -> Any:
    """Return the JSON of a successful response, None for one without content.

    Raises `Failure`, which names the server's `url`, for any other.
    """
    if response.status_code == 204:
        return None
    if 300 <= response.status_code < 400:
        where = response.headers.get("location", "")
        raise Failure(f"The server answered {response.status_code} and sends to {where!r}: is {url} right?", SOFTWARE)
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
    return body


def detail_of(response: httpx.Response) -> str:
    """Return the server's error message, in either dialect, or the status if there is none."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    status = f"status {response.status_code}"
    if isinstance(body, list):
        return "\n".join(map(str, body)) or status
    found = body if isinstance(body, dict) else {}
    return str(found.get("error_message") or found.get("detail") or _fields(found) or status)


def _missing(detail: str, path: str) -> str:
    """The message for something that does not exist: Pulp 3's own does not name the id.

    It names the id only if the path has it in the collection of this kind: another id may be of something that exists.
    """
    kind = _NO_MATCH.fullmatch(detail)
    if kind is None:
        return detail
    words = _WORDS.sub(" ", kind[1]).lower()
    found = re.search(rf"/{words.replace(' ', '-')}s/({_ID})(?:/|$)", path)
    return detail if found is None else f"There is no {words} {found[1]}."


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
            return NotFound(_missing(detail, response.url.path))
        case 403:
            return Failure(f"{_NO_RIGHT}: {detail}", DENIED)
        case 401 if body.get("auth_error_code") == "permission_denied":  # as Pulp 2 answers
            return Failure(f"{_NO_RIGHT}: {detail}", DENIED)
        case 401:
            is_wrong = body.get("auth_error_code") == "invalid_username_or_password" or detail.startswith(_REFUSAL)
            return Failure(f"{_WRONG_PASSWORD if is_wrong else 'Authentication Failed'}\n\n{_LOG_IN}", DENIED)
        case 409:
            return Conflict(detail)
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
