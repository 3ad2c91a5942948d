"""`cost-telemetry` and `cost-states`: what may be switched on, against the same without it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from pulp_deploy.local.ports import free_ports

from benchmarks.draining import WORKERS, drain_submitted
from benchmarks.http import Client
from benchmarks.measure import OURS, Measure, Sizes, ratio_at_most
from benchmarks.scene import Scene, Servers
from benchmarks.serving import serving

_SCRAPE_S: Final = 5.0
"""Three times as often as Prometheus does by default: a round is short."""
_GOAL: Final = 1.03
_NAMES: Final = ("api", "processor", *(f"worker-{number}" for number in range(WORKERS)))


async def without(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Neither."""
    async with serving(servers, workers=WORKERS) as (made, port):
        return await _drained(made, port, sizes)


async def with_states(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The topic of states is written."""
    async with serving(servers, workers=WORKERS, env_of=lambda _: {"PULP_STATE_TOPIC": "yes"}) as (made, port):
        return await _drained(made, port, sizes)


async def with_telemetry(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Metrics that are read, and traces of the default share that are sent to a collector."""
    ports = dict(zip(_NAMES, free_ports(len(_NAMES)), strict=True))
    with _collector() as collector:
        given = {"PULP_TRACES": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"}

        def env_of(name: str) -> Mapping[str, str]:
            return {**given, "PULP_METRICS_PORT": str(ports[name])}

        async with (
            serving(servers, workers=WORKERS, env_of=env_of) as (made, port),
            _scraped(list(ports.values())),
        ):
            return await _drained(made, port, sizes)


async def _drained(made: Scene, port: int, sizes: Sizes) -> Mapping[str, float]:
    found = await drain_submitted(made, port, sizes.of(5000, 160))
    return {"cpu a task": found["cpu a task"]}


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
        goals={"cpu a task": ratio_at_most(_GOAL)},
        sides={OURS: with_telemetry, "without": without},
        rounds=6,
    ),
    Measure(
        name="cost-states",
        what="noop-submitted with the topic of states, against the same without",
        unit="ms",
        goal="",
        goals={"cpu a task": ratio_at_most(_GOAL)},
        sides={OURS: with_states, "without": without},
        rounds=6,
    ),
)
