"""`sync`: the processor time of fetching many small packages, compared with a plain httpx loop."""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import httpx
import msgspec
from backports import zstd
from pulp_operations.arguments import SyncArguments
from pulp_operations.feeds import Feed
from pulp_operations.progress import Reporting, SyncProgress
from pulp_operations.records import Package
from pulp_operations.settings import Settings
from pulp_operations.store import Store
from pulp_operations.syncing.content import fetch_content
from pulp_operations.syncing.run import SyncRun
from pulp_operations.versions import PACKAGES_FILE
from pulp_worker import Context
from pulp_worker.arguments import HttpUrl, RepositoryId
from pulp_worker.bounds import fetch_settings
from pulp_worker.descendants import die_with_parent
from pulp_worker.fetching.fetcher import Fetcher

from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.scene import Servers

_PACKAGES: Final = 5000
_SIZE_BYTES: Final = 4096
_AT_ONCE: Final = 4
_LOCAL: Final = fetch_settings({"PULP_FETCH_ALLOW": "loopback"})


async def ours(_: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Verify the packages, write them, flush them to the disk and move them into the store."""
    return await _measured(_by_sync, sizes)


async def plain(_: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Write the packages and flush them to the disk."""
    return await _measured(_by_httpx, sizes)


async def _measured(fetch: Callable[[str, Path, list[Package]], Awaitable[None]], sizes: Sizes) -> Mapping[str, float]:
    packages = [_package(number) for number in range(sizes.of(_PACKAGES, 100))]
    with TemporaryDirectory(prefix="pulp-bench-") as folder:
        async with _served() as url:
            await fetch(url, Path(folder) / "before", packages[:50])  # imports and one-time setup
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            await fetch(url, Path(folder) / "measured", packages)
            cpu_s, took_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    return {"": cpu_s * 1000 / len(packages), "wall clock": took_s * 1000 / len(packages)}


async def _by_sync(url: str, folder: Path, packages: list[Package]) -> None:
    """The second step of a sync, with all its work for each package."""
    scratch = folder / "scratch"
    await asyncio.to_thread(_write_packages, scratch, packages)
    arguments = SyncArguments(repo_id=RepositoryId("zoo"), feed=HttpUrl(url), concurrency=_AT_ONCE)
    context = Context(
        task_id=uuid4(),
        attempt_id=uuid4(),
        arguments=arguments,
        storage=folder,
        tokens={},
        send=lambda _: None,
        fetching=_LOCAL,
    )
    progress = SyncProgress()
    async with Fetcher(_LOCAL, {}, connections=_AT_ONCE) as fetcher:
        run = SyncRun(
            context=context,
            store=Store(folder),
            settings=Settings(reserve_bytes=0),
            feed=Feed(context, fetcher, url),
            progress=progress,
            reporting=Reporting(progress, context.report),
            scratch=scratch,
            held=None,
        )
        await fetch_content(run, scratch, [])


def _write_packages(folder: Path, packages: list[Package]) -> None:
    folder.mkdir(parents=True)
    lines = b"".join(msgspec.json.encode(package) + b"\n" for package in packages)
    (folder / PACKAGES_FILE).write_bytes(zstd.compress(lines))


async def _by_httpx(url: str, folder: Path, packages: list[Package]) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True)
    async with httpx.AsyncClient() as client:

        async def fetch(package: Package) -> None:
            response = await client.get(url + package.href)
            response.raise_for_status()
            with (folder / package.href.replace("/", "_")).open("wb") as file:
                file.write(response.content)
                file.flush()
                os.fsync(file.fileno())

        await _in_turns(packages, fetch)


async def _in_turns(packages: Iterable[Package], fetch: Callable[[Package], Awaitable[None]]) -> None:
    queue = iter(packages)

    async def work() -> None:
        for package in queue:
            await fetch(package)

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _package(number: int) -> Package:
    name = f"Packages/p{number}-1.0-1.noarch.rpm"
    body = _body(f"/{name}")
    checksum = hashlib.sha256(body).hexdigest()
    return Package(name=name, href=name, algorithm="sha256", checksum=checksum, size_bytes=len(body), location=name)


def _body(path: str) -> bytes:
    return (path.encode() * (_SIZE_BYTES // len(path) + 1))[:_SIZE_BYTES]


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    """The URL of a server in a process of its own, whose time does not count."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.fetching"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def _serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client is done
            while True:
                body = _body((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


MEASURES = (
    Measure(
        name="sync",
        what=f"processor time a package of {_PACKAGES:,} small ones from the loopback, {_AT_ONCE} at once",
        unit="ms",
        goal="1.2 times a plain loop of httpx with fsync",
        sides={OURS: ours, "httpx": plain},
        rounds=5,
        needs_servers=False,
    ),
)


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    asyncio.run(_serve())
