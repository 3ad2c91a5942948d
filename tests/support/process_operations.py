"""Operations that affect their process, one `way` each. The tests check the consequences."""

import asyncio
import atexit
import contextlib
import functools
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pulp_worker import Context, LimitExceeded, OperationError, operation

from tests.support.isolated_functions import eats_memory

WAYS: dict[str, Callable[[Context], Any]] = {}
"""Things that a plain operation may do, by name."""


def way(function: Callable[[Context], Any]) -> Callable[[Context], Any]:
    """One way, by the name of the function."""
    WAYS[function.__name__.replace("_", "-")] = function
    return function


def detached(context: Context) -> int:
    """Start a daemon: in its own session, without a parent, with every descriptor open."""
    note = context.storage / f"orphan-{context.task_id}"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note.with_suffix(".new").write_text(str(os.getpid()))
            note.with_suffix(".new").rename(note)
            while True:
                time.sleep(600)
        os._exit(0)
    os.wait()
    while not note.exists():
        time.sleep(0.005)
    return int(note.read_text())


@way
def reads_standard_input(context: Context) -> object:
    return sys.stdin.read()


@way
def runs_cat(context: Context) -> object:
    return subprocess.run(["cat"], capture_output=True, text=True, check=True).stdout


@way
def runs_what_reads_lines(context: Context) -> object:
    program = "n=0; while read -r line; do n=$((n+1)); done; echo $n"
    return subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True).stdout


def _pool(method: str) -> object:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(abs, [-1, -2])


@way
def pool_by_fork(context: Context) -> object:
    return _pool("fork")


@way
def pool_by_spawn(context: Context) -> object:
    return _pool("spawn")


@way
def pool_by_forkserver(context: Context) -> object:
    return _pool("forkserver")


@way
def executor_by_fork(context: Context) -> object:
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        return list(executor.map(abs, [-1, -2]))


@way
def sets_an_alarm(context: Context) -> object:
    rung: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    while not rung:
        signal.pause()
    return "rung"


@way
def has_default_signals(context: Context) -> object:
    names = ("SIGTERM", "SIGCHLD", "SIGHUP", "SIGALRM", "SIGUSR1")
    return all(signal.getsignal(getattr(signal, name)) is signal.SIG_DFL for name in names)


@way
def has_one_thread(context: Context) -> object:
    return len(os.listdir("/proc/self/task"))


@way
def ignores_signals_and_ends_its_group(context: Context) -> object:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    return "alive"


@way
def exits_at_once(context: Context) -> object:
    os._exit(0)


@way
def becomes_another_program(context: Context) -> object:
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])


@way
def kills_itself(context: Context) -> object:
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@way
def dies_of_a_real_time_signal(context: Context) -> object:
    os.kill(os.getpid(), signal.SIGRTMIN + 1)
    return None


@way
def dumps_core(context: Context) -> object:
    os.abort()


@way
def exits_in_words(context: Context) -> object:
    sys.exit("out of luck")


@way
def closes_all_descriptors(context: Context) -> object:
    os.closerange(0, 4096)
    return "unsaid"


@way
def closes_and_opens_descriptors(context: Context) -> object:
    path = context.storage / f"own-{context.task_id}"
    os.closerange(3, 4096)
    for _ in range(100):
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(RuntimeError):
        context.report({"step": 1})
    return "unsaid"


@way
def writes_to_all_descriptors(context: Context) -> object:
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            os.write(descriptor, b'garbage\n{"until_s": 1e12, "cancel": false}\nmore')
    return "said"


@way
def comes_back_twice(context: Context) -> object:
    pid = os.fork()
    if pid:
        return {"child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    return "child"


@way
def comes_back_with_an_error(context: Context) -> object:
    pid = os.fork()
    if pid:
        return {"child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    raise OperationError("child", "raised in a forked process")


@way
def comes_back_by_exit(context: Context) -> object:
    pid = os.fork()
    if pid:
        return {"child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    sys.exit(7)


@way
def reports_from_a_fork(context: Context) -> object:
    pid = os.fork()
    if pid:
        return {"child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    try:
        context.report({"from": "child"})
    except RuntimeError:
        os._exit(3)
    os._exit(0)


@way
def leaves_an_orphan(context: Context) -> object:
    return {"orphan": detached(context)}


@way
def leaves_an_orphan_and_crashes(context: Context) -> object:
    detached(context)
    os._exit(5)


@way
def leaves_an_orphan_and_hangs(context: Context) -> object:
    detached(context)
    context.report({"step": "hanging"})
    while True:
        time.sleep(600)


@way
def does_something_at_exit(context: Context) -> object:
    path = context.storage / f"atexit-{context.task_id}"
    atexit.register(path.touch)
    return str(path)


@way
def hangs_at_exit(context: Context) -> object:
    atexit.register(time.sleep, 600)
    return "said"


@way
def leaves_a_thread(context: Context) -> object:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return "said"


@way
def sets_limits(context: Context) -> object:
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    return "said"


@way
def removes_its_folder(context: Context) -> object:
    shutil.rmtree(Path.cwd())
    return "said"


@way
def hides_its_folder(context: Context) -> object:
    Path("deep/er").mkdir(parents=True)
    Path("deep/er/file").write_text("x")
    Path("deep").chmod(0)
    return str(Path.cwd())


@way
def has_a_folder(context: Context) -> object:
    mask = os.umask(0)
    os.umask(mask)
    return {"cwd": str(Path.cwd()), "mode": Path.cwd().stat().st_mode & 0o777, "files": os.listdir(), "umask": mask}


@way
def replaces_its_output(context: Context) -> object:
    sys.stdout = None
    sys.stderr = object()
    return "said"


@way
def has_an_environment(context: Context) -> object:
    return dict(os.environ)


@way
def has_bounds(context: Context) -> object:
    bounds = context.isolated(eats_memory, returns=int, what="eating")
    try:
        return asyncio.run(bounds)
    except LimitExceeded as error:
        return [list(context.fetching.rules.allow), error.description]


@way
def prints(context: Context) -> object:
    print("one")
    print("two", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo three"], check=True)
    print("\x1b[31mred \udc80", end="")
    return "said"


@way
def floods(context: Context) -> object:
    for number in range(100_000):
        print(f"line {number}")
    print("x" * 1_000_000)
    return "said"


@way
def is_awaited(context: Context) -> object:
    async def nested() -> str:
        await asyncio.sleep(0)
        return "awaited"

    return nested()


@way
def keeps_the_interpreter(context: Context) -> object:
    context.report({"step": "stuck"})
    return re.match(r"(a+)+$", "a" * 60 + "b")  # for years, while holding the GIL


@way
def freezes_its_guardian(context: Context) -> object:
    context.report({"step": "freezing"})
    time.sleep(0.2)  # until that was forwarded
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(600)
    return None


@way
def kills_its_guardian(context: Context) -> object:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
    return None


@operation("ways", cancellable=True)
def ways(context: Context) -> object:
    """Does what its argument `way` says, in a process of its own."""
    return WAYS[context.arguments["way"]](context)


def _decorated(function: Callable[[Context], Any]) -> Callable[[Context], Any]:
    @functools.wraps(function)
    def wrapper(context: Context) -> Any:
        return function(context)

    return wrapper


@operation("decorated")
@_decorated
async def decorated(context: Context) -> object:
    """An async function behind an ordinary decorator."""
    await asyncio.sleep(0)
    return "awaited"
