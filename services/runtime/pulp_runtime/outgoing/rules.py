"""Where requests may go. Pure."""

import re
from ipaddress import ip_address, ip_network
from typing import Final

from msgspec import Struct
from pulp_events.declared_settings import Setting, words, wrong
from pulp_events.errors import SettingsError

from pulp_runtime.outgoing.addresses import Address, Kind, Network, kind_of, unwrapped

_KINDS: Final = (Kind.PUBLIC, Kind.PRIVATE, Kind.LOOPBACK)
_NAME: Final = re.compile(r"(?:\*\.|\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_LARGEST_PORT: Final = 65_535
_METADATA: Final = ("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal")
"""Names of the metadata of clouds, for a proxy that would resolve them."""


class Refused(Exception):
    """The rules do not allow the destination. The reason is for no one but a test: all refusals read the same."""


def destinations_of(name: str, text: str) -> tuple[str, ...]:
    """The items of a list; `name` is the setting. Raises `SettingsError`."""
    found = words(text.lower())
    bad = next(filter(_is_wrong, found), None)
    if bad is not None:
        raise SettingsError(
            f"{name}: {bad!r} is neither public, private or loopback, nor a network such as 10.0.0.0/8, nor the name"
            " of a host such as mirror.example.org or *.example.org (in ASCII letters)"
        )
    return found


def ports_of(name: str, text: str) -> tuple[tuple[int, int], ...]:
    """First and last port of each range; `name` is the setting. Raises `SettingsError`."""
    found = [_range(word) for word in words(text)]
    if None in found:
        raise wrong(name, text, "ports and ranges are expected, such as 80,443,8000-8999")
    return tuple(each for each in found if each is not None)


def list_setting(name: str, sentence: str) -> Setting:
    """A setting that is a list of destinations, for a field of `Destinations` in a process's own rules."""
    return Setting(
        name, sentence, parse=destinations_of, allowed="`public`, `private`, `loopback`, networks and names of hosts"
    )


def ports_setting(name: str, sentence: str) -> Setting:
    """A setting that is a list of ports, likewise."""
    return Setting(name, sentence, parse=ports_of, allowed="ports and ranges")


USUAL_PORTS: Final = ((80, 80), (443, 443), (1024, _LARGEST_PORT))
"""The ports that are allowed by default: first and last of each range."""


class Destinations(Struct, frozen=True, kw_only=True):
    """Addresses on `allow` and not on `deny` may be used; some never.

    An item is a kind of address (`public`, `private`, `loopback`), a network, an address, or a host's name; `*.NAME`
    stands for all names below it. An allowed name may have public and private addresses; reaching it over the loopback
    interface needs an item for the address as well.
    """

    allow: tuple[str, ...] = ("public",)
    deny: tuple[str, ...] = ()
    ports: tuple[tuple[int, int], ...] = USUAL_PORTS
    """First and last port of each range."""

    def check_host(self, host: str, port: int) -> None:
        """Raises `Refused` for a host that is refused whatever its addresses are."""
        if not any(first <= port <= last for first, last in self.ports):
            raise Refused("port")
        address = literal(host)
        if address is not None:
            self.check_address(host, address)
        elif _names_match((*_METADATA, *self.deny), host):
            raise Refused("name")

    def check_address(self, host: str, address: Address) -> None:
        """Raises `Refused` unless a request may go to this address of the host."""
        kind = kind_of(address)
        if kind is Kind.NEVER or self._lists(self.deny, address, kind):
            raise Refused("address")
        is_named = kind is not Kind.LOOPBACK and _names_match(self.allow, host)
        if not is_named and not self._lists(self.allow, address, kind):
            raise Refused("address")

    def check_through_proxy(self, host: str, port: int) -> None:
        """Raises `Refused` unless a proxy may be asked for the host, whose addresses only the proxy knows."""
        self.check_host(host, port)
        if literal(host) is None and Kind.PUBLIC not in self.allow and not _names_match(self.allow, host):
            raise Refused("name")

    @staticmethod
    def _lists(items: tuple[str, ...], address: Address, kind: Kind) -> bool:
        if kind in items:
            return True
        networks = [network for network in map(_network, items) if network is not None]
        return any(each in network for each in (address, unwrapped(address)) for network in networks)


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name. Raises `Refused` for any other way to write one.

    Resolvers take `127.1`, `0x7f000001` and `2130706433` for 127.0.0.1; nobody who means well writes a URL like that.
    """
    text = host.removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None and (not text or "%" in text or ":" in text or _NUMBER.fullmatch(text.rpartition(".")[2])):
        raise Refused("form")
    return address


def _is_wrong(item: str) -> bool:
    """Whether no list can contain this."""
    return item not in _KINDS and _network(item) is None and (not _NAME.fullmatch(item) or _is_numeric(item))


def _range(text: str) -> tuple[int, int] | None:
    """First and last of `443` or `8000-8999`; None for anything else."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    found = int(first), int(last or first)
    return found if 1 <= found[0] <= found[1] <= _LARGEST_PORT else None


def _is_numeric(item: str) -> bool:
    return bool(_NUMBER.fullmatch(item.rpartition(".")[2]))


def _network(item: str) -> Network | None:
    try:
        return ip_network(item.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _names_match(items: tuple[str, ...], host: str) -> bool:
    name = host.lower().removesuffix(".")
    for item in items:
        if item in _KINDS:
            continue
        suffix = item.removeprefix("*")
        if name == item.removesuffix(".") or (suffix.startswith(".") and name.endswith(suffix)):
            return True
    return False
