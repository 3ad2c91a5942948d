"""Addresses of clients: which ones count as one client, and which ones are trusted proxies."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from pulp_events.settings import SettingsError

_IPV6_SITE_BITS: Final = 64
_LONGEST: Final = 60
"""Characters of an address, with a zone."""


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address, with IPv4 mapped into IPv6 as IPv4; None if the text is not an address."""
    try:
        found = ip_address(text.partition("%")[0]) if len(text) <= _LONGEST else None
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=4096)
def site_of(text: str) -> str:
    """The unit that counts as one client: an IPv4 address, or the /64 network of an IPv6 address, which belongs to one
    site.
    """
    found = address_of(text)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _IPV6_SITE_BITS), strict=False))
    return text if found is None else str(found)


class Proxies:
    """The proxies whose forwarding headers are trusted."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(maxsize=4096)(self._look_up)

    @classmethod
    def parse(cls, words: Sequence[str], key: str) -> Self:
        """Parse addresses and networks. Raises `SettingsError`, which names `key`."""
        try:
            return cls([ip_network(word) for word in words])
        except ValueError as error:
            raise SettingsError(
                f"{key}={','.join(words)}: {error}; addresses and networks are expected, such as 10.0.0.7,10.1.0.0/16"
            ) from None

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, host: object) -> bool:
        return bool(self._networks) and isinstance(host, str) and len(host) <= _LONGEST and self._trusts(host)

    def _look_up(self, host: str) -> bool:
        found = address_of(host)
        return found is not None and any(found in network for network in self._networks)
