"""Talking to the server: one place for credentials, positions, retries, and what each bad answer means."""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import httpx
from pulp_console.output import hint

from pulp_admin.config import Config
from pulp_admin.errors import CONFIG, DATA, DENIED, SOFTWARE, TEMPORARY, UNAVAILABLE, Failure
from pulp_admin.memory import Memory, decode, encode

API: Final = "/pulp/api"
_TRIES: Final = 4
_LONGEST_PAUSE_S: Final = 5.0


class Client:
    """The server's API. Every call raises `Failure` with the exit code of what went wrong."""

    def __init__(self, config: Config, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._memory = Memory(config.folder)
        self._positions = self._memory.recall(config.url)
        auth = None if config.username is None else (config.username, config.password or "")
        self._http = httpx.Client(
            base_url=config.url,
            auth=auth,
            timeout=config.timeout_s,
            transport=transport,
            verify=_trust(config),
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None, at_least: Mapping[int, int] | None = None) -> Any:
        """The JSON of a GET, at least as new as this user's last write, and as the positions that are given."""
        positions = dict(self._positions)
        for partition, offset in (at_least or {}).items():
            positions[partition] = max(offset, positions.get(partition, -1))
        headers = {"Pulp-Min-Position": encode(positions)} if positions else {}
        response = self._send("GET", path, params=params, headers=headers, is_repeatable=True)
        if response.status_code == 504 and headers and not at_least:
            # The positions may be of a server that was set up anew: they are only a help, so go on without.
            self._positions = {}
            self._memory.keep(self._config.url, {})
            response = self._send("GET", path, params=params, headers={}, is_repeatable=True)
        return self._json(response)

    def submit(self, body: Mapping[str, Any], key: str | None = None) -> str:
        """Submit a task; its id. Repeated by itself until the answer is known: the key makes it one task."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        response = self._send("POST", f"{API}/v3/tasks/", json=body, headers=headers, is_repeatable=True)
        return str(self._json(response)["task"]).rstrip("/").rsplit("/", 1)[-1]

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a DELETE; sent once, since a repeated one may be answered otherwise."""
        return self._json(self._send("DELETE", path, params=params, is_repeatable=False))

    @contextmanager
    def events(self, task_id: str) -> Iterator[Iterator[str]]:
        """The lines of a task's event stream, from now on."""
        try:
            with self._http.stream(
                "GET", f"{API}/v3/events/", params={"task": task_id}, timeout=httpx.Timeout(30, connect=5)
            ) as response:
                if response.status_code != 200:
                    response.read()
                    self._json(response)
                yield response.iter_lines()
        except httpx.TransportError as error:
            raise self._transport_failure(error) from error

    def _send(self, method: str, path: str, *, is_repeatable: bool, **request: Any) -> httpx.Response:
        for attempt in range(1, _TRIES + 1):
            is_last = attempt == _TRIES or not is_repeatable
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if is_last or isinstance(error, httpx.ConnectError):
                    raise self._transport_failure(error) from error
                time.sleep(min(_LONGEST_PAUSE_S, 0.25 * 2**attempt))
                continue
            if response.status_code != 503 or is_last:
                self._note(response)
                return response
            hint(f"The server cannot answer now: {_detail(response)}\nTrying again.")
            time.sleep(_pause(response))
        raise AssertionError("the last attempt returns or raises")

    def _note(self, response: httpx.Response) -> None:
        if response.request.method == "GET" or "pulp-position" not in response.headers:
            return
        for partition, offset in decode(response.headers["pulp-position"]).items():
            self._positions[partition] = max(offset, self._positions.get(partition, -1))
        self._memory.keep(self._config.url, self._positions)

    def _json(self, response: httpx.Response) -> Any:
        try:
            body = response.json()
        except ValueError:
            raise Failure(
                "The web server reported an error trying to access the Pulp application."
                f" It answered {response.status_code} and no JSON: is {self._config.url} the Pulp server?",
                SOFTWARE,
            ) from None
        if response.status_code >= 400:
            raise _failure(response, body if isinstance(body, dict) else {})
        return body

    def _transport_failure(self, error: httpx.TransportError) -> Failure:
        host = httpx.URL(self._config.url).host
        text = str(error)
        if isinstance(error, httpx.ConnectError) and (
            "Name or service" in text or "nodename" in text or "getaddrinfo" in text
        ):
            return Failure(
                f"Unable to find host [{host}]. Check the client configuration to ensure the server hostname is"
                " correct.",
                CONFIG,
            )
        if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in text:
            return Failure(
                f"The certificate of the server [{host}] cannot be trusted: {text}\nName the certificates to trust with"
                " --ca-file, or as ca_file in the client configuration.",
                CONFIG,
            )
        if isinstance(error, httpx.ConnectError):
            reason = "" if "refused" in text else f" ({text})"
            return Failure(
                f"The connection was refused when attempting to contact the server [{host}]{reason}. Check the client"
                " configuration to ensure the server hostname is correct.",
                CONFIG,
            )
        return Failure(f"The connection to the server [{host}] broke: {text or type(error).__name__}", TEMPORARY)


def _trust(config: Config) -> ssl.SSLContext | bool:
    """What a certificate is checked against. Raises `Failure`."""
    if not config.url.startswith("https://") or not config.verify:
        return False  # to load the usual certificates takes a while: not for a server that has none
    if config.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Failure(f"ca_file {config.ca_file}: the certificates cannot be read: {error}", CONFIG) from error


def _detail(response: httpx.Response) -> str:
    """What the server says of its error, in either dialect; the status if it says nothing."""
    try:
        body = response.json()
    except ValueError:
        body = None
    found = body if isinstance(body, dict) else {}
    return str(found.get("error_message") or found.get("detail") or f"status {response.status_code}")


def _pause(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "1")
    return min(_LONGEST_PAUSE_S, float(text)) if text.isdecimal() else 1.0


def _failure(response: httpx.Response, body: Mapping[str, Any]) -> Failure:
    status, detail = response.status_code, _detail(response)
    match status:
        case 404 if isinstance(body.get("resources"), dict):
            lines = "\n".join(f"  {value} ({key})" for key, value in body["resources"].items())
            return Failure(f"The following resource(s) could not be found:\n\n{lines}\n\n", DATA)
        case 401:
            return Failure(
                "Authentication Failed\n\nCheck the user name and the password in the client configuration"
                " (~/.pulp/admin.toml), in PULP_USERNAME and PULP_PASSWORD, or given with --username and"
                " --password-file.",
                DENIED,
            )
        case 403:
            return Failure(f"Insufficient Permissions: {detail}", DENIED)
        case 501:
            return Failure(detail, UNAVAILABLE, to_stdout=True)
        case 503 | 504:
            return Failure(f"The server cannot answer now: {detail}\nTry again in a moment.", TEMPORARY)
        case _ if status < 500:
            return Failure(detail, DATA)
        case _:
            return Failure(f"An internal error occurred on the Pulp server:\n\n{detail}", SOFTWARE)
