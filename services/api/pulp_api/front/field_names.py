"""The case of header fields: HTTP ignores it, but clients keep fields in dictionaries that do not. Pure."""

from functools import lru_cache
from typing import Final

_SPECIAL: Final = {
    b"correlation-id": b"Correlation-ID",
    b"etag": b"ETag",
    b"www-authenticate": b"WWW-Authenticate",
}


def in_usual_case(head: bytes) -> bytes:
    """The head of an answer with `Content-Type` for `content-type`, and so on, as Pulp's own server sends it."""
    status, *fields = head.split(b"\r\n")
    return b"\r\n".join([status, *map(_field, fields)])


def _field(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return _usual(name) + colon + value


@lru_cache(maxsize=256)
def _usual(name: bytes) -> bytes:
    return _SPECIAL.get(name) or b"-".join(part.capitalize() for part in name.split(b"-"))
