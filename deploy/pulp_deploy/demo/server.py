"""The demo's web server: serves a folder on the loopback interface, delays chosen paths until released, and counts
requests."""

import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

_FROM_ON: Final = re.compile(r"bytes=([0-9]+)-")


class Gate:
    """Which paths are withheld, and how often each was requested."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._withheld: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._is_closing = False
        self._failures: Counter[str] = Counter()
        self.has_ranges = True
        """Whether Range requests are answered with a part; else the whole file is sent."""
        self.ranges: dict[str, list[str]] = {}
        """The received Range headers, by path."""

    def withhold(self, paths: Iterable[str]) -> None:
        """Withhold the answers for these paths until `release`."""
        with self._changed:
            self._withheld.update(paths)

    def release(self, *paths: str) -> None:
        """Answer requests for these paths, or for all, including those already waiting."""
        with self._changed:
            self._withheld.difference_update(paths or tuple(self._withheld))
            self._changed.notify_all()

    def fail(self, path: str, times: int) -> None:
        """Answer the next requests with 503, this many times."""
        with self._changed:
            self._failures[path] = times

    def fails(self, path: str) -> bool:
        """Whether this request is to fail."""
        with self._changed:
            self._failures[path] -= 1
            return self._failures[path] >= 0

    def close(self) -> None:
        """Drop waiting requests without an answer."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def asked(self, path: str) -> int:
        """How often the path was requested."""
        with self._changed:
            return self._asked[path]

    def total(self, prefix: str) -> int:
        """How often paths with this prefix were requested."""
        with self._changed:
            return sum(count for path, count in self._asked.items() if path.startswith(prefix))

    def pass_through(self, path: str) -> bool:
        """Count the request and wait while its path is withheld; false if the server shuts down."""
        with self._changed:
            self._asked[path] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closing or path not in self._withheld)
            return not self._is_closing

    def wait_asked(self, paths: Iterable[str], timeout_s: float) -> bool:
        """Wait until one of the paths has been requested."""
        wanted = list(paths)
        with self._changed:
            return self._changed.wait_for(lambda: any(self._asked[path] for path in wanted), timeout_s)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, gate: Gate, **options: Any) -> None:
        self._gate = gate
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        if not self._gate.pass_through(self.path):
            self.close_connection = True
            return
        if self._gate.fails(self.path):
            self.send_error(503)
            return
        super().do_GET()

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]  # the stub names the two classes it returns
        """Like the parent, plus the rest of a file from a byte on (RFC 9110, 14.2); other ranges get the whole file."""
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range", "")
        part = _FROM_ON.fullmatch(wanted)
        if part is None or not path.is_file() or not self._gate.has_ranges:
            return super().send_head()
        self._gate.ranges.setdefault(self.path, []).append(wanted)
        size, start = path.stat().st_size, int(part[1])
        if start >= size:
            self.send_error(416)
            return None
        file = path.open("rb")
        file.seek(start)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        return file

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that disconnects is not an error of the server."""


class DemoServer:
    """Serves a folder on a free port of the loopback. Use it in a `with` statement."""

    def __init__(self, folder: Path) -> None:
        self.gate = Gate()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder), gate=self.gate))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def main(folder: Path) -> None:
    """Serve a folder until the process is terminated; print the URL."""
    with DemoServer(folder) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
