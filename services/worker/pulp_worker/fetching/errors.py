"""Why something could not be fetched. No text that was fetched is in these errors, and no query of a URL."""

from pulp_worker.errors import LimitExceeded, OperationError


class FetchFailed(OperationError):
    """It could not be fetched: `fetch-failed`. The description has the URL that was asked for, and the reason."""

    code_of_kind = "fetch-failed"

    def __init__(
        self, description: str, *, is_transient: bool = False, status: int | None = None, pause_s: float | None = None
    ) -> None:
        super().__init__(self.code_of_kind, description)
        self.is_transient = is_transient
        """Whether another try may succeed."""
        self.status = status
        """The server's status, if that was the reason."""
        self.pause_s = pause_s
        """How long the server asks to wait before the next try."""


class FetchRefused(FetchFailed):
    """The worker's rules do not allow to fetch from there: `fetch-refused`. Nothing was sent."""

    code_of_kind = "fetch-refused"
    is_final = True


class TooLarge(LimitExceeded):
    """The file is larger than it may be."""


class ServerDown(FetchFailed):
    """The server has been given up (`fetch-failed`): it has failed many times in a row, whatever it was asked for."""
