"""The URLs that are fetched, as texts that a person gave or a server sent. Pure."""

from typing import Final

import httpx
from pulp_runtime.outgoing.targets import Target, has_no_place_in_a_url, parse_target

from pulp_worker.fetching.errors import FetchFailed, FetchRefused

_CARRIED: Final = ("accept", "cache-control", "range", "if-range", "if-none-match", "if-modified-since")
"""Headers that another origin gets as well, when a redirect leads there."""


def target(url: str, asked: str) -> Target:
    """Raises `FetchFailed` unless it is an http or https URL, `FetchRefused` for one with a user name or password."""
    found = parse_target(url)
    if found is None:
        raise FetchFailed(f"{asked}: this is not an http or https URL that can be fetched")
    if found.url.userinfo:
        raise FetchRefused(f"{asked}: a URL with a user name or password is refused; send them as headers")
    return found


def redirected(start: Target, location: str, *, asked: str, may_downgrade: bool) -> Target:
    """Where a redirect leads. Raises `FetchRefused`, which does not repeat anything from the server."""
    try:
        found = None if has_no_place_in_a_url(location) else parse_target(str(start.url.join(location)))
    except (httpx.InvalidURL, ValueError):
        found = None
    if found is None:
        raise FetchRefused(f"{asked}: the server redirects to a URL that is not http or https")
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
