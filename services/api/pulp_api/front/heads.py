"""Checks of a request's head that the parser does not make."""

import re
from typing import Final

from pulp_api.front import refusals
from pulp_api.front.refusals import Refusal

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.%A-Za-z_-]+\])?(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]*)(.*)", re.DOTALL)


class Head:
    """The head of one request, field by field."""

    __slots__ = ("_codings", "_hosts", "length", "login")

    def __init__(self) -> None:
        self.login: bytes | None = None
        """The value of `Authorization`."""
        self.length = 0
        """The value of `Content-Length`; 0 without it."""
        self._hosts = 0
        self._codings: list[bytes] = []

    def field(self, name: bytes, value: bytes) -> Refusal | None:
        """Check one field; `name` is in lower case."""
        if name == b"host":
            self._hosts += 1
            return refusals.HOST if self._hosts > 1 or not _HOST.fullmatch(value) else None
        if name == b"authorization":
            self.login = value
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"transfer-encoding":
            self._codings.append(value.lower())
        return None

    def complete(self, method: bytes, version: str, *, is_absolute: bool) -> Refusal | None:
        """Check the whole head. With an absolute target no `Host` is needed."""
        if method == b"CONNECT":
            return refusals.TUNNEL
        if version not in ("1.1", "1.0"):
            return refusals.VERSION
        if self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            return refusals.CODING
        return refusals.HOST if version == "1.1" and not self._hosts and not is_absolute else None


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """Authority and path of an absolute target; None for any other target."""
    match = None if target.startswith(b"/") else _ABSOLUTE.fullmatch(target)
    if match is None:
        return None
    return match[1], match[2] if match[2].startswith(b"/") else b"/" + match[2]


def is_host(text: bytes) -> bool:
    """Whether the text is a valid value of `Host`."""
    return _HOST.fullmatch(text) is not None
