"""When claims are given back; Postgres is false."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID, uuid4

from pulp_events.task import Position
from pulp_projections.reading.positions import Positions
from pulp_worker.claims import Claim, Claims, LetGo, Parted
from pulp_worker.releases import Releases

LIMIT_S = 10


class Postgres:
    """Keeps what was given back, one list for each transaction; and how far the projection is."""

    def __init__(self) -> None:
        self.parted: list[list[UUID]] = []
        self.next_offset = 0

    async def let_go(self, parting: Sequence[LetGo]) -> Parted:
        self.parted.append([item.claim.task_id for item in parting])
        return Parted({}, frozenset())

    def has_passed(self, position: Position) -> bool:
        return position.offset < self.next_offset


@asynccontextmanager
async def releasing(postgres: Postgres) -> AsyncIterator[Releases]:
    made = Releases(cast(Claims, postgres), cast(Positions, postgres))
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])


def claim(tokens: Mapping[str, int]) -> Claim:
    return Claim(uuid4(), 0, "noop", b"{}", None, 1, uuid4(), uuid4(), tokens)


async def test_what_nobody_waits_for_is_collected_for_a_while() -> None:
    postgres = Postgres()
    async with releasing(postgres) as releases, asyncio.timeout(LIMIT_S):
        await releases.end(claim({}), None)
        second, third = claim({}), claim({})
        ends = [asyncio.create_task(releases.end(second, None))]
        await asyncio.sleep(0.001)
        ends.append(asyncio.create_task(releases.end(third, None)))
        await asyncio.gather(*ends)
    assert postgres.parted[1:] == [[second.task_id, third.task_id]]


async def test_what_is_reserved_is_given_back_at_once_when_the_projection_has_passed_its_end() -> None:
    postgres = Postgres()
    async with releasing(postgres) as releases, asyncio.timeout(LIMIT_S):
        await releases.end(claim({}), None)
        reserved = claim({"repository:demo": 1})
        ending = asyncio.create_task(releases.end(reserved, Position(0, 5)))
        await asyncio.sleep(0)
        assert len(postgres.parted) == 1  # its end is not projected
        postgres.next_offset = 6
        releases.notice()
        for _ in range(10):  # turns of the loop, and no time
            await asyncio.sleep(0)
        assert postgres.parted[1:] == [[reserved.task_id]]
        await ending
