"""Talking to the server: one place for positions and retries."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import CONFLICT, NO_CONTENT, NOT_FOUND
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
from pulp_console.exits import DATA, SOFTWARE
from pulp_console.output import hint

from pulp_admin.answers import detail_of, json_of
from pulp_admin.call_log import CallLog
from pulp_admin.config import Config
from pulp_admin.connection import Bearer, Connection
from pulp_admin.errors import Failure
from pulp_admin.memory import Memory
from pulp_admin.paths import ApiPath, api_path, id_in
from pulp_admin.positions import decode, encode
from pulp_admin.sessions import Session, Sessions

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

_TRIES: Final = 4
_LONGEST_PAUSE_S: Final = 5.0
_PATIENCE_S: Final = 5.0
BULK_PATIENCE_S: Final = 600.0
"""How long each of many requests waits for a quota."""
_PAGE: Final = 1000
_STREAM_TIMEOUT_S: Final = 35.0
"""The server sends at least a ping on a stream every 15 seconds."""


class Client:
    """The server's API. Every call raises `Failure` with the exit code of what went wrong."""

    def __init__(self, config: Config, transport: httpx.BaseTransport | None = None, *, verbosity: int = 0) -> None:
        self.tell: Callable[[str], None] = hint
        """Called with remarks for the user, for example before a retry."""
        self.patience_s = _PATIENCE_S
        """How long a request waits if a quota is used up. Commands that concern many tasks set it higher."""
        self._has_told_of_quota = False
        self._config = config
        self._connection = Connection(config, transport)
        self._http = self._connection.http
        self.url = config.url
        """The server, without a final slash."""
        self.sessions = Sessions(config.folder)
        """The token that `login` has stored."""
        self.is_known = True
        """Whether the last answer came from Pulp Tasks, which names each request."""
        self._memory = Memory(config.folder)
        self._positions = self._memory.recall(config.url)
        self._noting = Lock()
        self._calls = CallLog(verbosity)

    def get(
        self, path: ApiPath, params: Mapping[str, Any] | None = None, at_least: Mapping[int, int] | None = None
    ) -> Any:
        """The JSON of a GET, at least as new as this user's last write, and as the positions that are given."""
        # A read as of a past moment need not wait for later events.
        positions = {} if "as_of" in (params or {}) else dict(self._positions)
        for partition, offset in (at_least or {}).items():
            positions[partition] = max(offset, positions.get(partition, -1))
        headers = {"Pulp-Min-Position": encode(positions)} if positions else {}
        response = self._send("GET", path, params=params, headers=headers, is_repeatable=True)
        if headers and not at_least and _refuses_positions(response):
            # The positions may be from before the server was set up again. They are only a convenience, so continue
            # without them.
            self._positions = {}
            self._memory.keep(self._config.url, {})
            response = self._send("GET", path, params=params, headers={}, is_repeatable=True)
        found = json_of(response, self._config.url)
        if found is None:
            raise Failure(f"The server answered nothing to {path}: is {self._config.url} the Pulp server?", SOFTWARE)
        return found

    def named(self, path: ApiPath, name: str) -> dict[str, Any] | None:
        """The item of this name in a list; None if there is none.

        The name is compared here too: the server ignores a blank filter, and would return the first item of all.
        """
        found = self.get(path, {"name": name})["results"]
        return next((dict(row) for row in found if row["name"] == name), None)

    def pages(self, path: ApiPath, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """All results of a list of the v3 dialect, page by page."""
        offset = 0
        while True:
            page = self.get(path, {**(params or {}), "limit": _PAGE, "offset": offset})
            yield from page["results"]
            offset += len(page["results"])
            if page.get("next") is None or not page["results"]:
                return

    def submit(self, body: Mapping[str, Any], key: str | None = None) -> str:
        """Submit a task and return its id. Retries until the result is known; the idempotency key makes it one task."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        return _new_task(self.post(api_path("v3", "tasks"), body, headers))

    def rerun(self, task_id: str, changed: Mapping[str, Any], key: str) -> str:
        """Rerun a finished task and return the new task's id. Requests with the same key make one task."""
        made = self.post(api_path("v3", "tasks", task_id, "rerun"), changed, {"Idempotency-Key": key})
        return _new_task(made)

    def cancel(self, task_id: str, reason: str | None = None) -> dict[str, Any]:
        """Cancel a task and return it in the v3 dialect. Retries until the result is known.

        A finished task is returned as it ended; a task that cannot be cancelled has a `detail` that says so.
        """
        body = {"state": "canceled", **({} if reason is None else {"reason": reason})}
        response = self._send("PATCH", api_path("v3", "tasks", task_id), json=body, is_repeatable=True)
        if response.status_code == CONFLICT:
            return dict(response.json())
        return dict(json_of(response, self._config.url))

    def purge(self, task_id: str) -> None:
        """Purge a task that has ended. Raises `Failure`, also for a task that has not."""
        response = self._send("DELETE", api_path("v3", "tasks", task_id), is_repeatable=False)
        if response.status_code == CONFLICT:
            raise Failure(f"Task {task_id} has not ended: wait for its end, or cancel it, before you purge it.", DATA)
        if response.status_code == NOT_FOUND:
            told = f"There is no task {task_id}, or it is purged already: tasks details --purged shows it then."
            raise Failure(told, DATA)
        if response.status_code != NO_CONTENT:
            json_of(response, self._config.url)

    def post(self, path: ApiPath, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """Send a POST with an `Idempotency-Key`, which may be retried, and return the JSON."""
        try:
            response = self._send("POST", path, json=body, headers=dict(headers), is_repeatable=True)
        except UnicodeEncodeError as error:
            raise Failure(
                f"{error.object[error.start : error.end]!a} is not a character: nothing was sent.", DATA
            ) from None
        return json_of(response, self._config.url)

    def create(self, path: ApiPath, body: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        """Send a POST that creates a resource, and return the JSON. Not retried: the second would be a conflict."""
        response = self._send("POST", path, params=params, json=dict(body), is_repeatable=False)
        return json_of(response, self._config.url)

    def change(self, path: ApiPath, body: Mapping[str, Any]) -> Any:
        """Send a PATCH and return the JSON. It may be retried: the same change twice has the effect of one."""
        return json_of(self._send("PATCH", path, json=dict(body), is_repeatable=True), self._config.url)

    def delete(self, path: ApiPath, params: Mapping[str, Any] | None = None) -> Any:
        """Send a DELETE and return the JSON. Not retried: the second response may differ from the first."""
        return json_of(self._send("DELETE", path, params=params, is_repeatable=False), self._config.url)

    def end(self, session: Session) -> None:
        """End a session of `login` with its own token, whoever the user of other requests is."""
        path = api_path("v3", "tokens", session.token_id)
        response = self._send("DELETE", path, auth=Bearer(session.token), is_repeatable=False)
        json_of(response, self._config.url)

    @contextmanager
    def events(self, task_id: str | None, after: str | None = None) -> "Iterator[Iterator[ServerSentEvent]]":
        """Open the event stream of a task, or of all, from now on or after the event with the id `after`."""
        from httpx_sse import EventSource, SSEError

        headers = {"Accept": "text/event-stream", **({} if after is None else {"Last-Event-ID": after})}
        timeout = httpx.Timeout(max(_STREAM_TIMEOUT_S, self._config.timeout_s), connect=self._config.timeout_s)
        path, params = api_path("v3", "events"), {} if task_id is None else {"task": task_id}
        try:
            with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                self._calls.answered(response)
                if response.status_code != 200:
                    response.read()
                    json_of(response, self._config.url)
                try:
                    yield EventSource(response).iter_sse()
                except SSEError:
                    response.read()
                    json_of(response, self._config.url)
                    raise
        except httpx.RequestError as error:
            raise self._connection.failure(error) from error

    def _send(self, method: str, path: ApiPath, *, is_repeatable: bool, **request: Any) -> httpx.Response:
        for attempt in range(1, _TRIES + 1):
            is_last = attempt == _TRIES or not is_repeatable
            try:
                response = self._request(method, path, **request)
            except httpx.RequestError as error:
                self._calls.failed(f"{method} {path}", error)
                if is_last or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
                    raise self._connection.failure(error) from error
                time.sleep(min(_LONGEST_PAUSE_S, 0.25 * 2**attempt))
                continue
            if response.status_code != 503 or is_last:
                self._note(response)
                return response
            self.tell(f"The server cannot answer now: {detail_of(response)}\nTrying again.")
            time.sleep(_pause(response))
        raise AssertionError("the last attempt returns or raises")

    def _request(self, method: str, path: ApiPath, **request: Any) -> httpx.Response:
        """Send a request, and retry it when a quota refuses it: then the server has done nothing."""
        waited_s = 0.0
        while True:
            started_s = time.monotonic()
            response = self._http.request(method, path, **request)
            self._calls.answered(response, time.monotonic() - started_s)
            self.is_known = "correlation-id" in response.headers
            pause_s = _retry_after_s(response)
            if response.status_code != 429 or waited_s + pause_s > self.patience_s:
                return response
            if not self._has_told_of_quota:
                self._has_told_of_quota = True
                self.tell(f"The server is asked too often: {detail_of(response)}\nWaiting, and trying again.")
            time.sleep(pause_s)
            waited_s += max(1.0, pause_s)

    def _note(self, response: httpx.Response) -> None:
        if response.request.method == "GET" or "pulp-position" not in response.headers:
            return
        with self._noting:  # several threads may send requests at once
            for partition, offset in decode(response.headers["pulp-position"]).items():
                self._positions[partition] = max(offset, self._positions.get(partition, -1))
            self._memory.keep(self._config.url, self._positions)


def _new_task(answer: Mapping[str, Any]) -> str:
    """Return the id of a submitted task, after a remark on what keeps it from running now."""
    for warning in answer.get("warnings") or ():
        hint(f"Warning: {warning}.")
    return id_in(answer["task"])


def _refuses_positions(response: httpx.Response) -> bool:
    return response.status_code == 504 or (response.status_code == 400 and "Pulp-Min-Position" in response.text)


def _pause(response: httpx.Response) -> float:
    return min(_LONGEST_PAUSE_S, _retry_after_s(response))


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "1")
    return float(text) if text.isdecimal() else 1.0
