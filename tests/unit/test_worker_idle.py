"""An idle worker sends heartbeats, and nothing else."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_worker import worker as module
from pulp_worker.claims import Heard, Look
from pulp_worker.settings import Settings
from pulp_worker.worker import Worker


class Told:
    """Claims that hear these things, one after another, and then nothing more."""

    def __init__(self) -> None:
        self.heard: Iterator[Heard] = iter(())
        self.limits_s: list[float | None] = []
        self.looks = 0
        self.looks_again = 0
        self.is_over = asyncio.Event()

    async def heard_next(self, timeout_s: float | None) -> Heard:
        self.limits_s.append(timeout_s)
        for one in self.heard:
            return one
        self.is_over.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def look(self, *_: object) -> Look:
        self.looks += 1
        return Look("", {}, {}, [])

    def look_again(self) -> None:
        self.looks_again += 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told()

    class FakeClaims:
        is_resting = False
        heard = staticmethod(found.heard_next)
        look = staticmethod(found.look)
        look_again = staticmethod(found.look_again)

    monkeypatch.setattr(module, "Claims", lambda *_: FakeClaims)
    return found


def worker_of() -> Any:
    """A worker that has not been started."""
    settings = Settings.read({"PULP_KAFKA": "k:1", "PULP_POSTGRES": "dbname=x", "PULP_STORAGE": str(Path("/tmp"))})
    return Worker(settings, {}, log=object())  # type: ignore[arg-type]  # nothing is appended


async def follow(told: Told, heard: list[Heard]) -> None:
    """An idle worker hears this."""
    told.heard = iter(heard)
    following = asyncio.create_task(worker_of()._follow())
    await told.is_over.wait()
    following.cancel()
    await asyncio.wait([following])


async def test_an_idle_worker_waits_without_a_limit_and_does_not_look(told: Told) -> None:
    await follow(told, [])
    assert (told.limits_s, told.looks) == ([None], 0)


async def test_it_looks_when_it_is_notified(told: Told) -> None:
    await follow(told, [Heard(True, {}), Heard(True, {})])
    assert told.looks == 2


async def test_it_does_not_look_at_moves_that_mean_nothing_to_it(told: Told) -> None:
    await follow(told, [Heard(False, {1: 5}), Heard(False, {})] * 3)
    assert told.looks == 0


class _Running:
    """The slots of a worker whose only attempt runs, since its start has taken effect."""

    attempts, claims, hold_ids, begun = (), (), (), (object(),)

    def confirmable(self, _: object) -> list[object]:
        return []

    def needs_looks(self) -> bool:
        return True

    def is_operating(self) -> bool:
        return True

    def see(self, _: object) -> None: ...

    def take(self, _: object) -> None: ...


@pytest.mark.parametrize(("has_news", "looks"), [(False, 0), (True, 1)])
async def test_it_does_not_look_at_moves_that_show_what_it_has_done_itself(
    told: Told, has_news: bool, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Holds", lambda *_, **__: _Running())
    await follow(told, [Heard(False, {1: 5}, has_news)])
    assert told.looks == looks


@pytest.mark.parametrize(("has_holds", "looks"), [(False, 0), (True, 3)])
async def test_it_looks_again_when_a_heartbeat_tells_of_what_it_has_not_heard_of(
    told: Told, has_holds: bool, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of()
    registration, beats = worker._registration, iter(range(3))

    async def heartbeat() -> str:
        if next(beats, None) is None:
            told.is_over.set()
            await asyncio.Event().wait()
        registration.has_holds = has_holds
        return ""

    monkeypatch.setattr(registration, "heartbeat", heartbeat)
    monkeypatch.setattr(worker._membership, "_lease_s", 0.003)
    worker._lease.renew(worker._lease.now())
    beating = asyncio.create_task(worker._membership.keep())
    await asyncio.wait([beating, asyncio.create_task(told.is_over.wait())], return_when=asyncio.FIRST_COMPLETED)
    beating.cancel()
    await asyncio.wait([beating])
    assert told.looks_again == looks


IMPORTED = {
    *("click", "confluent_kafka", "msgspec", "packaging", "psycopg", "psycopg_binary", "typing_extensions"),
    *("uuid_utils", "backports"),
    *(
        "pulp_archive",
        "pulp_console",
        "pulp_deploy",
        "pulp_events",
        "pulp_operations",
        "pulp_projections",
        "pulp_runtime",
    ),
    "pulp_worker",
}
"""Packages whose code is in every worker, hundreds of times on a large site."""


def test_what_an_idle_worker_imports() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"  # modules that the interpreter itself loads, such as Debian's sitecustomize
        "import pulp_deploy.main, pulp_deploy.commands.services, pulp_worker.main\n"
        "from pulp_worker.loading import load_operations\n"
        "load_operations()\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names\n"
        "print(*(name for name in tops if not name.startswith(('_', 'cython'))))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= IMPORTED
