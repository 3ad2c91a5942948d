"""Random tasks and workers, few enough of each kind that they get in each other's way."""

from collections.abc import Collection
from random import Random
from typing import Final
from uuid import UUID

import msgspec
from pulp_events.events import Access, Event, Resource
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask

from tests.support.events import accepted

OFFERS: Final = (Offer("default", "sync"), Offer("default", "publish"), Offer("slow", "sync"))
PROFILES: Final = (
    Profile(frozenset({"default", "slow"}), frozenset({"sync", "publish"})),
    Profile(frozenset({"default"}), frozenset({"sync"})),
    Profile(frozenset({"slow"}), frozenset({"sync", "publish"})),
)
USERS: Final = ("ann", "ben", "eve")
RESOURCES: Final = "abcdefgh"


def task_by_chance(
    random: Random, task_id: UUID, order: Order, others: Collection[UUID]
) -> tuple[Event, WaitingTask, set[UUID]]:
    """Its acceptance and what the rules know about it, together with its dependencies."""
    exclusive = set(random.sample(RESOURCES, random.choice([0, 1, 1, 1, 2])))
    shared = set(random.sample(RESOURCES, random.choice([0, 0, 0, 1, 2])))  # one may be used in both ways
    uses = [*((name, Access.EXCLUSIVE) for name in exclusive), *((name, Access.SHARED) for name in shared)]
    depends_on = set(random.sample(list(others), min(len(others), random.choice([0, 0, 0, 0, 1, 2]))))
    offer, priority, user = random.choice(OFFERS), random.choice([0, 0, 0, 5, -5]), f"user:{random.choice(USERS)}"
    event = accepted(
        task_id,
        operation=offer.operation,
        queue=offer.queue,
        priority=priority,
        depends_on=tuple(depends_on),
        resources=tuple(Resource("r", name, access) for name, access in uses),
    )
    task = WaitingTask(
        task_id,
        order,
        offer,
        priority,
        frozenset(f"r:{name}" for name in exclusive),
        frozenset(f"r:{name}" for name in shared - exclusive),
        user,
    )
    return msgspec.structs.replace(event, actor=user), task, depends_on
