"""Which proxy the environment names for a URL. Pure.

These are curl's rules, as `pulp-admin` follows them too: a test compares the two, since the client and the server are
installed apart and import nothing of each other.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_LOOPBACK_NAME: Final = "localhost"
_SCHEMES: Final = ("http", "https")


class BadProxy(ValueError):
    """The configured proxy cannot be used. The message names the variable, but not its value."""


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    url: str
    variable: str

    @property
    def shown(self) -> str:
        """The URL without the password that it may hold."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def proxy_for(scheme: str, host: str, port: int, env: Mapping[str, str]) -> Proxy | None:
    """`HTTP_PROXY` or `HTTPS_PROXY`, else `ALL_PROXY`, lower-case names first, unless `NO_PROXY` names the host.

    Loopback has none. Raises `BadProxy`, which names the variable, for anything but a proxy over http or https.
    """
    if _is_loopback(host) or _is_excluded(host, port, _first(env, "no_proxy")[0]):
        return None
    for name in (f"{scheme}_proxy", "all_proxy"):
        found, variable = _first(env, name)
        if found:
            return named_proxy(found, variable)
    return None


def named_proxy(url: str, variable: str) -> Proxy:
    """The configured proxy; errors call it `variable`. Raises what `proxy_for` raises."""
    return _checked(Proxy(url if "://" in url else f"http://{url}", variable))


def _checked(proxy: Proxy) -> Proxy:
    try:
        parts = urlsplit(proxy.url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or brackets without an address
        raise BadProxy(f"{proxy.variable} is not the URL of a proxy; write http://HOST:PORT") from None
    if parts.scheme not in _SCHEMES:
        kind = "a SOCKS proxy" if parts.scheme.startswith("socks") else "no proxy over http or https"
        raise BadProxy(f"{proxy.variable} names {kind}; the server takes http://HOST:PORT and https://HOST:PORT")
    if not is_good:
        raise BadProxy(f"{proxy.variable} is not the URL of a proxy; write http://HOST:PORT")
    return proxy


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


def _is_excluded(host: str, port: int, rule: str) -> bool:
    return any(_matches(host, port, item) for item in rule.replace(",", " ").split())


def _matches(host: str, port: int, item: str) -> bool:
    if item == "*":
        return True
    address, network = _address(host), _network(item)
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
