"""The URL of the server, checked before anything is sent to it. Pure."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pulp_console.exits import CONFIG

from pulp_admin.errors import Failure

_PORTS: Final = {"http": 80, "https": 443}
_API: Final = "/pulp/api"
_EXAMPLE: Final = "such as http://127.0.0.1:24817 or https://pulp.example.org"


def server_url(text: str, source: str) -> str:
    """The URL without a final slash. Raises `Failure` (78) that names the source, and never shows a password."""
    stripped = text.strip()
    if "@" in stripped:
        raise Failure(
            f"{source}: the URL holds a user name or a password, which would end up in logs. Take it out, and give them"
            " as --username and --password-file, as PULP_USERNAME and PULP_PASSWORD, or as username and password in"
            " ~/.pulp/admin.toml",
            CONFIG,
        )
    try:
        parts = urlsplit(stripped)
    except ValueError as error:
        raise _refused(source, stripped, str(error)) from None
    fault = _fault(stripped, parts)
    if fault is not None:
        raise _refused(source, stripped, fault)
    return stripped.rstrip("/")


def _fault(text: str, parts: SplitResult) -> str | None:
    if parts.scheme not in _PORTS or not text.lower().startswith(f"{parts.scheme}://"):
        return f"it must begin with http:// or https://, {_EXAMPLE}"
    if not parts.hostname:
        return f"the name of the host is missing, {_EXAMPLE}"
    if not _has_good_port(parts):
        return "a port is a number from 1 to 65535"
    if re.search(r"[\s\x00-\x20\x7f-\x9f\ud800-\udfff\\]", text):
        return "it holds a character that no URL can hold"
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        return "it must not have a query or a fragment"
    if _API in parts.path:
        before = text[: text.index(_API)]
        return f"the part from {_API} on is added by pulp-admin: give {before}"
    return None


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return False


def with_port(url: str) -> str:
    """The URL with its port written out, as a message should have it."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}{parts.path}"


def _refused(source: str, shown: str, fault: str) -> Failure:
    return Failure(f"{source}: the URL {shown!r} cannot be used: {fault}", CONFIG)
