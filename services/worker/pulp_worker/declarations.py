"""What a worker declares of its operations, and which of two declarations counts."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import msgspec
from packaging.version import InvalidVersion, Version

from pulp_worker.loading import GROUP
from pulp_worker.sdk import Operation


class Declaration(NamedTuple):
    """One operation, as it is registered."""

    name: str
    cancellable: bool
    description: str
    resources: list[dict[str, str]]
    tags: list[str] | None
    arguments: dict[str, Any] | None
    requires: str | None
    package: str | None
    """The distribution that provides it; None for a module that settings name."""
    version: str | None

    @property
    def digest(self) -> str:
        """Equal for declarations that say the same, whichever release says it."""
        said = self._replace(package=None, version=None)._asdict()
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]


class Registered(NamedTuple):
    """What counts at the moment."""

    digest: str | None
    package: str | None
    version: str | None
    registered_by: str
    is_offered: bool
    """A live worker, other than the one that asks, declares just this."""


def declarations(operations: Iterable[Operation]) -> list[Declaration]:
    """What these operations declare, by name: in one order, so that two workers cannot wait for each other."""
    points = list(entry_points(group=GROUP))
    return [_declaration(operation, points) for operation in sorted(operations, key=lambda item: item.name)]


def replaces(mine: Declaration, registered: Registered, *, is_start: bool) -> bool:
    """Whether a declaration takes the place of the registered one.

    A worker that starts brings the newest, unless a live one has a later version of the same package. Any other waits
    until no live worker declares what is registered: so two that differ do not take turns, and after an upgrade was
    taken back the older declaration counts again.
    """
    if registered.digest is None or not registered.is_offered:
        return True
    return is_start and not _is_older(mine, registered)


def _is_older(mine: Declaration, registered: Registered) -> bool:
    if mine.package != registered.package or mine.version is None or registered.version is None:
        return False
    try:
        return Version(mine.version) < Version(registered.version)
    except InvalidVersion:
        return False


def _declaration(operation: Operation, points: Iterable[EntryPoint]) -> Declaration:
    package = operation.function.__module__.partition(".")[0]
    by = next((point.dist for point in points if point.module.partition(".")[0] == package), None)
    return Declaration(
        name=operation.name,
        cancellable=operation.cancellable,
        description=operation.description,
        resources=[{"type": item.type, "id": item.id, "access": item.access} for item in operation.resources],
        tags=None if operation.tags is None else list(operation.tags),
        arguments=None if operation.schema is None else dict(operation.schema),
        requires=operation.requires,
        package=None if by is None else by.name,
        version=None if by is None else by.version,
    )
