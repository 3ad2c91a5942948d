"""The connections of a fetcher: a pool for each way to a server."""

import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpcore
from pulp_runtime.outgoing.network import CheckedNetwork, ProxyNetwork, Resolve
from pulp_runtime.outgoing.proxies import Proxy
from pulp_runtime.outgoing.rules import Destinations

from pulp_worker.fetching.credentials import Credential
from pulp_worker.fetching.tls import system_tls


class Way(NamedTuple):
    """How a server is reached. A connection that a credential has opened is used for its URLs alone."""

    scheme: str
    proxy: Proxy | None
    credential: Credential | None


class Pools:
    """Creates pools as they are needed."""

    def __init__(
        self,
        rules: Destinations,
        lookup: Resolve,
        network: httpcore.AsyncNetworkBackend | None,
        *,
        connections: int,
        verify_tls: bool,
    ) -> None:
        """`lookup` and `network` replace the network in tests."""
        self._rules, self._lookup, self._network = rules, lookup, network or httpcore.AnyIOBackend()
        self._connections, self._verify_tls = connections, verify_tls
        self._pools: dict[Way, httpcore.AsyncConnectionPool] = {}

    def pool(self, way: Way) -> httpcore.AsyncConnectionPool:
        """The pool for this way. Raises `FetchFailed` and `OperationError` for certificates that cannot be read."""
        if way not in self._pools:
            network: httpcore.AsyncNetworkBackend = ProxyNetwork(self._network)
            if way.proxy is None:
                network = CheckedNetwork(self._rules, self._lookup, self._network)
            self._pools[way] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls(way.credential) if way.scheme == "https" else None,
                proxy=None if way.proxy is None else _of_httpcore(way.proxy),
                max_connections=self._connections,
                network_backend=network,
            )
        return self._pools[way]

    async def close(self) -> None:
        """End all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _tls(self, credential: Credential | None) -> ssl.SSLContext:
        return system_tls(verify=self._verify_tls) if credential is None else credential.tls()


def _of_httpcore(proxy: Proxy) -> httpcore.Proxy:
    parts = urlsplit(proxy.url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    tls = system_tls() if parts.scheme == "https" else None
    return httpcore.Proxy(f"{parts.scheme}://{host}{port}", auth=auth, ssl_context=tls)
