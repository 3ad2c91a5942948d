"""`submit`, `latency` and `cancel`: how long a client of the API waits."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
import psycopg
from pulp_accounts.users import Role, add_user
from pulp_deploy.local.ports import free_ports

from benchmarks.bare_trips import life_ms
from benchmarks.http import Client
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, percentile
from benchmarks.scene import LIMIT_S, Scene, Servers, scene

_TASKS_PATH = "/pulp/api/v3/tasks/"
USER, PASSWORD = "bench", "seven quiet harbours at dusk"
_CANCEL = msgspec.json.encode({"state": "canceled"})


@asynccontextmanager
async def serving(
    servers: Servers, *, workers: int = 0, env_of: Callable[[str], Mapping[str, str]] = lambda _: {}
) -> AsyncIterator[tuple[Scene, int]]:
    """An installation with an API, its port, a user, and the operation `noop`.

    `env_of` gives more variables by a process's name: `api`, `processor`, `worker-0`, ….
    """
    async with scene(servers) as made:
        await add_to(made, USER)
        await made.execute(
            "insert into operations (name, cancellable, description, resources, registered_by)"
            " values ('noop', false, '', '[]', 'bench'), ('heeding', true, '', '[]', 'bench')"
        )
        [port] = free_ports(1)
        for number in range(workers):
            name = f"worker-{number}"
            await made.start(name, "worker", PULP_WORKER_CONCURRENCY="32", **env_of(name))
        await made.start("processor", "processor", **env_of("processor"))
        await made.start("api", "api", PULP_API_PORT=str(port), **env_of("api"))
        async with asyncio.timeout(LIMIT_S):
            while not await _answers(made, port, workers):  # noqa: ASYNC110  # it cannot be waited for
                await asyncio.sleep(0.1)
        yield made, port


async def start_bare(made: Scene) -> int:
    """Start the bare handlers in a scene that has a user; return their port."""
    [port] = free_ports(1)
    await made.run("bare", sys.executable, "-m", "benchmarks.bare", str(port), **made.environment)
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                async with client(port):
                    return port
            except OSError:
                await asyncio.sleep(0.1)


async def add_to(made: Scene, user: str) -> None:
    """Add an administrator with the one password."""
    async with await psycopg.AsyncConnection.connect(made.database, autocommit=True) as connection:
        await add_user(connection, user, PASSWORD, Role.ADMIN)


async def _answers(made: Scene, port: int, workers: int) -> bool:
    """Whether the API answers, and all workers have registered."""
    [(registered,)] = await made.execute("select count(*) from workers")
    try:
        async with client(port) as asking:
            status, _ = await asking.ask("GET", "/pulp/api/v3/status/")
    except OSError:
        return False
    return status == 200 and registered == workers


def client(port: int, user: str = USER) -> Client:
    """A client with a user's credentials."""
    return Client(port, user, PASSWORD)


async def submit(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """POST → 202, by one client and by 16."""
    async with serving(servers) as (_, port):
        return await _submits(port, sizes)


async def submit_barely(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same to the bare handler, which only appends, without a projection."""
    async with scene(servers) as made:
        await add_to(made, USER)
        return await _submits(await start_bare(made), sizes)


async def _submits(port: int, sizes: Sizes) -> Mapping[str, float]:
    await _submit(port, 50)
    times_ms = await _submit(port, sizes.of(500, 50))
    each = sizes.of(200, 20)
    began_s = time.perf_counter()
    await asyncio.gather(*(_submit(port, each) for _ in range(16)))
    rate = 16 * each / (time.perf_counter() - began_s)
    return {"p50": percentile(times_ms, 50), "p99": percentile(times_ms, 99), "with 16 clients": rate}


async def _submit(port: int, times: int) -> list[float]:
    found = []
    async with client(port) as asking:
        for _ in range(times):
            began_s = time.perf_counter()
            await post(asking)
            found.append((time.perf_counter() - began_s) * 1000)
    return found


async def post(asking: Client, operation: str = "noop") -> UUID:
    """Submit a task of no resource; return its id."""
    submission = msgspec.json.encode({"operation": operation, "resources": []})
    status, body = await asking.ask("POST", _TASKS_PATH, submission)
    if status != 202:
        raise RuntimeError(f"POST {_TASKS_PATH} was answered {status}: {body.decode()}")
    return UUID(msgspec.json.decode(body)["task"].rstrip("/").rsplit("/", 1)[-1])


async def latency(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Submit → finished seen by a client that waits on the stream of events; one task at a time."""
    async with serving(servers, workers=1) as (_, port), client(port) as asking, client(port) as listening:
        await listening.open_stream("/pulp/api/v3/events/?type=finished")
        times_ms = []
        for _ in range(sizes.of(300, 20) + 10):
            began_s = time.perf_counter()
            task_id = await post(asking)
            async with asyncio.timeout(LIMIT_S):
                while str(task_id).encode() not in await listening.next_line():
                    pass
            times_ms.append((time.perf_counter() - began_s) * 1000)
        return {"p50": percentile(times_ms[10:], 50), "p99": percentile(times_ms[10:], 99)}


async def latency_barely(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Only the three trips of a task's events from the log through Postgres to a waiting client."""
    async with scene(servers) as made:
        times_ms = await life_ms(made, sizes.of(300, 20) + 10)
        return {"p50": percentile(times_ms[10:], 50), "p99": percentile(times_ms[10:], 99)}


async def cancel(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """From the request to the moment when the waiting operation notices; one at a time."""
    async with serving(servers, workers=1) as (_, port), client(port) as asking, client(port) as listening:
        await listening.open_stream("/pulp/api/v3/events/?type=progress")
        times_ms = []
        for _ in range(sizes.of(100, 10) + 3):
            task_id = await post(asking, "heeding")
            await _progress(listening, task_id)
            began_s = time.monotonic()
            status, body = await asking.ask("PATCH", f"{_TASKS_PATH}{task_id}/", _CANCEL)
            if status != 200:
                raise RuntimeError(f"the cancel was answered {status}: {body.decode()}")
            knew_at_s = (await _progress(listening, task_id))["knew_at_s"]
            times_ms.append((knew_at_s - began_s) * 1000)
        return {"p50": percentile(times_ms[3:], 50), "p99": percentile(times_ms[3:], 99)}


async def _progress(listening: Client, task_id: UUID) -> dict[str, float]:
    """The task's next report."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            line = await listening.next_line()
            if line.startswith(b"data: "):
                event = msgspec.json.decode(line.removeprefix(b"data: "))["event"]
                if event["subject"] == str(task_id):
                    found: dict[str, float] = event["data"]["progress"]
                    return found


MEASURES = (
    Measure(
        name="submit",
        what="POST to 202 with basic auth, by one client; by 16",
        unit="requests/s",
        goal="p50 8 ms; 1,000/s with 16 clients",
        sides={OURS: submit, LIMIT: submit_barely},
    ),
    Measure(
        name="latency",
        what="submit to finished seen by a client that waits on the server's push, one at a time",
        unit="ms",
        goal="p50 20 ms, p99 50 ms",
        sides={OURS: latency, LIMIT: latency_barely},
    ),
    Measure(
        name="cancel",
        what="cancel to the moment when the running operation knows, one at a time",
        unit="ms",
        goal="p99 250 ms",
        sides={OURS: cancel},
    ),
)
