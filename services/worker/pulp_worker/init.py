"""Being process 1: in a container, a worker has the duties of an init, and performs them in a separate process."""

import contextlib
import os
import signal

from pulp_worker.descendants import die_with_parent

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def serve_as_init() -> None:
    """If this is process 1: continue in a child process, and reap orphans here until the child ends.

    The worker cannot do both, because waiting for all processes would take the exit statuses that operations wait for.
    Call it before there are threads. It returns in the process that continues; process 1 passes signals on, and ends
    as the child does.
    """
    if os.getpid() != 1:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        die_with_parent(signal.SIGKILL)
        return
    for signum in _PASSED_ON:
        signal.signal(signum, lambda number, _: _pass_on(worker, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _pass_on(worker: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signum)
