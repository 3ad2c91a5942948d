"""A worker that was stopped, lost its lease, and wakes: its operation writes late, and its events come late."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from pulp_events.events import Outcome, Resource
from pulp_events.topics import Topics
from pulp_operations.store import Store
from pulp_worker import OperationError

from tests.conftest import PARTITIONS
from tests.integration.test_worker_lease import worker_process
from tests.support.backends import Backend
from tests.support.events import finished, progress, started
from tests.support.pipeline import Pipeline, pipeline

REPO = Resource(type="repository", id="demo")


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


def author(pulp: Pipeline) -> str:
    """Who wrote the newest publication."""
    return (Store(pulp.storage).publication_link("demo") / "author").read_text()


async def test_the_late_write_of_a_worker_that_wakes_changes_nothing(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_NAME="zombie") as process:
        lost = await pulp.submit("store-write", REPO, arguments={"after": "go"})
        await pulp.running(lost)
        process.send_signal(signal.SIGSTOP)
        async with pulp.worker("successor"):
            successor = await pulp.submit("store-write", REPO)
            assert (await pulp.end(successor))["worker"] == "successor"
            (pulp.storage / "go").touch()  # it writes as soon as it wakes
            process.send_signal(signal.SIGCONT)
            # The zombie has noticed, or its guard ended it before it could: then another worker runs this.
            assert (await pulp.end(await pulp.submit("echo")))["state"] == "successful"
            row = await pulp.end(lost)
    assert (row["state"], row["error"]["code"]) == ("failed", "worker-lost")
    said = pulp.storage / f"write-{lost}"
    assert not said.exists() or said.read_text() == "fenced"
    assert author(pulp) == str(successor)


async def test_whatever_a_lost_worker_still_appends_is_ignored(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_NAME="zombie") as process:
        lost = await pulp.submit("until-file", REPO)
        row = await pulp.running(lost)
        process.kill()
        ended = await pulp.end(lost)
        attempt_id: UUID = row["attempt_id"]
        for event in (
            progress(lost, attempt_id=attempt_id, sequence=row["sequence"] + 1),
            finished(lost, attempt_id=attempt_id, outcome=Outcome.SUCCESSFUL),
            started(lost, attempt=row["attempt"] + 1, attempt_id=UUID(int=1)),
        ):
            await pulp.log.append(event, row["partition"])
        await pulp.positions.reach(await pulp.log.end_offsets(), 30)
        assert await pulp.task(lost) == ended
        assert [effect for _, effect in await pulp.history(lost)][-3:] == ["final"] * 3


async def test_a_write_with_the_token_of_a_lost_attempt_is_refused(pulp: Pipeline) -> None:
    """The write that gets past everything else: it carries the token of the lost attempt."""
    async with worker_process(pulp, PULP_WORKER_NAME="zombie") as process:
        lost = await pulp.submit("until-file", REPO)
        await pulp.running(lost)
        [(token,)] = await pulp.query("select token from reservations")
        process.kill()
        async with pulp.worker("successor"):
            successor = await pulp.submit("store-write", REPO)
            assert (await pulp.end(successor))["state"] == "successful"
    late = pulp.storage / "late"
    late.mkdir()
    with pytest.raises(OperationError, match="later task") as raised:
        Store(pulp.storage).save_publication("demo", late, token)
    assert raised.value.code == "fenced"
    assert author(pulp) == str(successor)
