"""The peer of `noop`: procrastinate, a task queue in Postgres, with tasks that do nothing.

`peer_queue TASKS` submits them; its own command runs the workers. PULP_POSTGRES names its database.
"""

import asyncio
import os
import sys

from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from benchmarks.scene import LIMIT_S, Scene, Servers, scene

_APP = "benchmarks.peer_queue.app"
_DONE = "select count(*) from procrastinate_jobs where status = 'succeeded'"
_SECONDS = """
    select extract(epoch from max(at) filter (where type = 'succeeded') - min(at) filter (where type = 'started'))
      from procrastinate_events
"""

app = App(connector=PsycopgConnector(conninfo=os.environ.get("PULP_POSTGRES", "")))


@app.task(name="noop")
async def _noop(number: int) -> None:
    """Does nothing."""


async def drained(servers: Servers, tasks: int, workers: int, at_once: int) -> float:
    """Tasks per second with all tasks queued beforehand, from the first start to the last end."""
    async with scene(servers) as made:
        await _ended(made, "schema", "-m", "procrastinate", f"--app={_APP}", "schema", "--apply")
        await _ended(made, "submitting", "-m", "benchmarks.peer_queue", str(tasks))
        for number in range(workers):
            arguments = ("-m", "procrastinate", f"--app={_APP}", "worker", "--concurrency", str(at_once))
            await made.run(f"queue-worker-{number}", sys.executable, *arguments, **made.environment)
        async with asyncio.timeout(LIMIT_S):
            while await made.execute(_DONE) != [(tasks,)]:  # noqa: ASYNC110  # rows
                await asyncio.sleep(0.2)
        [(seconds,)] = await made.execute(_SECONDS)
        return tasks / float(seconds)


async def _ended(made: Scene, name: str, *arguments: str) -> None:
    process = await made.run(name, sys.executable, *arguments, **made.environment)
    if code := await process.process.wait():
        raise RuntimeError(f"{name} ended with {code}: {(made.folder / f'{name}.log').read_text()}")


async def _submit(tasks: int) -> None:
    async with app.open_async():
        arguments: list[JSONDict] = [{"number": number} for number in range(tasks)]
        await _noop.batch_defer_async(*arguments)


if __name__ == "__main__":
    asyncio.run(_submit(int(sys.argv[1])))
