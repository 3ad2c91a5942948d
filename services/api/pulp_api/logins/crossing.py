"""Requests that another site makes in a browser which knows a user's password here (CSRF). Pure."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from pulp_events.errors import PulpError

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class CrossSite(PulpError):
    """Another site's page made this request."""


class NotJson(PulpError):
    """The body says that it is something else than JSON."""


def check(request: Request) -> None:
    """Refuse what may change something, and comes from another site or with a body that is not JSON.

    Programs send neither `Sec-Fetch-Site` nor `Origin`; a browser sends at least one, and a page cannot forge them. A
    body without a type is read as JSON. Raises `CrossSite`, `NotJson`.
    """
    if request.method in _READING:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site.strip().lower() not in _OWN:
        raise CrossSite(f"a page of another site made this request (Sec-Fetch-Site: {site}): it is refused")
    if site is None and origin is not None and not _is_own(origin, request.headers.get("host", "")):
        raise CrossSite(f"a page of another site made this request (Origin: {origin}): it is refused")
    declared = request.headers.get("content-type", "")
    if declared and _has_body(request) and declared.partition(";")[0].strip().lower() != "application/json":
        raise NotJson(f"the body is {declared}: send JSON, with Content-Type: application/json")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is at this host. By which scheme does not count: a proxy may end TLS."""
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
