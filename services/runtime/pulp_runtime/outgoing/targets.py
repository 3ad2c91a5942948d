"""Where a request goes, from a URL that a person gave or a server sent. Pure."""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pulp_runtime.outgoing.texts import MOST_CHARACTERS

if TYPE_CHECKING:
    import httpx

_PORTS: Final = {"http": 80, "https": 443}
_NO_URL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\u2028\u2029]")


class Target(NamedTuple):
    """Where a request goes."""

    url: "httpx.URL"
    scheme: str
    host: str
    """Without brackets; in ASCII."""
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """The origin to which credentials belong."""
        return self.scheme, self.host, self.port


def has_no_place_in_a_url(text: str) -> bool:
    """Whether it has a character that no URL may contain, such as a newline."""
    return _NO_URL.search(text) is not None


def parse_target(url: str) -> Target | None:
    """Where a request for the URL goes; None unless it is an http or https URL."""
    if len(url) > MOST_CHARACTERS or has_no_place_in_a_url(url):
        return None
    import httpx  # with its dependencies it takes 7 MiB, which an API without subscriptions does not need

    try:
        parsed = httpx.URL(url.partition("#")[0])
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return None
    port = _PORTS.get(parsed.scheme) if parsed.port is None else parsed.port
    if port is None or not 0 < port < 2**16 or parsed.scheme not in _PORTS or not host:
        return None
    return Target(parsed, parsed.scheme, host, port)
