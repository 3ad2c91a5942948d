"""The processes of one plain operation: `python -m pulp_worker.child`.

The process that the worker starts is the operation's *guardian* (`guardian.py`). It forks the operation's own process
(`runner.py`) and watches it from outside. So whatever the operation does to its own process, the guardian watches the
lease, keeps the channel to the worker, can kill the operation, and ends everything that it started before the worker
goes on.
"""

import os
import signal
import socket

import msgspec
from pulp_events.events import ErrorCode

from pulp_worker import guardian, runner
from pulp_worker.descendants import adopt_orphans, die_with_parent
from pulp_worker.messages import Job, Message, line
from pulp_worker.outcome import failed
from pulp_worker.scratch import make


def main() -> None:
    """Run the job from standard input, then end. Messages go to the standard output that it has at the start."""
    die_with_parent(signal.SIGTERM)  # in addition to the end of input, whose other end another process may hold too
    adopt_orphans()
    commands, messages = _moved(0, os.O_RDONLY), _moved(1, os.O_WRONLY)
    os.write(messages, line(Message(is_ready=True)))
    first, rest = _first_line(commands)
    if not first:
        return  # the worker went away before it sent the job
    job = msgspec.json.decode(first, type=Job)
    try:
        make(job.scratch)
    except OSError as error:
        text = f"No folder could be made for the operation to work in: {error}"
        os.write(messages, line(Message(ended=failed(ErrorCode.OPERATION_CRASHED, text))) + line(Message(exited=1)))
        return
    ours, theirs = socket.socketpair()
    printed, prints = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (commands, messages, printed, ours.detach()):
            os.close(descriptor)
        runner.run(job, theirs.detach(), prints)
    theirs.close()
    os.close(prints)
    guardian.Guardian(job, pid, commands, messages, ours.detach(), printed).watch(rest)


def _moved(descriptor: int, mode: int) -> int:
    """Move the descriptor to another number that nothing inherits, and put the null device in its place."""
    private = os.dup(descriptor)
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)
    return private


def _first_line(descriptor: int) -> tuple[bytes, bytes]:
    """The line, or an empty one, and the text after it."""
    received = bytearray()
    while piece := os.read(descriptor, 1 << 16):
        received += piece
        if b"\n" in piece:
            first, _, rest = bytes(received).partition(b"\n")
            return first, rest
    return b"", b""


if __name__ == "__main__":
    main()
    os._exit(0)  # ending the interpreter regularly would take 20 ms
