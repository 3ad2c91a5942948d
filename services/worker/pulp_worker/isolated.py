"""The process of one isolated call: `python -m pulp_worker.isolated`. See `pulp_worker.isolation`."""

import contextlib
import functools
import importlib
import inspect
import os
import resource
import signal
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw

from pulp_worker.descendants import die_with_parent
from pulp_worker.errors import LimitExceeded, OperationError
from pulp_worker.isolation import Call, IsolationSettings, Reply

_HARD_CPU_S: Final = 5
"""How long after SIGXCPU the kernel kills a process that keeps running."""


def main() -> None:
    """Run the call from standard input, and report its outcome on standard output."""
    die_with_parent(signal.SIGKILL)
    said = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # output of the function must not look like a reply
    call = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Call)
    os.dup2(null, 0)
    _bound(call.limits)
    rest = memoryview(msgspec.msgpack.encode(_run(call)))
    while rest:
        rest = rest[os.write(said, rest) :]


def _bound(limits: IsolationSettings) -> None:
    with contextlib.suppress(OSError):  # not on Linux
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory is short, the kernel ends this process first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + _HARD_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


def _run(call: Call) -> Reply:
    sys.path[:] = [*call.path, *(folder for folder in sys.path if folder not in call.path)]
    try:
        function = functools.reduce(getattr, call.name.split("."), importlib.import_module(call.module))
        assert callable(function)
        return Reply(result=Raw(msgspec.msgpack.encode(function(*_arguments(function, call)))))
    except LimitExceeded as error:
        return Reply(is_limit=True, description=error.description)
    except OperationError as error:
        return Reply(code=error.code, description=error.description, is_final=error.is_final)
    except MemoryError:
        return Reply(raised=MemoryError.__name__)
    except OSError as error:
        return Reply(raised=type(error).__name__, system_error=error.errno)
    except BaseException as error:  # a panic of a Rust library, for example
        return Reply(raised=type(error).__name__)


def _arguments(function: Callable[..., Any], call: Call) -> list[Any]:
    """The arguments, converted to the types in the function's signature."""
    hints = typing.get_type_hints(function)
    kinds = [hints.get(name, Any) for name in inspect.signature(function).parameters]
    return [msgspec.convert(value, kind) for value, kind in zip(call.arguments, kinds, strict=False)]


if __name__ == "__main__":
    main()
    os._exit(0)
