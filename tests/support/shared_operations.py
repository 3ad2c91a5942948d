"""Async operations, which share the worker's process, and what they do to it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pulp_worker import Context, operation

from tests.support.process_operations import decorated, ways

__all__ = ["decorated", "ways"]  # loaded by the same worker

SHARED: dict[str, Callable[[Context], Awaitable[Any]]] = {}
"""Things that an async operation may do, by name."""


def way(function: Callable[[Context], Awaitable[Any]]) -> Callable[[Context], Awaitable[Any]]:
    """One way, by the name of the function."""
    SHARED[function.__name__.replace("_", "-")] = function
    return function


@way
async def reads_standard_input(context: Context) -> object:
    return sys.stdin.read()


@way
async def runs_cat(context: Context) -> object:
    process = await asyncio.create_subprocess_exec("cat", stdout=subprocess.PIPE)
    return (await process.communicate())[0].decode()


@way
async def prints(context: Context) -> object:
    print("printed by the operation")
    await asyncio.to_thread(print, "printed in a thread")
    await asyncio.create_task(_prints())
    return "said"


async def _prints() -> None:
    print("printed in a task", file=sys.stderr)


@way
async def leaves_a_task(context: Context) -> object:
    asyncio.create_task(_appends(context), name="left-behind")  # noqa: RUF006  # that is the point
    await asyncio.sleep(0.05)
    return "said"


async def _appends(context: Context) -> None:
    while True:
        with (context.storage / "left").open("a") as file:  # a line
            file.write("x\n")
        await asyncio.sleep(0.01)


@way
async def leaves_a_process(context: Context) -> object:
    process = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220  # that is the point
    other = await asyncio.create_subprocess_exec("sh", "-c", "sleep 600 & wait")
    return [process.pid, other.pid]


@way
async def leaves_a_call_in_a_thread(context: Context) -> object:
    path = context.storage / f"call-{context.task_id}"

    def call() -> None:
        time.sleep(0.3)
        path.touch()

    asyncio.get_running_loop().run_in_executor(None, call)
    await asyncio.sleep(0)
    return str(path)


@way
async def leaves_a_thread(context: Context) -> object:
    threading.Thread(target=time.sleep, args=(600,), name="left-thread").start()
    return "said"


@way
async def fills_the_executor(context: Context) -> object:
    """Every thread that asyncio would have."""
    calls = [asyncio.to_thread(time.sleep, 0.5) for _ in range(64)]
    await asyncio.gather(*calls)
    return "said"


@way
async def exits_in_a_task(context: Context) -> object:
    async def exits() -> None:
        sys.exit(3)

    await asyncio.gather(exits(), asyncio.sleep(600))
    return "unsaid"


@way
async def exits_in_a_task_that_nobody_awaits(context: Context) -> object:
    async def exits() -> None:
        sys.exit("from a task")

    task = asyncio.create_task(exits())
    await asyncio.sleep(600)
    return str(task)


@way
async def exits_in_a_callback(context: Context) -> object:
    context.report({"step": "exiting"})
    asyncio.get_running_loop().call_later(0.3, sys.exit, 3)
    await asyncio.sleep(600)
    return "unsaid"


@way
async def stops_the_loop(context: Context) -> object:
    asyncio.get_running_loop().stop()
    return "unsaid"


@way
async def stops_the_loop_in_a_callback(context: Context) -> object:
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
    await asyncio.sleep(0.05)
    return "said"


@way
async def shuts_the_executor_down(context: Context) -> object:
    await asyncio.get_running_loop().shutdown_default_executor()
    return "unsaid"


@way
async def cancels_all_tasks(context: Context) -> object:
    """As programs do at their end."""
    own = asyncio.create_task(asyncio.sleep(600))
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([own])
    return [own.cancelled()]


@way
async def replaces_the_task_factory(context: Context) -> object:
    asyncio.get_running_loop().set_task_factory(None)
    return "said"


@way
async def comes_back_twice(context: Context) -> object:
    pid = os.fork()
    if pid:
        return {"child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}  # noqa: ASYNC222
    await asyncio.sleep(0)
    return "child"


@way
async def changes_folder(context: Context) -> object:
    os.chdir("/")
    return "said"


@way
async def blocks_for_a_while(context: Context) -> object:
    while not (context.storage / "told").exists():  # that is the point: the loop is blocked
        time.sleep(0.02)  # noqa: ASYNC251
    return "said"


@way
async def blocks(context: Context) -> object:
    context.report({"step": "blocking"})
    await asyncio.sleep(0.3)
    time.sleep(600)  # noqa: ASYNC251
    return "unsaid"


@way
async def keeps_the_interpreter(context: Context) -> object:
    context.report({"step": "stuck"})
    await asyncio.sleep(0.3)
    return re.match(r"(a+)+$", "a" * 60 + "b")  # for years, while holding the GIL


@way
async def waits(context: Context) -> object:
    context.report({"step": "waiting"})
    while not (context.storage / "go").exists():  # noqa: ASYNC110  # a file cannot be waited for
        await asyncio.sleep(0.02)
    return "went"


@way
async def swallows_its_cancellation(context: Context) -> object:
    context.report({"step": "deaf"})
    await _swallows()
    return "unsaid"


async def _swallows() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


@way
async def leaves_a_task_that_swallows(context: Context) -> object:
    context.report({"step": "deaf"})
    asyncio.create_task(_swallows())  # noqa: RUF006  # that is the point
    await asyncio.sleep(0)
    return "said"


@way
async def leaves_a_call_that_never_ends(context: Context) -> object:
    context.report({"step": "deaf"})
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    await asyncio.sleep(0)
    return "said"


@way
async def kills_the_worker(context: Context) -> object:
    context.report({"step": "killing"})
    await asyncio.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
    return "unsaid"


@way
async def tells_its_process(context: Context) -> object:
    return {"pid": os.getpid(), "parent": os.getppid()}


@operation("shared-ways", cancellable=True)
async def shared_ways(context: Context) -> object:
    """Does what its argument `way` says, in the worker's own process."""
    return await SHARED[context.arguments["way"]](context)
