"""The errors of the client, with their exit codes; `pulp_admin.exits` says what these mean."""

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


class Conflict(Failure):
    """The request conflicts with what exists, such as one token more than a user may have."""

    def __init__(self, message: str) -> None:
        super().__init__(message, DATA)


class StaleStream(Failure):
    """The server no longer knows this position in the event stream: start without it."""


def why(error: Exception) -> str:
    """Why a file cannot be read or written, in a few words and without its path, which the message has already."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
