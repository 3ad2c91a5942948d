"""The requests of a command on standard error: a line each with `-v`, bodies too with `-vv`. No line has a secret."""

import json
import time
from typing import Final

import httpx
from pulp_console.output import hint

from pulp_admin.redacting import without_secrets

_MOST_CHARACTERS: Final = 10_000


class CallLog:
    """Logs requests, in as much detail as `-v` was repeated."""

    def __init__(self, verbosity: int = 0) -> None:
        self._verbosity = verbosity

    def answered(self, response: httpx.Response, seconds: float | None = None) -> None:
        """Log a request, its answer and the time it took; a stream has no time, and its body is not logged."""
        if not self._verbosity:
            return
        request = response.request
        cid = response.headers.get("correlation-id")
        after = "" if seconds is None else f" after {seconds:.3f} s"
        told = f" (correlation id {cid})" if cid else ""
        hint(f"{_now()} {request.method} {request.url}: {response.status_code}{after}{told}")
        if self._verbosity > 1 and seconds is not None:
            for mark, body in ((">", request.content), ("<", response.content)):
                if body:
                    hint(f"{mark} {_without_secrets(body)}")

    def failed(self, request: str, error: httpx.RequestError) -> None:
        """Log a request that got no answer."""
        if self._verbosity:
            hint(f"{_now()} {request}: {type(error).__name__}: {error}")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _without_secrets(body: bytes) -> str:
    """The JSON of a body. For any other body only its length, since it may hold anything."""
    try:
        text = json.dumps(without_secrets(json.loads(body)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"{len(body)} bytes that are not JSON"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}... ({len(text)} characters)"
