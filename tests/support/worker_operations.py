"""Operations for the tests of the worker. Each leaves traces in the storage for the test to check."""

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from pulp_operations.store import Store
from pulp_worker import Context, OperationError, TaskCancelled, operation
from pulp_worker.arguments import HttpUrl


def begun(context: Context[Any]) -> Path:
    """Add a line to the task's file, which counts its starts."""
    path = context.storage / f"begun-{context.task_id}"
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return path


@operation("echo")
async def echo(context: Context) -> object:
    """Returns its arguments."""
    begun(context)
    context.report({"step": "first"})
    context.report({"step": "last"})
    return {"arguments": context.arguments, "tokens": dict(context.tokens)}


@operation("echo-plain")
def echo_plain(context: Context) -> object:
    """The same in a child process; what it prints disturbs nobody."""
    print("printed by an operation")
    begun(context)
    context.report({"step": "first"})
    context.report({"step": "last"})
    return {"arguments": context.arguments, "tokens": dict(context.tokens), "pid": os.getpid()}


class Sized(Struct):
    """What the declared operations take."""

    size: Annotated[int, Meta(ge=1)] = 1
    source: HttpUrl | None = None


@operation("sized", arguments=Sized)
async def sized(context: Context[Sized]) -> object:
    """Returns its arguments, by the names in its declaration."""
    begun(context)
    return [context.arguments.size, context.arguments.source]


@operation("sized-plain", arguments=Sized)
def sized_plain(context: Context[Sized]) -> object:
    """The same in a child process."""
    begun(context)
    return [context.arguments.size, context.arguments.source]


@operation("patient", cancellable=True)
async def patient(context: Context) -> object:
    """Waits until it is cancelled."""
    begun(context)
    context.report({"step": "waiting"})
    await context.wait_cancelled()
    context.report({"step": "stopped"})
    raise TaskCancelled


@operation("reporting", cancellable=True)
async def reporting(context: Context) -> object:
    """Reports what its argument `progress` is, and waits until it is cancelled."""
    context.report(context.arguments["progress"])
    await context.wait_cancelled()
    raise TaskCancelled


@operation("patient-plain", cancellable=True)
def patient_plain(context: Context) -> object:
    """The same in a child process."""
    begun(context)
    context.report({"step": "waiting"})
    while not context.cancelled:
        time.sleep(0.01)
    context.report({"step": "stopped"})
    raise TaskCancelled


@operation("until-file", cancellable=True)
async def until_file(context: Context) -> object:
    """Runs until a file named `go` is there, cancelled or not."""
    begun(context)
    context.report({"step": "waiting"})
    while not (context.storage / "go").exists():  # noqa: ASYNC110  # a file cannot be waited for
        await asyncio.sleep(0.01)
    return "went"


@operation("unstoppable")
async def unstoppable(context: Context) -> object:
    """As `until-file`; cannot be cancelled."""
    result = await until_file.function(context)
    return str(result)


@operation("deaf", cancellable=True)
def deaf(context: Context) -> object:
    """Takes no notice of a cancel, and has started a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (context.storage / f"pids-{context.task_id}").write_text(f"{os.getpid()} {process.pid}")
    begun(context)
    context.report({"step": "deaf"})
    process.wait()
    return None


@operation("store-write")
async def store_write(context: Context) -> object:
    """Writes a publication into the store of the shipped operations; first waits for a file, if its argument names one.

    What the store said is in `write-TASK`.
    """
    begun(context)
    context.report({"step": "waiting"})
    awaited = context.arguments.get("after")
    while awaited and not (context.storage / awaited).exists():  # noqa: ASYNC110  # a file cannot be waited for
        await asyncio.sleep(0.01)
    store = Store(context.storage)
    said = context.storage / f"write-{context.task_id}"
    with store.scratch() as scratch:
        content = scratch / "content"
        content.mkdir()
        (content / "author").write_text(str(context.task_id))
        try:
            store.save_publication("demo", content, context.tokens["repository:demo"])
        except OperationError as error:
            said.write_text(error.code)
            raise
    said.write_text("written")
    return None


@operation("locked")
async def locked(context: Context) -> object:
    """Fails if anybody else is at work on one of its resources."""
    begun(context)
    with ExitStack() as stack:
        for key in context.tokens:
            file = stack.enter_context((context.storage / f"lock-{key}").open("w"))
            mode = fcntl.LOCK_SH if key in context.arguments.get("shared", ()) else fcntl.LOCK_EX
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperationError("conflict", f"somebody else is at work on {key}") from None
        await asyncio.sleep(0.02)
    return dict(context.tokens)


@operation("misbehave")
async def misbehave(context: Context) -> object:
    """Ends as its argument says."""
    begun(context)
    match context.arguments["how"]:
        case "raise":
            raise RuntimeError("a text with NUL \0 and a surrogate \udc80")
        case "code":
            raise OperationError("out-of-disk", "no space left")
        case "exit":
            sys.exit(3)
        case "cancel-itself":
            raise asyncio.CancelledError
        case "not-json":
            return object()
        case "too-large":
            return "x" * 300_000
        case "nul":
            return {"text": "\0"}
        case "deep":
            value: object = 1
            for _ in range(900):
                value = [value]
            return value
        case how:
            return how


@operation("misbehave-plain")
def misbehave_plain(context: Context) -> object:
    """The same for a child process."""
    begun(context)
    match context.arguments["how"]:
        case "raise":
            raise RuntimeError("plain")
        case "exit":
            sys.exit(3)
        case "os-exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "not-json":
            return object()
    return None


@operation("flaky", cancellable=True)
async def flaky(context: Context) -> object:
    """Fails as often as its argument `fails` says, and then succeeds."""
    return _flaky(context)


@operation("flaky-plain", cancellable=True)
def flaky_plain(context: Context) -> object:
    """The same in a child process."""
    return _flaky(context)


def _flaky(context: Context) -> object:
    attempt = len(begun(context).read_text().splitlines())
    context.report({"attempt": attempt})
    if attempt <= context.arguments["fails"]:
        raise OperationError("flaky", f"attempt {attempt} fails", is_final=bool(context.arguments.get("is_final")))
    return {"attempt": attempt, "tokens": dict(context.tokens)}
