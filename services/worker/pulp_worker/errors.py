"""What an operation raises to say how its task ends.

Exception
├── TaskCancelled
├── OperationError
│   ├── LimitExceeded
│   └── fetching.FetchFailed
│       └── fetching.FetchRefused
└── ValueError
    └── ProgressTooLarge
"""


class TaskCancelled(Exception):
    """Raise it to end a task that was asked to stop: it ends `cancelled`."""


class ProgressTooLarge(ValueError):
    """A progress object is larger than the log takes; it was not reported."""


class OperationError(Exception):
    """Raise it to fail a task with an error code of the operation's own.

    A task that has retries left is retried, unless the error is final: by `is_final=True`, or for a whole class.
    """

    is_final: bool = False
    """Another attempt would end the same way."""

    def __init__(self, code: str, description: str, *, is_final: bool = False) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        if is_final:
            self.is_final = True


class LimitExceeded(OperationError):
    """Something needs more than the worker's settings, or the call, allow: `limit-exceeded`. It names the setting."""

    is_final = True

    def __init__(self, description: str) -> None:
        super().__init__("limit-exceeded", description)
