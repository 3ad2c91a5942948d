"""The answers to requests that do not reach the application."""

from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec


class Refusal(NamedTuple):
    """An answer after which the connection ends."""

    status: int
    detail: str

    def encode(self) -> bytes:
        """The bytes to send."""
        body = msgspec.json.encode({"detail": self.detail})
        retry = "Retry-After: 2\r\n" if self.status in (429, 503) else ""
        return (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{retry}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode() + body


MALFORMED: Final = Refusal(400, "the request is not HTTP/1.1 as RFC 9112 has it")
HOST: Final = Refusal(400, "a request needs one Host header, with a host name or an address and perhaps a port")
SMALL_CHUNKS: Final = Refusal(
    400, "the chunks of the body, or its trailers, take too much in addition to the body itself"
)
HEAD_LATE: Final = Refusal(408, "the head of the request did not arrive in time")
BODY_LATE: Final = Refusal(408, "the body of the request did not arrive in time")
HEAD_TOO_LARGE: Final = Refusal(431, "the head of the request is too large")
TOO_MANY_FIELDS: Final = Refusal(431, "the head of the request has too many fields")
URL_TOO_LONG: Final = Refusal(414, "the URL of the request is too long")
TUNNEL: Final = Refusal(501, "this is not a proxy: CONNECT is not supported")
CODING: Final = Refusal(501, "of transfer codings only chunked is known, once and in HTTP/1.1")
VERSION: Final = Refusal(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
CROWDED_ADDRESS: Final = Refusal(429, "too many connections from this address: close some, or try again later")
CROWDED: Final = Refusal(503, "too many connections: try again later")
NO_ROOM: Final = Refusal(503, "too many requests are being received: try again later")
STOPPING: Final = Refusal(503, "the server stops: try again later")
