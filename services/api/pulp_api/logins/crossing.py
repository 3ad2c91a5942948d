"""Refuses cross-site requests (CSRF): those of another site's page, in a browser that knows a user's password. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from pulp_events.errors import PulpError

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({b"same-origin", b"none"})
_FIELDS: Final = frozenset(
    {b"sec-fetch-site", b"origin", b"host", b"content-type", b"content-length", b"transfer-encoding"}
)
_JSON: Final = b"application/json"
_FORMS: Final = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class CrossSite(PulpError):
    """Another site's page made this request."""


class NotJson(PulpError):
    """The body is declared as something other than JSON."""


def check(request: Request) -> None:
    """Refuse a request that may change something if it comes from another site, or has a body of another type.

    Programs send neither `Sec-Fetch-Site` nor `Origin`; a browser sends at least one, and a page cannot forge them. A
    body without a type is read as JSON. Raises `CrossSite`, `NotJson`.
    """
    if request.method in READING:
        return
    # One pass over the fields: most requests have none of these but a length and a type.
    sent = {name: value for name, value in reversed(request.scope["headers"]) if name in _FIELDS}
    if (site := sent.get(b"sec-fetch-site")) is not None:
        if site.strip().lower() not in _OWN:
            raise CrossSite(f"a page of another site made this request (Sec-Fetch-Site: {_text(site)}): it is refused")
    elif (origin := sent.get(b"origin")) is not None and not _is_own(_text(origin), _text(sent.get(b"host", b""))):
        raise CrossSite(f"a page of another site made this request (Origin: {_text(origin)}): it is refused")
    declared = sent.get(b"content-type", b"")
    if declared and _has_body(sent) and _kind(declared) not in _taken(request.method):
        raise NotJson(f"the body is {_text(declared)}: send JSON, with Content-Type: application/json")


def _kind(declared: bytes) -> bytes:
    return declared.partition(b";")[0].strip().lower()


def _taken(method: str) -> tuple[bytes, ...]:
    """The allowed types of bodies. Another site's page cannot send a PATCH without a preflight, so that one may be a
    form, as in Pulp 3.
    """
    return (_JSON, *_FORMS) if method == "PATCH" else (_JSON,)


def _has_body(sent: Mapping[bytes, bytes]) -> bool:
    return sent.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in sent


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is this host. The scheme is ignored, as a proxy may terminate TLS."""
    try:
        theirs = urlsplit(origin)
        ours = urlsplit(f"{theirs.scheme}://{host}")
        default = _DEFAULT_PORTS.get(theirs.scheme)
        return (
            default is not None
            and bool(theirs.hostname)
            and (theirs.hostname, theirs.port or default) == (ours.hostname, ours.port or default)
        )
    except ValueError:
        return False
