"""HTTP basic authentication (RFC 7617) as it stands in a request, and where the request came from."""

from base64 import b64decode
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from fastapi import Request
from pulp_events.errors import PulpError

CHALLENGE: Final = 'Basic realm="api", charset="UTF-8"'
SCRIPT_CHALLENGE: Final = f"x{CHALLENGE}"
"""For scripts of a page: a browser must not ask its user."""
_MOST: Final = 8192
"""Characters of a header: twice what the longest name and password take."""
_IPV6_SITE: Final = 64
"""Bits of an IPv6 address that one site, and so one attacker, has to choose from."""


class Unauthenticated(PulpError):
    """No credentials, or wrong ones."""


class Basic(NamedTuple):
    """A name and a password, as somebody claims them."""

    name: str
    password: str

    @classmethod
    def of(cls, request: Request) -> "Basic":
        """Those of a request. In UTF-8, or else in Latin-1, as some clients send them. Raises `Unauthenticated`."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise Unauthenticated("Authentication credentials were not provided.")
        if len(encoded) > _MOST:
            raise Unauthenticated("Invalid basic header.")
        try:
            value = b64decode(encoded.strip(), validate=True)
        except ValueError:
            raise Unauthenticated("Invalid basic header. Credentials not correctly base64 encoded.") from None
        try:
            name, colon, password = value.decode().partition(":")
        except UnicodeDecodeError:
            name, colon, password = value.decode("latin-1").partition(":")
        if not colon or "\0" in name:
            raise Unauthenticated("Invalid basic header.")
        return cls(name, password)


class Origin(NamedTuple):
    """Where a request came from."""

    address: str | None
    """Of the client; None where the server does not know it."""
    port: int
    """Of the client's end of the connection; 0 where it is not known."""

    @classmethod
    def of(cls, request: Request) -> "Origin":
        """That of a request."""
        return cls(None, 0) if request.client is None else cls(request.client.host, request.client.port)

    @property
    def site(self) -> str:
        """What failures are counted by: the address, or the network of an IPv6 address."""
        try:
            found = ip_address((self.address or "").partition("%")[0])
        except ValueError:
            return self.address or ""
        if not isinstance(found, IPv6Address):
            return str(found)
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
