"""What can go wrong, and the exit code of each (sysexits.h where it has one).

0   done                                    69  the task cannot be cancelled
1   `watch`: the task failed                70  an error of the server
3   `watch`: the task was cancelled         75  away for now: try again
4   `watch`: the task was skipped           77  not allowed
64  the command line is wrong               78  the configuration is wrong, or the server is not there
65  the server refuses the input
"""


class Failure(Exception):
    """Ends the command with a message and an exit code."""

    def __init__(self, message: str, code: int, *, to_stdout: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.to_stdout = to_stdout


USAGE, DATA, UNAVAILABLE, SOFTWARE, TEMPORARY, DENIED, CONFIG = 64, 65, 69, 70, 75, 77, 78
