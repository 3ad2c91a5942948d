"""Reads the credentials of HTTP basic authentication (RFC 7617) and the origin of a request."""

from base64 import b64decode
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from fastapi import Request
from pulp_events.errors import PulpError

CHALLENGE: Final = 'Basic realm="api", charset="UTF-8"'
SCRIPT_CHALLENGE: Final = f"x{CHALLENGE}"
"""For scripts in a page: the unknown scheme keeps the browser from asking its user for a password."""
_MAX_HEADER: Final = 8192
"""The longest header, in characters: twice what the longest name and password need."""
_IPV6_SITE: Final = 64
"""The prefix length, in bits, of the IPv6 network of one site; an attacker can choose any address within it."""


class Unauthenticated(PulpError):
    """No credentials, or wrong ones."""


class WrongPassword(Unauthenticated):
    """No user has this name, or it has another password."""


class IssuerAway(PulpError):
    """The keys of the issuer of a token cannot be fetched."""


class Basic(NamedTuple):
    """A name and a password that have not been checked."""

    name: str
    password: str

    @classmethod
    def of(cls, request: Request) -> "Basic":
        """The credentials of a request, in UTF-8, or in Latin-1 as some clients send. Raises `Unauthenticated`."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise Unauthenticated("Authentication credentials were not provided.")
        if len(encoded) > _MAX_HEADER:
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


class RequestOrigin(NamedTuple):
    """The origin of a request."""

    address: str | None
    """The client's address; None if unknown."""
    port: int
    """The client's port; 0 if unknown."""

    @classmethod
    def of(cls, request: Request) -> "RequestOrigin":
        """The origin of a request."""
        return cls(None, 0) if request.client is None else cls(request.client.host, request.client.port)

    @property
    def site(self) -> str:
        """The key by which failed logins are counted: the IPv4 address, or the network of an IPv6 address."""
        try:
            found = ip_address((self.address or "").partition("%")[0])
        except ValueError:
            return self.address or ""
        if not isinstance(found, IPv6Address):
            return str(found)
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
