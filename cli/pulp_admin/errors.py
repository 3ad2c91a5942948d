"""What can go wrong, and the exit code of each (sysexits.h where it has one).

0   done                                    69  the task cannot be cancelled; of many tasks, some could not be
                                                cancelled or run again (they are listed)
1   `watch`: the task failed                70  an error of the server
3   `watch`: the task was cancelled         75  away for now: try again
4   `watch`: the task was skipped           77  not allowed
64  the command line is wrong               78  the configuration is wrong, or the server is not there
65  the server refuses the input            130 interrupted by Ctrl-C
                                            141 the reader of the output has gone, as after `| head -1`
"""

from pulp_console.exits import DATA


class Failure(Exception):
    """Ends the command with a message and an exit code."""

    def __init__(self, message: str, code: int, *, to_stdout: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.to_stdout = to_stdout


class Unreachable(Failure):
    """The server did not answer: the connection failed, or a proxy called the server unavailable. A retry may help."""

    def __init__(self, message: str, code: int, *, why: str) -> None:
        super().__init__(message, code)
        self.why = why
        """The reason in a few words, for somebody who has reached this server before."""


class NotFound(Failure):
    """The server has nothing under this path."""

    def __init__(self, message: str) -> None:
        super().__init__(message, DATA)


class StaleStream(Failure):
    """The place in the event stream means nothing any more: start without it."""
