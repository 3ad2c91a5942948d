"""Feeds on servers of the loopback, without a repository behind them."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pulp_operations.feeds import Feed
from pulp_operations.records import MetadataFile, Package, StoredFile
from pulp_worker import Context
from pulp_worker.fetching import FetchSettings
from pulp_worker.fetching.fetcher import Fetcher
from pulp_worker.fetching.patience import Clock

from tests.support.mirror import LOCAL, fetcher

BODY = b"an rpm, or something like that " * 20


class SimulatedClock(Clock):
    """Advances by the time slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_s(self) -> float:
        return sum(self.slept)

    async def sleep(self, pause_s: float) -> None:
        self.slept.append(pause_s)


@dataclass
class Kept:
    """The kept parts, by the names of their partial files."""

    files: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, path: Path) -> None:
        self.files[path.name] = path.read_bytes()
        path.unlink()

    def stored(self, _: StoredFile, path: Path) -> None:
        self(path)


def package(href: str, content: bytes = BODY, base_url: str = "") -> Package:
    return Package(
        name="ant-1.0-1.noarch",
        href=href,
        base_url=base_url,
        algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        location="Packages/ant-1.0-1.noarch.rpm",
    )


def metadata_file(href: str, content: bytes = BODY, *, is_size_told: bool = True) -> MetadataFile:
    return MetadataFile(
        type="primary",
        href=href,
        algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content) if is_size_told else None,
    )


def context(folder: Path, settings: FetchSettings = LOCAL) -> Context:
    return Context(
        task_id=uuid4(),
        attempt_id=uuid4(),
        arguments={},
        storage=folder,
        tokens={},
        send=lambda _: None,
        fetching=settings,
    )


@asynccontextmanager
async def feed(url: str, folder: Path, client: Fetcher | None = None) -> AsyncIterator[Feed]:
    """A feed that closes its fetcher at the end; `client` replaces the default one."""
    async with client or fetcher() as fetching:
        yield Feed(context(folder), fetching, url)
