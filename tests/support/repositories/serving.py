"""A web server for repositories that can behave like real mirrors and object stores."""

import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, unquote_plus, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request; `times` counts those for this path, including this one."""

    path: str
    raw_path: str
    query: str
    times: int
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer; of `body` only `cut_bytes` are sent before the connection is reset."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_bytes: int | None = None


Manner = Callable[["RepositoryServer", Asked], Reply | None]
"""The server's behaviour for a request; None means that of any server."""


def busy(pattern: str, *, times: int, status: int, retry_after_s: int | None = None) -> Manner:
    """The first requests for each of these paths fail."""

    def manner(server: "RepositoryServer", asked: Asked) -> Reply | None:
        if not re.search(pattern, asked.path) or asked.times > times:
            return None
        return Reply(status=status, headers={} if retry_after_s is None else {"Retry-After": str(retry_after_s)})

    return manner


def resets(pattern: str, *, times: int, part_bytes: int) -> Manner:
    """The first answers for each of these paths are cut off; the next request may resume."""

    def manner(server: "RepositoryServer", asked: Asked) -> Reply | None:
        if not re.search(pattern, asked.path) or asked.times > times or asked.path not in server.tree:
            return None
        body, status, headers = server.part(asked)
        return Reply(status=status, headers=headers, body=body, cut_bytes=min(part_bytes, len(body)))

    return manner


def wants_query(query: str) -> Manner:
    """Refuses requests without this query."""

    def manner(server: "RepositoryServer", asked: Asked) -> Reply | None:
        return None if asked.query == query else Reply(status=403)

    return manner


def moved(pattern: str, to: str) -> Manner:
    """A redirect, relative to the server."""

    def manner(server: "RepositoryServer", asked: Asked) -> Reply | None:
        if not re.search(pattern, asked.path) or asked.path.startswith(to):
            return None
        return Reply(status=302, headers={"Location": f"/{to}{asked.path}"})

    return manner


def plus_is_a_blank(server: "RepositoryServer", asked: Asked) -> Reply | None:
    """Decodes `+` in a path as a space, like object stores."""
    body = server.tree.get(unquote_plus(asked.raw_path))
    return Reply(status=403) if body is None else Reply(body=body)


def changes(to: Mapping[str, bytes]) -> Manner:
    """Replaces the repository once its repomd.xml was read."""

    def manner(server: "RepositoryServer", asked: Asked) -> Reply | None:
        if asked.path.endswith("repomd.xml") and asked.times == 1:
            body = server.tree[asked.path]
            server.tree = dict(to)
            return Reply(body=body)
        return None

    return manner


class RepositoryServer:
    """Serves files by their paths on a free port of the loopback. Use it in a `with` statement."""

    def __init__(self, tree: Mapping[str, bytes] | None = None, manner: Manner | None = None) -> None:
        self.tree: dict[str, bytes] = dict(tree or {})
        self.manner = manner
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, pattern: str) -> int:
        """How many requests came for paths like this."""
        with self._lock:
            return sum(count for path, count in self._asked.items() if re.search(pattern, path))

    def forget(self) -> None:
        """Reset the counters."""
        with self._lock:
            self._asked.clear()

    def reply(self, target: str, headers: Mapping[str, str]) -> Reply:
        """The answer to a request."""
        split = urlsplit(target)
        path = unquote(split.path).lstrip("/")
        with self._lock:
            self._asked[path] += 1
            times = self._asked[path]
        asked = Asked(path=path, raw_path=split.path.lstrip("/"), query=split.query, times=times, headers=headers)
        special = None if self.manner is None else self.manner(self, asked)
        if special is not None:
            return special
        if path not in self.tree:
            return Reply(status=404)
        body, status, more = self.part(asked)
        return Reply(status=status, headers=more, body=body)

    def part(self, asked: Asked) -> tuple[bytes, int, dict[str, str]]:
        """The answer to a request for a file, or for the rest of it: body, status, headers."""
        body = self.tree[asked.path]
        wanted = re.fullmatch(r"bytes=([0-9]+)-", asked.headers.get("Range", ""))
        if wanted is None or int(wanted[1]) >= len(body):
            return body, 200, {}
        start = int(wanted[1])
        return body[start:], 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: RepositoryServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that disconnects is not an error of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        reply = self.server.owner.reply(self.path, dict(self.headers.items()))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.cut_bytes])
        if reply.cut_bytes is not None:
            self._reset()

    def do_HEAD(self) -> None:
        reply = self.server.owner.reply(self.path, dict(self.headers.items()))
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def _reset(self) -> None:
        """End the connection like a crashed server: after the sent bytes comes a reset or an end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""
