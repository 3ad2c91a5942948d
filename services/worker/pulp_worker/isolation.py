"""Calls a function in its own process, with bounds for this call alone.

For reading untrusted documents: a parser that takes all memory, loops or crashes ends only its own process, and neither
the worker nor its other tasks. `Context.isolated` is how operations call it.
"""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from pulp_events.declared_settings import Setting

from pulp_worker.environment import allowed
from pulp_worker.errors import LimitExceeded, OperationError

T = TypeVar("T")
_MIB: Final = 1 << 20
_MEMORY_SIGNALS: Final = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL)
"""How a process ends if its allocations fail, or if the kernel kills it for lack of memory."""
_PIECE: Final = 1 << 16
_MACHINE_ERRORS: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)
)
"""They are about this machine only, and reveal nothing about the data."""


class IsolationSettings(Struct, frozen=True, kw_only=True):
    """The limits of one isolated call. `pulp_worker.bounds` reads them."""

    memory_bytes: Annotated[
        int,
        Setting(
            "PULP_ISOLATED_MEMORY_BYTES",
            "The address space of an isolated call's process; the interpreter takes some 50 MiB of it.",
            least=128 * _MIB,
        ),
    ] = 512 * _MIB
    cpu_s: Annotated[
        int, Setting("PULP_ISOLATED_CPU_S", "How much processor time an isolated call may use.", least=1)
    ] = 900
    total_s: Annotated[float, Setting("PULP_ISOLATED_TOTAL_S", "How long an isolated call may take.", least=1)] = 3600
    result_bytes: Annotated[
        int, Setting("PULP_ISOLATED_RESULT_BYTES", "The largest size of an isolated call's result.", least=1)
    ] = 64 * _MIB
    """Encoded."""

    def lowered(self, *, memory_bytes: int | None, cpu_s: int | None, total_s: float | None) -> "IsolationSettings":
        """These bounds, or lower ones if given."""
        return IsolationSettings(
            memory_bytes=min(self.memory_bytes, memory_bytes or self.memory_bytes),
            cpu_s=min(self.cpu_s, cpu_s or self.cpu_s),
            total_s=min(self.total_s, total_s or self.total_s),
            result_bytes=self.result_bytes,
        )


class Call(Struct, frozen=True):
    """The input of the process."""

    module: str
    name: str
    arguments: tuple[Any, ...]
    path: list[str]
    """`sys.path` of the caller."""
    limits: IsolationSettings


class Reply(Struct, frozen=True, omit_defaults=True):
    """The reply of the process: a result, an `OperationError`, or the name of another exception's type."""

    result: Raw = Raw()
    code: str | None = None
    description: str = ""
    is_final: bool = False
    is_limit: bool = False
    raised: str | None = None
    system_error: int | None = None
    """The `errno` of an `OSError`."""


async def isolated(
    function: Callable[..., T], *arguments: Any, returns: type[T] | Any, limits: IsolationSettings, what: str
) -> T:
    """Call the function in its own process, and return its result. The process ends with the call, also if that is
    cancelled.

    The function is found by its module and name. Arguments and result go through msgpack: the arguments arrive in the
    types of the function's signature, and the result is decoded as `returns`. The messages of exceptions other than
    `OperationError` are dropped, since they may quote the data. `what` names the work in errors.

    Raises `LimitExceeded` if the bounds do not suffice, the `OperationError` that the function raises, and
    `OperationError` (`isolated-failed`) for any other end. If the disk is full, read-only or broken, or too many files
    are open, it raises that `OSError`, without the name of a file.
    """
    process, reader, pipe = await _start(what)
    try:
        async with asyncio.timeout(limits.total_s) as deadline:
            said = await _converse(process, reader, _call(function, arguments, limits), limits, what)
            status = await process.wait()
    except TimeoutError:
        if not deadline.expired():
            raise
        raise LimitExceeded(f"{what} takes longer than {limits.total_s:g} s (PULP_ISOLATED_TOTAL_S)") from None
    finally:
        await _end(process, pipe)
    result: T = _outcome(said, status, returns, limits, what)
    return result


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], limits: IsolationSettings) -> bytes:
    path = [os.path.abspath(folder) for folder in sys.path]
    return msgspec.msgpack.encode(Call(function.__module__, function.__qualname__, arguments, path, limits))


async def _start(
    what: str,
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, asyncio.ReadTransport]:
    """The process and its output, through a pipe of our own, since asyncio would wait for the end of its own pipe."""
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pulp_worker.isolated"),
            stdin=asyncio.subprocess.PIPE,
            stdout=writing,
            stderr=asyncio.subprocess.DEVNULL,  # a parser that dies may quote the data there
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        reason = os.strerror(error.errno or 0)
        raise OperationError("isolated-failed", f"{what}: no process could be started for it: {reason}") from None
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
    )
    return process, reader, pipe


def _environment() -> dict[str, str]:
    """The environment without proxies, whose URLs may hold a password: the process fetches nothing."""
    return {key: value for key, value in allowed(os.environ).items() if not key.lower().endswith("_proxy")}


async def _converse(
    process: asyncio.subprocess.Process,
    reader: asyncio.StreamReader,
    call: bytes,
    limits: IsolationSettings,
    what: str,
) -> bytearray:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died; its status says how
        process.stdin.write(call)
        process.stdin.write_eof()
        await process.stdin.drain()
    said = bytearray()
    while piece := await reader.read(_PIECE):
        said += piece
        if len(said) > limits.result_bytes + _PIECE:
            raise LimitExceeded(f"{what} gives more than {limits.result_bytes} bytes (PULP_ISOLATED_RESULT_BYTES)")
    return said


async def _end(process: asyncio.subprocess.Process, pipe: asyncio.ReadTransport) -> None:
    pipe.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # with its children
    await asyncio.shield(asyncio.ensure_future(process.wait()))


def _outcome(said: bytearray, status: int, returns: Any, limits: IsolationSettings, what: str) -> Any:
    if status == -signal.SIGXCPU:
        raise LimitExceeded(f"{what} takes more than {limits.cpu_s} s of processor time (PULP_ISOLATED_CPU_S)")
    try:
        reply = msgspec.msgpack.decode(said, type=Reply)
    except msgspec.DecodeError:
        if -status in _MEMORY_SIGNALS:
            what = f"{what} has ended its process by {signal.Signals(-status).name}: most likely it"
            raise _no_memory(limits, what) from None
        raise OperationError("isolated-failed", f"{what} has failed: its process ended with status {status}") from None
    if reply.is_limit:
        raise LimitExceeded(reply.description)
    if reply.code is not None:
        raise OperationError(reply.code, reply.description, is_final=reply.is_final)
    if reply.raised == MemoryError.__name__:
        raise _no_memory(limits, what)
    if reply.system_error in _MACHINE_ERRORS:
        raise OSError(reply.system_error, os.strerror(reply.system_error))
    if reply.raised is not None:
        raise OperationError("isolated-failed", f"{what} has failed: {reply.raised}")
    try:
        return msgspec.msgpack.decode(reply.result, type=returns)
    except msgspec.DecodeError:
        raise OperationError("isolated-failed", f"{what} has failed: its result has another shape") from None


def _no_memory(limits: IsolationSettings, what: str) -> LimitExceeded:
    size = limits.memory_bytes // _MIB
    return LimitExceeded(
        f"{what} needs more than the {size} MiB of memory that it may use (PULP_ISOLATED_MEMORY_BYTES)"
    )
