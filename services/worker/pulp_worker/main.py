"""The worker's process."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, Self

from confluent_kafka.admin import AclOperation
from pulp_events.log import KafkaLog, Log
from pulp_events.settings import SettingsError
from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.preconditions.connections import WORKER
from pulp_runtime.preconditions.looking import look_here, place_of
from pulp_runtime.preconditions.watch import watching
from pulp_runtime.startup import prepare
from pulp_runtime.telemetry.metered_log import MeteredLog
from pulp_runtime.telemetry.serving import Telemetry, telling
from pulp_runtime.telemetry.tracing import TracedLog

from pulp_worker.belongings import OperationThreads, own_threads_and_processes, show_own_tasks
from pulp_worker.guard import owner_of
from pulp_worker.loading import check_settings, load_operations
from pulp_worker.printing import attribute_output
from pulp_worker.purging import built_in
from pulp_worker.settings import Settings
from pulp_worker.watchdog import Watchdog
from pulp_worker.worker import Worker

_LAST_WORD_S: Final = 0.75
"""Less than the guard waits after the lease."""
_log = logging.getLogger("pulp.worker")


def run(settings: Settings) -> None:
    """See `serve`. An operation that calls `sys.exit()` in a callback of the loop ends the worker: it is named."""
    try:
        asyncio.run(serve(settings))
    except SystemExit as error:
        owner = owner_of(error.__traceback__)
        if owner is None:
            raise
        _log.critical(
            "an operation has called sys.exit() in a callback of the event loop: the worker ends",
            extra={"task_id": owner.task_id, "operation": owner.operation},
            exc_info=error,
        )
        _end(os.EX_SOFTWARE)


async def serve(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT; then drain, and return. A second signal cuts the draining short.

    If an operation cannot be stopped, the process replaces itself by a new one with the same command and pid, or ends
    if it has been told to. Raises `PulpError` for a fault at start, and `NameInUse` when another worker has taken
    its name.
    """
    async with Heartbeat(settings.heartbeat) as heartbeat, telling(settings.telemetry, "worker") as telemetry:
        await _serve(settings, heartbeat, telemetry)


async def _serve(settings: Settings, heartbeat: Heartbeat, telemetry: Telemetry) -> None:
    meter, tracing = telemetry
    started = ProcessStart.here()
    _share_process()
    operations = load_operations(settings.modules)
    check_settings(settings.modules, os.environ)
    _make_storage(settings.storage)
    installed = await prepare(settings, WORKER, rights=[AclOperation.WRITE])
    stopping, hastening = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hastening if stopping.is_set() else stopping).set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop)
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions)
    operations |= built_in(settings, log)
    watchdog = Watchdog()
    last_word = partial(log.append_from_thread, timeout_s=_LAST_WORD_S)
    told: Log = MeteredLog(log, meter) if meter.is_on else log
    if tracing is not None:
        told = TracedLog(told, tracing, settings.topics.events)
    worker = Worker(
        settings,
        operations,
        log=told,
        last_word=last_word,
        pulse=watchdog.pulse,
        on_begin=watchdog.start,
        meter=meter,
        tracing=tracing,
    )
    meter.add_source("process", worker.readings)
    try:
        await log.start_appending()
        await worker.start()
        heartbeat.up()
        _log.info("worker is up", extra={"worker": settings.name, "operations": sorted(operations)})
        place = place_of(
            settings,
            broker_clock=log.broker_clock,
            postgres_clock=worker.postgres_clock,
            storage=settings.storage,
        )
        async with watching(place, look_here):
            await worker.run(stopping, hastening)
    except Exception as error:
        if worker.is_left_operating:
            _log.exception("the worker cannot go on", extra={"error": error})
            _end(os.EX_SOFTWARE)
        raise
    finally:
        watchdog.close()  # first, because nothing reports the lease to it from now on
        await log.close()
    if worker.is_replaced and not stopping.is_set():
        _replace(started)
    if worker.is_left_operating or _threads_left():
        _end(os.EX_SOFTWARE if worker.is_left_operating else 0)


def _make_storage(folder: Path) -> None:
    """Raises `SettingsError` if operations could not store anything in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"PULP_STORAGE={folder}: the folder cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"PULP_STORAGE={folder}: user {os.geteuid()} may not write there: let it, or name another")


def _share_process() -> None:
    """Set up this process for operations, as docs/operate/operations.md says."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    faulthandler.enable()  # shows where the process was when it crashed or its watchdog aborted it
    asyncio.get_running_loop().set_default_executor(OperationThreads(thread_name_prefix="worker"))
    _keep_turning(asyncio.get_running_loop())
    show_own_tasks()
    own_threads_and_processes()
    attribute_output()


def _keep_turning(loop: asyncio.AbstractEventLoop) -> None:
    """From now on, only the end of the worker ends its loop and what belongs to it: operations get a `RuntimeError`."""
    main = asyncio.current_task()

    def at_the_end(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            if main is not None and not main.done():
                raise RuntimeError(f"{call.__name__}(): the event loop is the worker's, and no operation may change it")
            return call(*arguments)

        return called

    for name in ("stop", "shutdown_asyncgens", "shutdown_default_executor", "set_default_executor"):
        setattr(loop, name, at_the_end(getattr(loop, name)))


def _threads_left() -> list[str]:
    """Threads for which the interpreter would wait for ever; the worker's own are not among them."""
    return [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and not thread.name.startswith("worker")
    ]


class ProcessStart(NamedTuple):
    """How the process was started, since async operations may have changed any of this."""

    folder: str
    environment: dict[str, str]
    mask: int

    @classmethod
    def here(cls) -> Self:
        """The surroundings as they are now."""
        mask = os.umask(0)
        os.umask(mask)
        return cls(os.getcwd(), dict(os.environ), mask)


def _replace(started: ProcessStart) -> NoReturn:
    """Replace the program of this process: exec ends its threads and tasks, and keeps its pid for the supervisor."""
    _log.warning("the worker replaces its process", extra={"command": sys.orig_argv[1:]})
    _flush()
    try:
        os.chdir(started.folder)
        os.umask(started.mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], started.environment)
    except OSError as error:  # the program was removed or replaced meanwhile: the supervisor restarts it
        _log.critical("the worker cannot replace its process, and ends", extra={"error": error})
        _end(os.EX_SOFTWARE)


def _end(code: int) -> NoReturn:
    """End the process without waiting for what cannot be stopped."""
    _log.error("the worker ends, and what its operations have left behind with it", extra={"threads": _threads_left()})
    _flush()
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
