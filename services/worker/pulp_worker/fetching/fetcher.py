"""The client that operations fetch with."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpcore
from pulp_runtime.outgoing.network import (
    HEAD,
    HeadBudget,
    HeadTooLarge,
    NoAnswer,
    NoSuchName,
    NotConnected,
    Resolve,
    resolve,
)
from pulp_runtime.outgoing.proxies import BadProxy, Proxy, named_proxy, proxy_for
from pulp_runtime.outgoing.retry_after import asked_pause_s
from pulp_runtime.outgoing.rules import Refused
from pulp_runtime.outgoing.targets import Target
from pulp_runtime.outgoing.texts import shown

from pulp_worker.errors import LimitExceeded
from pulp_worker.fetching.answers import Answer
from pulp_worker.fetching.credentials import SETTING, Credential
from pulp_worker.fetching.errors import FetchFailed, FetchRefused
from pulp_worker.fetching.pace import Pace, TooSlow
from pulp_worker.fetching.patience import Patience
from pulp_worker.fetching.pools import Pools, Way
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.fetching.targets import carried, redirected, target

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRANSIENT: Final = (408, 425, 429)
_CONDITIONS: Final = ("if-none-match", "if-modified-since")
_HINTS: Final = {401: ": it asks for a login, or for another one (a credential holds it)"}
_READ_AHEAD_BYTES: Final = 64 * 1024
_REFUSED: Final = (
    "the settings of this worker do not allow to fetch from there (PULP_FETCH_ALLOW, PULP_FETCH_DENY, PULP_FETCH_PORTS)"
)
# The same message for a port that is closed, filtered, silent, or used by another service.
_NO_HTTP: Final = (
    "no answer over HTTP: there is no connection, it ends early, or nothing comes in time (PULP_FETCH_CONNECT_S,"
    " PULP_FETCH_READ_S)"
)
_FAULTS: Final = (
    *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.ProxyError, ssl.SSLError),
    *(Refused, NoSuchName, NotConnected, NoAnswer, HeadTooLarge, TooSlow),
)
_log = logging.getLogger("pulp.fetch")


class Fetcher:
    """Fetches within the rules and bounds of the settings. Created by `Context.fetcher`, for one task and one loop.

    Every call raises `FetchFailed` with the reason, `FetchRefused` if the rules forbid it, and `LimitExceeded`. None of
    them repeats fetched text.
    """

    def __init__(
        self,
        settings: FetchSettings,
        environment: Mapping[str, str],
        *,
        connections: int = 4,
        verify_tls: bool = True,
        credential: Credential | None = None,
        lookup: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """`connections` limits the concurrent answers. `lookup` and `network` replace the network in tests.

        Raises `FetchRefused` for a credential without `verify_tls`.
        """
        self._settings = settings
        self._environment = environment
        self._left_bytes = settings.task_bytes
        self._connections = connections
        self._slots = asyncio.Semaphore(connections)  # waiting here is not waiting for a server
        self._pools = Pools(settings.rules, lookup, network, connections=connections, verify_tls=verify_tls)
        self._credential = credential
        if credential is not None and not verify_tls:
            raise FetchRefused(
                f"credential {credential.name!r} is only sent to servers whose certificate is checked: leave verify_tls"
                " as it is, and name the server's CA in the credential ('ca')"
            )
        self.patience = Patience(settings.total_s, settings.lowest_rate)
        """How its servers have answered: retries, at other servers too, and gives up dead ones."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pools.close()

    def check_credential(self, url: str) -> None:
        """Raises `FetchRefused` if there is a credential that is not for this URL."""
        if self._credential is not None and not self._credential.covers(target(url, shown(url)).url):
            raise FetchRefused(
                f"{shown(url)}: credential {self._credential.name!r} is not for this URL; its 'urls', in the files of"
                f" {SETTING}, say what it is for"
            )

    async def read(self, url: str, *, most_bytes: int, headers: Mapping[str, str] | None = None) -> bytes:
        """A whole body of at most the given size. A compressed one, which was not requested, is refused."""
        async with self.get(url, headers=headers, most_bytes=most_bytes) as answer:
            return await answer.whole()

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        most_bytes: int | None = None,
        total_s: float | None = None,
        called: str | None = None,
    ) -> AsyncIterator[Answer]:
        """The answer to a GET, or 304 if `headers` have a condition; read its body inside the `async with`.

        The bounds are those of the settings, or lower. `headers` go to the URL's own origin; another one, to which it
        redirects, gets only those without secrets. Errors name `called` in place of the URL, for a URL that was itself
        fetched.
        """
        asked = called or shown(url)
        limits = self._settings
        most = min(limits.most_bytes, limits.most_bytes if most_bytes is None else most_bytes)
        patience_s = min(limits.total_s, limits.total_s if total_s is None else total_s)
        route = _Route()
        try:
            async with self._slots, asyncio.timeout(patience_s) as deadline:
                given = dict(headers or {})
                response = await self._follow(target(url, asked), given, asked, route)
                try:
                    self._judge(response, asked, is_conditional=any(name.lower() in _CONDITIONS for name in given))
                    yield Answer(response, asked, most, Pace(limits.lowest_rate, limits.rate_window_s), self._spend)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not deadline.expired():
                raise
            raise FetchFailed(f"{asked}: it takes longer than {patience_s:g} s (PULP_FETCH_TOTAL_S)") from None
        except _FAULTS as error:
            _log.info("a fetch has failed", extra={"url": asked, "kind": type(error).__name__})
            raise self._told(error, asked, route) from None

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            most = self._settings.task_bytes
            raise LimitExceeded(f"the task fetches more than the {most} bytes that it may (PULP_FETCH_TASK_BYTES)")

    async def _follow(self, to: Target, headers: dict[str, str], asked: str, route: "_Route") -> httpcore.Response:
        for _ in range(self._settings.redirects + 1):
            response = await self._send(to, headers, route)
            if response.status not in _REDIRECTS:
                return response
            await response.aclose()
            location = _header(response, b"location")
            following = redirected(to, location, asked=asked, may_downgrade=self._settings.downgrade)
            to, headers = following, carried(headers, to, following)
            route.is_redirected = True
        raise FetchFailed(f"{asked}: more than {self._settings.redirects} redirects (PULP_FETCH_REDIRECTS)")

    async def _send(self, to: Target, headers: dict[str, str], route: "_Route") -> httpcore.Response:
        credential = self._credential if self._credential is not None and self._credential.covers(to.url) else None
        proxy = self._proxy(to, credential)
        route.proxy = proxy
        if proxy is not None:
            self._settings.rules.check_through_proxy(to.host, to.port)
        timeouts = {"connect": self._settings.connect_s, "read": self._settings.read_s, "write": self._settings.read_s}
        request = httpcore.Request(
            "GET",
            httpcore.URL(
                scheme=to.url.raw_scheme, host=to.url.raw_host, port=to.url.port, target=_path(to, credential)
            ),
            headers=_headers(to, headers if credential is None else headers | credential.headers),
            extensions={"timeout": timeouts},
        )
        pool = self._pools.pool(Way(to.scheme, proxy, credential))
        budget = HEAD.set(HeadBudget(self._settings.header_bytes + _READ_AHEAD_BYTES))
        try:
            async with asyncio.timeout(self._settings.connect_s * 2 + self._settings.read_s):
                response = await pool.handle_async_request(request)
        except (TimeoutError, httpcore.ReadTimeout):
            raise NoAnswer from None
        finally:
            HEAD.reset(budget)
        if sum(len(name) + len(value) + 4 for name, value in response.headers) > self._settings.header_bytes:
            await response.aclose()
            raise HeadTooLarge
        return response

    def _proxy(self, to: Target, credential: Credential | None) -> Proxy | None:
        try:
            if credential is None or credential.proxy is None:
                return proxy_for(to.scheme, to.host, to.port, self._environment)
            return named_proxy(credential.proxy, f"credential {credential.name!r}") if credential.proxy else None
        except BadProxy as error:
            raise FetchFailed(str(error)) from None

    def _judge(self, response: httpcore.Response, asked: str, *, is_conditional: bool) -> None:
        status = response.status
        if status in (200, 206) or (status == 304 and is_conditional):
            return
        is_transient = status in _TRANSIENT or status >= 500
        pause_s = asked_pause_s(_header(response, b"retry-after")) if is_transient else None
        text = f"{asked}: the server answered {status}{_HINTS.get(status, '')}"
        raise FetchFailed(text, is_transient=is_transient, status=status, pause_s=pause_s)

    def _told(self, error: Exception, asked: str, route: "_Route") -> FetchFailed:
        """The error in our own words, because the original may contain data from the server."""
        limits, proxy = self._settings, route.proxy
        match error:
            case Refused():
                return FetchRefused(f"{asked}: {'it redirects, and ' if route.is_redirected else ''}{_REFUSED}")
            case HeadTooLarge():
                text = f"the head of the answer has over {limits.header_bytes} bytes (PULP_FETCH_HEADER_BYTES)"
                return FetchFailed(f"{asked}: {text}")
            case TooSlow():
                text = f"less than {limits.lowest_rate} bytes a second over {limits.rate_window_s:g} s"
                return FetchFailed(f"{asked}: it comes too slowly, {text} (PULP_FETCH_LOWEST_RATE)", is_transient=True)
            case NoSuchName():
                return FetchFailed(f"{asked}: the name of the host has no address", is_transient=True)
            case NotConnected() if proxy is not None:
                text = f"the proxy {proxy.shown}, which {proxy.variable} names, cannot be reached"
                return FetchFailed(f"{asked}: {text}", is_transient=True)
            case httpcore.ProxyError() if proxy is not None:
                text = f"the proxy {proxy.shown}, which {proxy.variable} names, does not connect to it"
                return FetchFailed(f"{asked}: {text}", is_transient=True)
            case httpcore.ConnectError() if _is_of_certificate(error):
                return FetchFailed(f"{asked}: the certificate of the server is not valid for it, or not trusted here")
            case httpcore.ReadTimeout():
                text = f"the answer goes no further for {limits.read_s:g} s (PULP_FETCH_READ_S)"
                return FetchFailed(f"{asked}: {text}", is_transient=True)
        return FetchFailed(f"{asked}: {_NO_HTTP}", is_transient=True)


@dataclass
class _Route:
    """The way of a request, for the text of an error."""

    proxy: Proxy | None = None
    is_redirected: bool = False


def _headers(to: Target, given: dict[str, str]) -> list[tuple[bytes | str, bytes | str]]:
    # Bodies are compared byte for byte, so nobody may compress them on the way.
    ours = {"Host": to.url.netloc.decode(), "User-Agent": "pulp-tasks", "Accept": "*/*"}
    return [*(ours | given | {"Accept-Encoding": "identity"}).items()]


def _path(to: Target, credential: Credential | None) -> bytes:
    """The path, with the credential's token in the query: no `Target` ever contains it."""
    if credential is None or not credential.query:
        return to.url.raw_path
    separator = b"&" if b"?" in to.url.raw_path else b"?"
    return to.url.raw_path + separator + credential.query.encode("ascii")


def _is_of_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "")
