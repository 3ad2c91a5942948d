"""When a worker asks for tasks; Postgres and the slots are false."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

from pulp_events.topics import Topics
from pulp_worker.claiming import Claiming
from pulp_worker.claims import Claim, Claims
from pulp_worker.settings import Settings
from pulp_worker.slots import Slots

CLAIM = Claim(uuid4(), 0, "noop", b"{}", None, 1, uuid4(), uuid4(), {})


class Queue:
    """Tasks that wait, and the slots that they get."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.occupied = 0
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        """How many tasks were asked for, each time."""

    async def claim(self, operations: Sequence[str], most: int, instance_id: UUID) -> list[list[Claim]]:
        taken = min(most, self.waiting)
        self.waiting -= taken
        self.asked.put_nowait(most)
        return [[CLAIM]] * taken

    def take(self, claims: Sequence[Claim]) -> None:
        self.occupied += 1

    async def next_asked(self) -> int:
        async with asyncio.timeout(10):
            return await self.asked.get()


@asynccontextmanager
async def claiming(queue: Queue) -> AsyncIterator[Claiming]:
    """With eight slots."""

    async def may_claim() -> bool:
        return True

    made = Claiming(
        Settings(kafka="", postgres="", topics=Topics.named("t"), storage=Path(), name="w", concurrency=8),
        ["noop"],
        cast(Claims, queue),
        cast(Slots, queue),
        may_claim=may_claim,
        instance_id=uuid4,
        on_doubt=lambda: None,
    )
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_where_more_wait_than_there_are_slots_it_asks_again_when_most_are_free() -> None:
    queue = Queue(waiting=20)
    async with claiming(queue) as made:
        made.wake()
        assert await queue.next_asked() == 8
        queue.occupied = 1
        made.on_freed()
        assert await queue.next_asked() == 7


async def test_a_full_worker_asks_as_soon_as_a_slot_is_free() -> None:
    queue = Queue(waiting=20)
    queue.occupied = 8
    async with claiming(queue) as made:
        made.wake()
        await asyncio.sleep(0)  # it sees that it has no slot
        await asyncio.sleep(0)
        queue.occupied = 7
        made.on_freed()
        assert await queue.next_asked() == 1


async def test_a_free_slot_is_no_reason_to_ask_where_nothing_waits() -> None:
    queue = Queue(waiting=3)
    async with claiming(queue) as made:
        made.wake()
        assert await queue.next_asked() == 8
        queue.occupied = 0
        made.on_freed()
        queue.waiting = 2
        made.wake()
        assert await queue.next_asked() == 8
        assert queue.waiting == 0
        assert queue.asked.empty()
