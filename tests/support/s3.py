"""S3 on this machine: moto's server, which the real client talks to over HTTP."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec
import httpx
from pulp_deploy.local.ports import free_ports

_LIMIT_S: Final = 60


class S3:
    """An empty S3, and a client of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.env: Final = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        """What a client needs to find it."""
        self.files: Final[Any] = fsspec.filesystem("s3", key="anybody", secret="anything", endpoint_url=url)
        """Its buckets and objects as files."""

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(self._url, trust_env=False, timeout=_LIMIT_S).is_success
        except httpx.ConnectError:
            return False

    def objects(self, bucket: str) -> list[str]:
        """The objects of a bucket, each with the name of the bucket and its key."""
        found: list[str] = self.files.find(bucket)
        return found


@contextmanager
def s3(folder: Path) -> Iterator[S3]:
    """Run the server on a free port of the loopback."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        (folder / "s3.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            found = S3(f"http://127.0.0.1:{port}")
            until = time.monotonic() + _LIMIT_S
            while not found.is_up():
                assert process.poll() is None, (folder / "s3.log").read_text()
                assert time.monotonic() < until, "moto's server does not answer"
                time.sleep(0.1)
            yield found
        finally:
            process.terminate()
