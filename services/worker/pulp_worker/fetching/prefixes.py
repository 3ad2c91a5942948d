"""Which URLs a credential is for. Pure."""

import re
from typing import Final, NamedTuple

import httpx

_PORTS: Final = {"http": 80, "https": 443}
_AMBIGUOUS: Final = re.compile(rb"%(?:25)*(?:2e|2f|5c)|\\|;", re.IGNORECASE)
"""Sequences that only some servers read as a dot, a slash, or the end of a segment."""
_HOST: Final = re.compile(r"(\*\.)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])")
_FORM: Final = re.compile(r"(https?)://([^/:@?#]+|\[[^]/@?#]+\])(?::([0-9]{1,5}))?(/[^?#]*)?")


class Prefix(NamedTuple):
    """A scheme, a host, a port and the beginning of the path."""

    scheme: str
    host: str
    """In lower-case ASCII; `.NAME` stands for all hosts below the name."""
    port: int
    path: str
    """Decoded; begins and ends with a slash."""

    def covers(self, url: httpx.URL) -> bool:
        """Whether the URL is below it. A path that servers may read in different ways is not."""
        host = url.raw_host.decode("ascii").lower().removesuffix(".")
        is_host = host.endswith(self.host) if self.host.startswith(".") else host == self.host
        port = _PORTS.get(url.scheme) if url.port is None else url.port
        if url.scheme != self.scheme or port != self.port or not is_host:
            return False
        path = url.raw_path.partition(b"?")[0]
        if _AMBIGUOUS.search(path) or any(part in (b".", b"..") for part in path.split(b"/")):
            return False
        return f"{url.path}/".startswith(self.path)


def prefix(text: str) -> Prefix | None:
    """The meaning of `https://cdn.example.org/content/` or `https://*.example.org/`; None for other texts."""
    form = _FORM.fullmatch(text)
    host = form and _HOST.fullmatch(form[2])
    if form is None or not host:
        return None
    try:
        url = httpx.URL(f"{form[1]}://{host[2]}{form[4] or '/'}")
    except (httpx.InvalidURL, ValueError):
        return None
    raw_path = url.raw_path
    if _AMBIGUOUS.search(raw_path) or any(part in (".", "..") for part in (form[4] or "/").split("/")):
        return None
    port = int(form[3]) if form[3] else _PORTS[form[1]]
    if not 0 < port <= 65_535:
        return None
    name = url.raw_host.decode("ascii").lower()
    return Prefix(form[1], f".{name}" if host[1] else name, port, f"{url.path.rstrip('/')}/")
