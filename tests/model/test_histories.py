"""Random histories: any events in any order, read in any batches by processors that race, lose responses and die."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pulp_events.topics import Topics

from tests.model.histories import History
from tests.model.worlds import MemoryWorld, RealWorld
from tests.support.backends import Backend


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_histories_in_memory(runner: asyncio.Runner) -> None:
    world = MemoryWorld(runner)

    class InMemory(History):
        def __init__(self) -> None:
            world.begin()
            super().__init__(world)

    run_state_machine_as_test(InMemory, settings=settings(max_examples=400, stateful_step_count=30))


def test_the_same_histories_on_kafka_and_postgres(
    runner: asyncio.Runner, backend: Backend, database: str, topics: Topics
) -> None:
    world = RealWorld(runner, backend.kafka, topics.events, database)

    class OnTheRealThing(History):
        def __init__(self) -> None:
            super().__init__(world)

    phases = [Phase.explicit, Phase.generate]  # shrinking a history takes too long here
    try:
        run_state_machine_as_test(
            OnTheRealThing, settings=settings(max_examples=25, stateful_step_count=30, phases=phases)
        )
    finally:
        world.close()
