"""Which proxy leads to a server: that of the environment, else that of a file. Pure."""

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_LOOPBACK_NAME: Final = "localhost"


class Proxy(NamedTuple):
    """A proxy, and what names it: a variable, or a file."""

    url: str
    named_by: str
    is_of_file: bool = False

    @property
    def place(self) -> str:
        """Where it is named, in words for a message."""
        return self.named_by if self.is_of_file else f"{self.named_by} in the environment"

    @property
    def shown(self) -> str:
        """The URL without the password that it may hold."""
        head, at, tail = self.url.rpartition("@")
        return f"{head.partition('://')[0]}://...@{tail}" if at else self.url


def proxy_for(url: str, env: Mapping[str, str], of_file: Proxy | None = None) -> Proxy | None:
    """The proxy for a server, by the rules of curl: `HTTP_PROXY` or `HTTPS_PROXY`, else `ALL_PROXY`, small letters
    first, else that of a file, unless `NO_PROXY` names the host. A server on this machine has none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or _is_excluded(host, parts.port, _first(env, "no_proxy")[0]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        found, variable = _first(env, name)
        if found:
            return Proxy(_with_scheme(found), variable)
    return None if of_file is None else of_file._replace(url=_with_scheme(of_file.url))


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _first(env: Mapping[str, str], name: str) -> tuple[str, str]:
    for variable in (name, name.upper()):
        if env.get(variable, "").strip():
            return env[variable].strip(), variable
    return "", name


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback
    name = host.rstrip(".").lower()
    return name == _LOOPBACK_NAME or name.endswith("." + _LOOPBACK_NAME)


def _is_excluded(host: str, port: int | None, rule: str) -> bool:
    return any(_matches(host, port, item) for item in rule.replace(",", " ").split())


def _matches(host: str, port: int | None, item: str) -> bool:
    if item == "*":
        return True
    address = _address(host)
    network = _network(item)
    if address is not None and network is not None:
        return address in network
    name, colon, wanted_port = item.partition(":")
    if colon and wanted_port.isdecimal() and int(wanted_port) != port:
        return False
    suffix = name.removeprefix("*").removeprefix(".").lower().rstrip(".")
    asked = host.lower().rstrip(".")
    return bool(suffix) and (asked == suffix or asked.endswith("." + suffix))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None
