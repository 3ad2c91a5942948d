"""The uses of resources that a task has rows of."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pulp_events.events import Access, Resource


class Use(NamedTuple):
    """A row of `task_resources`, but for the task."""

    resource: str
    access: str


@lru_cache(maxsize=256)  # many tasks use the same
def uses(resources: tuple[Resource, ...]) -> Sequence[Use]:
    """Each use once, however often it is named. All of a resource together are the exclusive ones and those that are
    shared alone: so they are found without looking for a task that comes twice."""
    exclusive = dict.fromkeys(item.key for item in resources if item.access is Access.EXCLUSIVE)
    shared = dict.fromkeys(item.key for item in resources if item.access is Access.SHARED)
    return [*(Use(key, "e") for key in exclusive), *(Use(key, "b" if key in exclusive else "s") for key in shared)]
