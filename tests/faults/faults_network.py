"""The network is cut, slow, or loses an answer: before a server for everybody, or between two processes alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain, product
from typing import Final

from tests.faults.proxy import Proxy, Trap
from tests.faults.stage import BROKER_NAMES, SERVICES, Fault, Stage

_DELAY_S: Final = 0.2
_WORDS: Final = {"cut": "cut off from", "delay": "200 ms away from"}


async def answer_of_commit_lost(stage: Stage) -> None:
    """The connection breaks after COMMIT was sent, before its answer: several times, for processor and worker."""
    proxy = stage.arena.database.proxy
    for _ in range(stage.random.randint(4, 8)):
        application = stage.random.choice([b"pulp-processor/", b"pulp-worker/"])
        proxy.trap = Trap(application, b"COMMIT")
        try:
            async with asyncio.timeout(5):
                await proxy.trap.sprung.wait()
                stage.state.count("answers of COMMIT lost")
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
    """One process, and the server; everybody else is well."""

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
    Fault("answer of COMMIT lost", "network", answer_of_commit_lost),
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
