"""An upgrade from the previous release, process by process: how each release treats the other's events."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from pulp_events.codec import encode, key_of, type_of
from pulp_events.events import Accepted, AttemptFailed, Event, Purged, RequestFacts
from pulp_events.ids import new_id
from pulp_events.topics import Topics
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import accepted, progress, started
from tests.support.processor_process import Installation, installation
from tests.support.projection import execute, stories
from tests.support.release_before import release_before


@pytest.fixture
def site(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Iterator[Installation]:
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release_before(tmp_path_factory.mktemp("before"))


def newest(event: Event) -> Event:
    """The event as version 2."""
    assert isinstance(event.data, Accepted)
    made = replace(event, data=replace(event.data, request=RequestFacts(authentication="token")))
    assert type_of(made) == "org.pulpproject.task.accepted.v2"
    return made


def record(event: Event, partition: int) -> RawRecord:
    return RawRecord(key_of(event.task_id), encode(event), (), partition)


async def happens(site: Installation, seed: int) -> dict[int, int]:
    """Events that the previous release knows: it has neither retries nor purges."""
    found = [
        record(event, partition)
        for event, partition in stories(seed, PARTITIONS, tasks=40, length=300)
        if not isinstance(event.data, AttemptFailed | Purged)
    ]
    return await site.append(*found)


async def test_processors_are_upgraded_one_after_the_other(site: Installation, before: str) -> None:
    """While one from the previous release works, version 1 is written, and both project it. Then version 2 may come."""
    old = await site.start(PYTHONPATH=before).up()
    await site.reached(await happens(site, seed=1))
    new = await site.start().up()
    await site.reached(await happens(site, seed=2))  # the partitions are shared by now
    assert await old.stopped() == 0
    assert "release-before" in before
    tasks = [newest(accepted(new_id())) for _ in range(PARTITIONS)]
    records = [record(event, partition) for partition, event in enumerate(tasks)]
    ends = await site.append(*records, *(record(started(task.task_id), n) for n, task in enumerate(tasks)))
    await site.reached(ends)
    assert await new.stopped() == 0
    await site.rows_are_right(ends)
    states = await execute(
        site.database, "select distinct state from tasks where task_id = any (%s)", [[task.task_id for task in tasks]]
    )
    assert states == [("running",)]


async def test_what_the_release_before_cannot_read_is_kept_and_mended_by_a_rebuild(
    site: Installation, before: str, tmp_path: Path
) -> None:
    old = await site.start(PYTHONPATH=before).up()
    event, beside = newest(accepted(new_id())), accepted(new_id())
    story = (event, started(event.task_id), beside, progress(event.task_id))
    await site.reached(await site.append(*(record(each, 0) for each in story)))
    assert await old.stopped() == 0
    effects = await execute(site.database, "select effect from task_events where partition = 0 order by record_offset")
    assert effects == [("unknown type",), ("unknown task",), ("applied",), ("unknown task",)]
    assert await execute(site.database, "select count(*) from dead_letters") == [(0,)]

    env = environment(tmp_path, **site.environment())
    built = pulp_tasks("rebuild", env=env, timeout_s=240)
    assert built.returncode == 0, built.stderr
    refused = pulp_tasks("rebuild", "activate", env=env)
    assert refused.returncode != 0  # it differs from what readers see, so somebody must ask for it
    wanted = [word for column in ("effect", "(row)") for word in ("--accept", column)]
    accepted_so = pulp_tasks("rebuild", "verify", *wanted, env=env, timeout_s=240)
    assert accepted_so.returncode == 0, accepted_so.stdout + accepted_so.stderr
    activated = pulp_tasks("rebuild", "activate", env=env)
    assert activated.returncode == 0, activated.stderr
    effects = await execute(site.database, "select effect from task_events where partition = 0 order by record_offset")
    assert effects == [("applied",)] * 4
    states = await execute(site.database, "select state from tasks order by accepted_offset")
    assert states == [("running",), ("waiting",)]
