"""What kind of destination an IP address is. Pure."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Kind(StrEnum):
    """The kinds that PULP_FETCH_ALLOW and PULP_FETCH_DENY name, and the one that is never fetched from."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    NEVER = "never"


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")
_NEVER: Final = _networks(
    "0.0.0.0/8",  # this host
    "169.254.0.0/16",  # link-local, and the metadata of most clouds
    "168.63.129.16/32",  # Azure's platform
    "100.100.100.200/32",  # Alibaba's metadata
    "192.0.0.0/24",  # protocol assignments, and Oracle's metadata
    "192.0.2.0/24",  # documentation, as are the next two
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",  # relays of 6to4
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "fd00:ec2::/32",  # Amazon's metadata
    "fd20:ce::254/128",  # Google's
    "fd00:42::42/128",  # Scaleway's
    "2001::/23",  # Teredo, and protocol assignments
    "2001:db8::/32",  # documentation
    "3fff::/20",  # documentation
    "2002::/16",  # 6to4
)
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7"
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped or NAT64 address leads to; any other address unchanged."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return _last_32_bits(address)
    return address


def kind_of(address: Address) -> Kind:
    """What the address is. An address with another one inside is what that one is, or `NEVER`."""
    inner = unwrapped(address)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Kind.NEVER
    if isinstance(address, IPv6Address) and address in _NAT64:
        return Kind.PUBLIC if kind_of(inner) is Kind.PUBLIC else Kind.NEVER  # as RFC 6052 has it
    if _is_in(inner, _LOOPBACK):
        return Kind.LOOPBACK
    if _is_in(inner, _NEVER) or _leads_elsewhere(inner):
        return Kind.NEVER
    if _is_in(inner, _PRIVATE):
        return Kind.PRIVATE
    if isinstance(inner, IPv6Address) and inner not in _GLOBAL_UNICAST:
        return Kind.NEVER  # link-local, multicast, unspecified, IPv4-compatible, and unassigned addresses
    return Kind.PUBLIC


def _leads_elsewhere(address: Address) -> bool:
    """An ISATAP address whose IPv4 address is not public."""
    if not isinstance(address, IPv6Address) or (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP:
        return False
    return kind_of(_last_32_bits(address)) is not Kind.PUBLIC


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
