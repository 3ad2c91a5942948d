"""`cost-telemetry` and `cost-states`: what may be switched on, against the same without it.

Both installations run at the same time and take turns of about a second: the speed of a shared machine changes by more
than what is measured within some seconds, and how many tasks a step takes at once depends on it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from pulp_deploy.local.ports import free_ports

from benchmarks.draining import CLIENTS, WORKERS, drain_submitted
from benchmarks.http import Client
from benchmarks.measure import OURS, Measure, Sizes, ratio_at_most
from benchmarks.scene import Servers
from benchmarks.serving import serving

_SCRAPE_S: Final = 5.0
"""Three times as often as Prometheus does by default: a round is short."""
_GOAL: Final = 1.03
_NAMES: Final = ("api", "processor", *(f"worker-{number}" for number in range(WORKERS)))
_EACH: Final = 20
"""Tasks of one client in a turn."""
_METRIC: Final = "cpu a task"
EnvOf = Callable[[str], Mapping[str, str]]


async def telemetry(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """Metrics that are read, and traces as they are chosen by default, which are sent to a collector."""
    ports = dict(zip(_NAMES, free_ports(len(_NAMES)), strict=True))
    with _collector() as collector:
        given = {"PULP_TRACES": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"}

        def env_of(name: str) -> Mapping[str, str]:
            return {**given, "PULP_METRICS_PORT": str(ports[name])}

        return await _in_turns(servers, sizes, env_of, scraped=list(ports.values()))


async def states(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """The topic of states is written."""
    return await _in_turns(servers, sizes, lambda _: {"PULP_STATE_TOPIC": "yes"})


async def _in_turns(
    servers: Servers, sizes: Sizes, with_it: EnvOf, *, scraped: list[int] | None = None
) -> Mapping[str, Mapping[str, float]]:
    async with AsyncExitStack() as stack:
        sides = {
            side: await stack.enter_async_context(serving(servers, workers=WORKERS, env_of=env_of))
            for side, env_of in ((OURS, with_it), ("without", lambda _: {}))
        }
        await stack.enter_async_context(_scraped(scraped or []))
        each = sizes.of(_EACH, 2)
        for made, port in sides.values():
            await drain_submitted(made, port, sizes.of(4, 1) * each * CLIENTS)  # its plans and buffers are warm then
        used_ms = dict.fromkeys(sides, 0.0)
        turns = sizes.of(30, 2)
        for turn in range(turns):
            for side in sorted(sides, reverse=turn % 2 == 1):
                found = await drain_submitted(*sides[side], each * CLIENTS)
                used_ms[side] += found[_METRIC]
        return {side: {_METRIC: used / turns} for side, used in used_ms.items()}


@asynccontextmanager
async def _scraped(ports: list[int]) -> AsyncIterator[None]:
    """Somebody reads the metrics regularly meanwhile."""

    async def scrape() -> None:
        while True:
            for port in ports:
                async with Client(port, "", "") as asking:
                    status, _ = await asking.ask("GET", "/metrics")
                    if status != 200:
                        raise RuntimeError(f"/metrics of {port} was answered {status}")
            await asyncio.sleep(_SCRAPE_S)

    scraping = asyncio.create_task(scrape())
    try:
        yield
    finally:
        if scraping.done():
            scraping.result()
        scraping.cancel()


@contextmanager
def _collector() -> Iterator[int]:
    """A collector, by its port, that takes spans and forgets them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


MEASURES = (
    Measure(
        name="cost-telemetry",
        what="noop-submitted with metrics and traces, against the same without",
        unit="ms",
        goal="",
        goals={_METRIC: ratio_at_most(_GOAL)},
        together=telemetry,
    ),
    Measure(
        name="cost-states",
        what="noop-submitted with the topic of states, against the same without",
        unit="ms",
        goal="",
        goals={_METRIC: ratio_at_most(_GOAL)},
        together=states,
    ),
)
