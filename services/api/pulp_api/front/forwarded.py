"""The client and the URL behind proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Proto`, `-Host`.

Only trusted proxies count. Each of them appends what it saw to the header that it received, so the list is read from
its end, as far as trusted proxies wrote it: the client may have invented anything before that.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from pulp_api.front.addresses import Proxies, address_of
from pulp_api.respond import json

AUTO, FORWARDED, X_FORWARDED = "auto", "forwarded", "x-forwarded"
WAYS: Final = (AUTO, FORWARDED, X_FORWARDED)
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PAIR: Final = re.compile(rf'[ \t]*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*(?=[;,]|$)')
_NODE: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}|_[\w.-]+))?"
)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST_NAME: Final = 100


class BadForwarding(Exception):
    """The headers that a proxy sent are malformed, or contradict each other."""


class Hop(NamedTuple):
    """One proxy's report about the sender of the request; None for values that it does not report."""

    client: str | None = None
    port: int = 0
    scheme: str | None = None
    host: str | None = None


def hop_of(headers: Iterable[tuple[bytes, bytes]], proxies: Proxies, way: str) -> Hop | None:
    """What the headers that a trusted proxy sent report about the client; None if they report nothing.

    Raises `BadForwarding`.
    """
    found: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name == b"forwarded" or name.startswith(b"x-forwarded-"):
            found.setdefault(name, []).append(value.decode("latin-1"))
    old = _chosen(_x_forwarded(found), proxies) if way != FORWARDED else None
    new = _chosen(_forwarded(found.get(b"forwarded", [])), proxies) if way != X_FORWARDED else None
    if old is not None and new is not None and _disagree(old, new):
        raise BadForwarding(
            "Forwarded and X-Forwarded-For, -Proto, -Host do not say the same. A proxy that sets the one must not hand"
            " on the other; or set PULP_API_FORWARDED to the one that it sets"
        )
    return new or old


class Forwarding:
    """Lets the application see the client, the scheme and the host that trusted proxies saw."""

    def __init__(self, app: ASGIApp, proxies: Proxies, way: str) -> None:
        self._app, self._proxies, self._way = app, proxies, way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        client = scope.get("client")
        if client is not None and client[0] in self._proxies:
            try:
                hop = hop_of(scope["headers"], self._proxies, self._way)
            except BadForwarding as error:
                await json({"detail": str(error)}, 400, {"Connection": "close"})(scope, receive, send)
                return
            if hop is not None:
                scope = _seen_through(scope, hop)
        await self._app(scope, receive, send)


def _seen_through(scope: Scope, hop: Hop) -> Scope:
    scope = dict(scope)
    if hop.client is not None:
        scope["client"] = (hop.client, hop.port)
    if hop.scheme is not None:
        scope["scheme"] = hop.scheme
    if hop.host is not None:
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"host"] + [(b"host", hop.host.encode())]
    return scope


def _chosen(hops: Sequence[Hop], proxies: Proxies) -> Hop | None:
    """The last hop whose sender is not a trusted proxy; the first one if all senders are trusted proxies."""
    for hop in reversed(hops):
        if hop.client not in proxies:
            return hop
    return hops[0] if hops else None


def _disagree(one: Hop, other: Hop) -> bool:
    return one._replace(port=0) != other._replace(port=0)


def _forwarded(lines: Sequence[str]) -> list[Hop]:
    return [_element(pairs) for line in lines for pairs in _elements(line)]


def _elements(line: str) -> Iterator[dict[str, str]]:
    """The elements of the field, which commas separate, each as its pairs by lower-case name."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(line):
        if line[at] in " \t":
            at += 1
        elif line[at] == ",":
            if pairs:
                yield pairs
            pairs, at = {}, at + 1
        elif line[at] == ";":
            at += 1
        else:
            match = _PAIR.match(line, at)
            if match is None or match[1].lower() in pairs:
                raise BadForwarding("Forwarded: it is not as RFC 7239 has it")
            text = match[2]
            pairs[match[1].lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
            at = match.end()
    if pairs:
        yield pairs


def _element(pairs: dict[str, str]) -> Hop:
    client, port = _node(pairs["for"], "Forwarded") if "for" in pairs else (None, 0)
    return Hop(client, port, _scheme(pairs.get("proto")), _host(pairs.get("host")))


def _x_forwarded(found: dict[bytes, list[str]]) -> list[Hop]:
    """The three lists combined. A list shorter than the list of clients is from the last proxy only."""
    clients, schemes, hosts = (
        [word.strip() for word in ",".join(found.get(name, [])).split(",") if word.strip()]
        for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    )
    if not clients:
        return [Hop(None, 0, _scheme(_last(schemes)), _host(_last(hosts)))] if schemes or hosts else []
    return [
        Hop(
            *_node(client, "X-Forwarded-For"),
            _scheme(schemes[at] if len(schemes) == len(clients) else _last(schemes)),
            _host(hosts[at] if len(hosts) == len(clients) else _last(hosts)),
        )
        for at, client in enumerate(clients)
    ]


def _last(words: Sequence[str]) -> str | None:
    return words[-1] if words else None


def _node(text: str, field: str) -> tuple[str, int]:
    """An address as usually written, or `unknown`, or a name that stands for an address; and the port."""
    bare = address_of(text)
    if bare is not None:
        return str(bare), 0
    match = _NODE.fullmatch(text)
    if match is None or len(text) > _LONGEST_NAME:
        raise BadForwarding(f"{field}: it names a client that is neither an address nor a name of one")
    name = match["v6"] or match["name"]
    found = address_of(name)
    if match["v6"] and found is None:
        raise BadForwarding(f"{field}: it names a client by an invalid address")
    port = match["port"] or ""
    return (name if found is None else str(found)), int(port) if port.isdecimal() and int(port) < 65_536 else 0


def _scheme(text: str | None) -> str | None:
    if text is None:
        return None
    if text.lower() not in ("http", "https"):
        raise BadForwarding("the scheme that a proxy tells is neither http nor https")
    return text.lower()


def _host(text: str | None) -> str | None:
    if text is not None and not _HOST.fullmatch(text):
        raise BadForwarding("the host that a proxy names is invalid")
    return text
