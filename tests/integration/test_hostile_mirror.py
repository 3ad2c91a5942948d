"""A worker with hostile feeds: each ends only its own task, other tasks go on, and the next one runs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from pulp_deploy.demo.server import DemoServer
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics

from tests.support.backends import Backend
from tests.support.hostile_yum import entry, hostile, repomd, with_repomd
from tests.support.mirror import Answer, mirror, redirect
from tests.support.pipeline import Pipeline, pipeline
from tests.support.worker_process import logged_worker
from tests.support.yum import small_repository

PARTITIONS = 2
OPERATIONS = "tests.support.shared_operations"
SETTINGS: dict[str, str] = {
    "PULP_WORKER_CONCURRENCY": "4",
    "PULP_WORKER_LEASE_S": "20",
    "PULP_FETCH_ALLOW": "loopback",
    "PULP_FETCH_READ_S": "1",
    "PULP_FETCH_RATE_WINDOW_S": "1",
    "PULP_FETCH_UNPACKED_RATIO": "100000",
    "PULP_FETCH_UNPACKED_BYTES": str(256 << 20),
    "PULP_ISOLATED_MEMORY_BYTES": str(128 << 20),
}
HUGE = b"<summary>" + b"x" * (200 << 20)
FEEDS = {
    # feed: (error code, words)
    "two-locations": ("bad-repository", "has more than one location"),
    "memory": ("limit-exceeded", "one part of it has over 64 MiB"),
    "bomb": ("limit-exceeded", "metadata becomes larger than"),
    "entities": ("bad-repository", "document type declaration"),
    "redirect": ("fetch-refused", "it redirects, and the settings of this worker do not allow to fetch from there"),
    "endless": ("limit-exceeded", "larger than the 10485760 bytes"),
    "drip": ("fetch-failed", "it comes too slowly"),
    "silent": ("fetch-failed", "nothing comes in time"),
}


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path / "storage", partitions=PARTITIONS) as made:
        (tmp_path / "storage").mkdir(exist_ok=True)
        yield made


def with_two_locations(entries: Mapping[str, str]) -> bytes:
    twice = entry("primary", b"", "repodata/primary.xml", "/dev/zero")
    return repomd(twice, entries["filelists"], entries["other"])


def make_folders(parent: Path) -> None:
    for name in ("good", "two-locations", "memory", "bomb", "entities"):
        (parent / name).mkdir(parents=True)
    small_repository(parent / "good", {"a.rpm": "ant"})
    with_repomd(parent / "two-locations", with_two_locations)
    big = {"primary": lambda content: zstd.compress(content.replace(b"<summary>", HUGE, 1))}
    hostile(parent / "memory", big, suffix=".zst")
    hostile(parent / "bomb", {"other": bomb()}, suffix=".zst")
    with_repomd(parent / "entities", lambda _: repomd(doctype='<!DOCTYPE a [<!ENTITY b "c">]>'))


def bomb() -> bytes:
    compressor = zstd.ZstdCompressor()
    pieces = [compressor.compress(b"<"), *(compressor.compress(b" " * (1 << 20)) for _ in range(300))]
    return b"".join([*pieces, compressor.flush()])


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def sync(pulp: Pipeline, name: str, feed: str) -> Any:
    resources = Resource("repository", name), Resource("content_unit", "orphans", Access.SHARED)
    return await pulp.submit("sync", *resources, arguments={"repo_id": name, "feed": feed})


async def test_hostile_feeds_end_their_own_tasks_alone(pulp: Pipeline, tmp_path: Path) -> None:
    await asyncio.to_thread(make_folders, tmp_path / "served")
    answers: dict[str, Answer] = {
        "/redirect/repodata/repomd.xml": redirect("http://169.254.169.254/"),
        "/endless/repodata/repomd.xml": endless,
        "/drip/repodata/repomd.xml": drip,
        "/silent/repodata/repomd.xml": silent,
    }
    with DemoServer(tmp_path / "served") as served:
        async with mirror(answers) as bad, logged_worker(pulp, OPERATIONS, before=(), **SETTINGS) as worker:
            neighbour = await pulp.submit("shared-ways", arguments={"way": "waits"})
            await pulp.running(neighbour)
            tasks = {}
            for name in FEEDS:
                is_served = (tmp_path / "served" / name).exists()
                tasks[name] = await sync(pulp, name, f"{served.url}{name}/" if is_served else bad.url(f"/{name}/"))
            ended = {name: await pulp.end(task_id) for name, task_id in tasks.items()}
            told = {name: (row["error"] or {}) for name, row in ended.items()}
            assert {name: error.get("code") for name, error in told.items()} == {
                name: code for name, (code, _) in FEEDS.items()
            }
            assert [name for name, (_, words) in FEEDS.items() if words not in told[name]["description"]] == []
            good = await pulp.end(await sync(pulp, "good", f"{served.url}good/"))
            assert good["state"] == "successful", good["error"]
            assert (await pulp.running(neighbour))["state"] == "running"
            assert worker.process.returncode is None
            assert len(worker.lines("worker is up")) == 1
