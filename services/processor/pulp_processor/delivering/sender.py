"""Sending one event to an endpoint: signed by Standard Webhooks, within the rules for outgoing requests."""

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

import httpcore
import httpx
from pulp_events.codec import CONTENT_TYPE
from pulp_events.task import Position
from pulp_runtime.outgoing.network import (
    HEAD,
    CheckedNetwork,
    HeadBudget,
    HeadTooLarge,
    NoAnswer,
    NoSuchName,
    NotConnected,
    ProxyNetwork,
    Resolve,
    resolve,
)
from pulp_runtime.outgoing.proxies import BadProxy, Proxy, proxy_for
from pulp_runtime.outgoing.retry_after import asked_pause_s
from pulp_runtime.outgoing.rules import Refused
from pulp_runtime.outgoing.targets import Target, parse_target
from standardwebhooks import Webhook as Signer

from pulp_processor.delivering.outbox import Verdict
from pulp_processor.delivering.settings import WebhookSettings

_REFUSALS: Final = (400, 409, 413, 415, 422)
"""Statuses of an endpoint that works, but refuses this event."""
_GONE: Final = 410
_HEAD_BYTES: Final = 64 * 1024
_BODY_BYTES: Final = 64 * 1024
"""The most bytes to read of an answer, whose text is ignored."""
_KEEP_ALIVE_S: Final = 30.0
_USER_AGENT: Final = "pulp-tasks"
_FAULTS: Final = (
    *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.ProxyError, ssl.SSLError),
    *(Refused, NoSuchName, NotConnected, NoAnswer, HeadTooLarge, BadProxy, OSError),
)
SUBSCRIPTION_HEADER: Final = "Pulp-Subscription"
_log = logging.getLogger("pulp.deliverer")


class WebhookMessage(NamedTuple):
    """A request to an endpoint."""

    url: str
    message_id: str
    """The same at each attempt, so that receivers recognize a repeated event."""
    body: bytes
    secrets: Sequence[bytes]
    """Each of them signs it."""
    headers: Mapping[str, str]
    task_id: UUID | None = None
    """For log lines, as the position; None of both: a test."""
    position: Position | None = None

    @property
    def log_fields(self) -> dict[str, str | int]:
        """Which delivery it is, for the log: the URL may hold a secret."""
        fields: dict[str, str | int] = {
            "subscription": self.headers.get(SUBSCRIPTION_HEADER, ""),
            "event": self.message_id,
        }
        if self.task_id is not None:
            fields["task_id"] = str(self.task_id)
        if self.position is not None:
            fields |= self.position._asdict()
        return fields


class EndpointAnswer(NamedTuple):
    """The outcome, without any text of the server."""

    verdict: Verdict
    status: int | None
    error: str | None
    took_ms: int
    pause_s: float = 0.0
    """The pause that the endpoint asks for."""


