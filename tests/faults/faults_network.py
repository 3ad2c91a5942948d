"""The network is cut, slow, or loses a response: for all clients of a server, or for one process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain, product
from typing import Final

from tests.faults.cluster import BROKER_NAMES
from tests.faults.proxy import Proxy, Trap
from tests.faults.stage import SERVICES, Fault, Stage

_DELAY_S: Final = 0.2
_WRITES: Final = (
    (b"pulp-processor/", b"COMMIT"),
    (b"pulp-dispatcher", b"insert into holds"),
    (b"pulp-dispatcher", b"update dispatcher"),
    (b"pulp-worker/", b"delete from claims"),
    (b"pulp-worker/", b"set released_at"),
)
"""Name of the connection, and what its statement contains: batches; assignments, elections and leases; ends and
releases."""
_WORDS: Final = {"cut": "cut off from", "delay": "200 ms away from"}


async def answer_of_write_lost(stage: Stage) -> None:
    """Connections break between a write and its response: several times, for each kind of writer."""
    proxy = stage.arena.database.proxy
    for _ in range(stage.random.randint(6, 10)):
        application, statement = stage.random.choice(_WRITES)
        proxy.trap = Trap(application, statement)
        try:
            async with asyncio.timeout(5):
                await proxy.trap.sprung.wait()
                stage.state.count(f"answers lost: {application.decode().rstrip('/')}, {statement.decode()}")
        except TimeoutError:
            continue
        finally:
            proxy.trap = None


def _server(which: str, effect: str) -> Callable[[Stage], Awaitable[None]]:
    """A server, for all of its clients."""

    async def run(stage: Stage) -> None:
        postgres, brokers = stage.arena.database.proxy, stage.arena.cluster.clients
        chosen = {"postgres": [postgres], "one broker": [stage.random.choice(brokers)], "kafka": brokers}[which]
        await _disturb(stage, chosen, effect)

    return run


def _pair(kind: str, server: str, effect: str) -> Callable[[Stage], Awaitable[None]]:
    """Between one process and the server; other connections still work."""

    async def run(stage: Stage) -> None:
        chosen = [stage.arena.database.proxy] if server == "postgres" else stage.arena.cluster.clients
        await _disturb(stage, chosen, effect, stage.arena.pid(stage.one_of(kind)))

    return run


def _brokers(effect: str) -> Callable[[Stage], Awaitable[None]]:
    """Two brokers, in both directions."""

    async def run(stage: Stage) -> None:
        one, other = stage.random.sample(range(len(BROKER_NAMES)), 2)
        ways = [(stage.arena.cluster.inner[one], other), (stage.arena.cluster.inner[other], one)]
        pids = [stage.arena.pid(BROKER_NAMES[origin]) for _, origin in ways]
        await asyncio.gather(
            *(_disturb(stage, proxies, effect, pid) for (proxies, _), pid in zip(ways, pids, strict=True))
        )
        await stage.until_back("broker")

    return run


async def _disturb(stage: Stage, proxies: Iterable[Proxy], effect: str, pid: int | None = None) -> None:
    chosen = list(proxies)
    seconds = stage.random.uniform(6, 14)
    try:
        for proxy in chosen:
            match effect:
                case "cut":
                    await proxy.hold(pid)
                case "delay":
                    await proxy.delay(_DELAY_S, pid)
                case "reset":
                    proxy.reset()
        await asyncio.sleep(seconds)
    finally:
        for proxy in chosen:
            await proxy.release(pid)
    await stage.until_back()


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("answer of a write lost", "network", answer_of_write_lost),
    Fault("postgres cut off", "network", _server("postgres", "cut")),
    Fault("postgres 200 ms away", "network", _server("postgres", "delay")),
    Fault("connections to postgres reset", "network", _server("postgres", "reset")),
    Fault("one broker cut off from clients", "network", _server("one broker", "cut")),
    Fault("kafka cut off", "network", _server("kafka", "cut")),
    Fault("kafka 200 ms away", "network", _server("kafka", "delay")),
    *chain.from_iterable(
        (
            *(
                Fault(f"{kind} {words} {server}", "network", _pair(kind, server, effect))
                for kind, server in product(SERVICES, ("postgres", "kafka"))
            ),
            Fault(f"a broker {words} another", "network", _brokers(effect)),
        )
        for effect, words in _WORDS.items()
    ),
)
