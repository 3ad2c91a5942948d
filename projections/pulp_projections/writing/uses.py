"""A task's uses of resources as rows of `task_resources`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pulp_events.events import Access, Resource

from pulp_projections.task_columns import resource_keys


class Use(NamedTuple):
    """A row of `task_resources`, without the task's own values."""

    resource: str
    access: str


@lru_cache(maxsize=256)  # many tasks use the same
def uses(resources: tuple[Resource, ...]) -> Sequence[Use]:
    """Each use once, however often the task names it.

    A shared use of a resource that the task also uses exclusively is marked `b`. So the rows with `e` and with `s`
    together name each task of a resource once.
    """
    exclusive = dict.fromkeys(resource_keys(resources, Access.EXCLUSIVE))
    shared = dict.fromkeys(resource_keys(resources, Access.SHARED))
    return [*(Use(key, "e") for key in exclusive), *(Use(key, "b" if key in exclusive else "s") for key in shared)]