def signed_headers(message: WebhookMessage, now: datetime) -> dict[str, str]:
    """The headers that Standard Webhooks asks for; with two secrets two signatures."""
    body = message.body.decode()
    signatures = [Signer(secret).sign(message.message_id, now, body) for secret in message.secrets]
    return {
        "webhook-id": message.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Sender:
    """Sends to the endpoint of one subscription. Use it in one event loop, and `close` it."""

    def __init__(
        self,
        settings: WebhookSettings,
        environment: Mapping[str, str],
        *,
        lookup: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """`lookup` and `network` replace the network in tests."""
        self._settings, self._environment = settings, environment
        self._lookup, self._network = lookup, network or httpcore.AnyIOBackend()
        self._pools: dict[tuple[str, Proxy | None], httpcore.AsyncConnectionPool] = {}

    async def close(self) -> None:
        """End all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    async def send(self, message: WebhookMessage) -> EndpointAnswer:
        """One attempt. It follows no redirect, keeps no cookie, and reads no more than the head of the answer."""
        began_s = time.monotonic()
        verdict, pause_s, status, error = Verdict.FAILED, 0.0, None, None
        try:
            async with asyncio.timeout(self._settings.total_s):
                status, retry_after = await self._post(message)
            verdict, error = _judged(status)
            pause_s = min(asked_pause_s(retry_after) or 0.0, self._settings.longest_pause_s)
        except TimeoutError as fault:
            _log_failure(fault, message)
            error = f"no complete answer within {self._settings.total_s:g} s (PULP_WEBHOOK_TOTAL_S)"
        except _FAULTS as fault:
            _log_failure(fault, message)
            error = _told(fault)
        return EndpointAnswer(verdict, status, error, round((time.monotonic() - began_s) * 1000), pause_s)

    async def _post(self, message: WebhookMessage) -> tuple[int, str]:
        """The status, and the value of `Retry-After`."""
        to = parse_target(message.url)
        if to is None or to.url.userinfo:
            raise Refused("form")
        proxy = proxy_for(to.scheme, to.host, to.port, self._environment)
        if proxy is not None:
            self._settings.rules.check_through_proxy(to.host, to.port)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._settings.total_s)
        request = httpcore.Request(
            "POST",
            httpcore.URL(scheme=to.url.raw_scheme, host=to.url.raw_host, port=to.url.port, target=to.url.raw_path),
            headers=[*_headers(to, message).items()],
            content=message.body,
            extensions={"timeout": {**timeouts, "connect": self._settings.connect_s}},
        )
        pool = self._pool(to.scheme, proxy)
        budget = HEAD.set(HeadBudget(_HEAD_BYTES))
        try:
            response = await pool.handle_async_request(request)
        finally:
            HEAD.reset(budget)
        try:
            received = 0
            async for piece in response.aiter_stream():
                received += len(piece)
                if received > _BODY_BYTES:
                    break
        finally:
            await response.aclose()
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        return response.status, retry_after.decode("latin-1")

    def _pool(self, scheme: str, proxy: Proxy | None) -> httpcore.AsyncConnectionPool:
        way = (scheme, proxy)
        if way not in self._pools:
            network: httpcore.AsyncNetworkBackend = ProxyNetwork(self._network)
            if proxy is None:
                network = CheckedNetwork(self._settings.rules, self._lookup, self._network)
            self._pools[way] = httpcore.AsyncConnectionPool(
                ssl_context=_tls() if scheme == "https" else None,
                proxy=None if proxy is None else _of_httpcore(proxy),
                max_connections=self._settings.lanes,
                keepalive_expiry=_KEEP_ALIVE_S,
                network_backend=network,
            )
        return self._pools[way]


@cache
def _tls() -> ssl.SSLContext:
    """Trusts the system's certificates, or those that SSL_CERT_FILE and SSL_CERT_DIR name."""
    return httpx.create_ssl_context()


def _headers(to: Target, message: WebhookMessage) -> dict[str, str]:
    return {
        "Host": to.url.netloc.decode(),
        "User-Agent": _USER_AGENT,
        "Content-Type": f"{CONTENT_TYPE}; charset=utf-8",
        "Content-Length": str(len(message.body)),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **message.headers,
        **signed_headers(message, datetime.now(UTC)),
    }


def _judged(status: int) -> tuple[Verdict, str | None]:
    if 200 <= status < 300:
        return Verdict.DELIVERED, None
    if status == _GONE:
        return Verdict.GONE, "the endpoint answered 410: it wants no more events"
    if status in _REFUSALS:
        return Verdict.REFUSED, f"the endpoint answered {status}: it does not take this event"
    if 300 <= status < 400:
        return Verdict.FAILED, f"the endpoint answered {status}: redirects are not followed; give the URL it leads to"
    return Verdict.FAILED, f"the endpoint answered {status}"


def _log_failure(fault: BaseException, message: WebhookMessage) -> None:
    _log.info("a delivery has failed", extra={"kind": type(fault).__name__, **message.log_fields})


def _told(fault: BaseException) -> str:
    """The error in our own words: the original may contain data from the server."""
    match fault:
        case Refused():
            return (
                "the settings of the processor do not allow to deliver there (PULP_WEBHOOK_ALLOW, PULP_WEBHOOK_DENY,"
                " PULP_WEBHOOK_PORTS)"
            )
        case NoSuchName():
            return "the name of the host has no address"
        case BadProxy():
            return str(fault)
        case HeadTooLarge():
            return f"the head of the answer has over {_HEAD_BYTES} bytes"
        case httpcore.ConnectError() if _is_of_certificate(fault):
            return "the certificate of the endpoint is not valid for it, or not trusted here"
    return "no answer over HTTP: there is no connection, it ends early, or nothing comes in time"


def _is_of_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _of_httpcore(proxy: Proxy) -> httpcore.Proxy:
    parts = urlsplit(proxy.url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    tls = _tls() if parts.scheme == "https" else None
    return httpcore.Proxy(f"{parts.scheme}://{host}{port}", auth=auth, ssl_context=tls)
