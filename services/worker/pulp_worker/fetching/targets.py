"""The URLs that are fetched, as texts that a person gave or a server sent. Pure."""

import re
from typing import Final, NamedTuple

import httpx

from pulp_worker.fetching.errors import FetchFailed, FetchRefused
from pulp_worker.fetching.texts import MOST_CHARACTERS

_PORTS: Final = {"http": 80, "https": 443}
_NO_URL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\u2028\u2029]")
_CARRIED: Final = ("accept", "cache-control", "range", "if-range", "if-none-match", "if-modified-since")
"""Headers that another origin gets as well, when a redirect leads there."""


class Target(NamedTuple):
    """Where a request goes."""

    url: httpx.URL
    scheme: str
    host: str
    """Without brackets; in ASCII."""
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are for."""
        return self.scheme, self.host, self.port


def target(url: str, asked: str) -> Target:
    """Raises `FetchFailed` unless it is an http or https URL, `FetchRefused` for one with a user name or password."""
    found = _target(url)
    if found is None:
        raise FetchFailed(f"{asked}: this is no http or https URL that can be fetched")
    if found.url.userinfo:
        raise FetchRefused(f"{asked}: a URL with a user name or password is refused; send them as headers")
    return found


def redirected(start: Target, location: str, *, asked: str, may_downgrade: bool) -> Target:
    """Where a redirect leads. Raises `FetchRefused`, which does not repeat what the server has sent."""
    try:
        found = None if _NO_URL.search(location) else _target(str(start.url.join(location)))
    except (httpx.InvalidURL, ValueError):
        found = None
    if found is None:
        raise FetchRefused(f"{asked}: the server redirects to what is no http or https URL")
    if found.url.userinfo:
        raise FetchRefused(f"{asked}: the server redirects to a URL with a user name or password")
    if start.scheme == "https" and found.scheme == "http" and not may_downgrade:
        raise FetchRefused(f"{asked}: the server redirects from https to http (PULP_FETCH_DOWNGRADE=yes allows it)")
    return found


def carried(headers: dict[str, str], start: Target, to: Target) -> dict[str, str]:
    """The headers of a request that goes on to the target: credentials stay with the origin that they were for."""
    if start.origin == to.origin:
        return headers
    return {name: value for name, value in headers.items() if name.lower() in _CARRIED}


def _target(url: str) -> Target | None:
    if len(url) > MOST_CHARACTERS or _NO_URL.search(url):
        return None
    try:
        parsed = httpx.URL(url.partition("#")[0])
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return None
    port = _PORTS.get(parsed.scheme) if parsed.port is None else parsed.port
    if port is None or parsed.scheme not in _PORTS or not host:
        return None
    return Target(parsed, parsed.scheme, host, port)
