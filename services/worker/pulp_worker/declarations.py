"""The declarations of a worker's operations, and which of two declarations counts."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import msgspec
from packaging.version import InvalidVersion, Version

from pulp_worker.loading import GROUP
from pulp_worker.sdk import Operation


class Declaration(NamedTuple):
    """One operation, as a worker registers it."""

    name: str
    cancellable: bool
    description: str
    resources: list[dict[str, str]]
    tags: list[str] | None
    arguments: dict[str, Any] | None
    requires: str | None
    package: str | None
    """The distribution that provides it; None if it comes from a module named in the settings."""
    version: str | None

    @property
    def digest(self) -> str:
        """Equal for equal declarations, whatever the version of the package."""
        said = self._replace(package=None, version=None)._asdict()
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]


class Registered(NamedTuple):
    """The declaration that counts now."""

    digest: str | None
    package: str | None
    version: str | None
    registered_by: str
    is_offered: bool
    """Whether another live worker has this declaration."""


def declarations(operations: Iterable[Operation]) -> list[Declaration]:
    """The declarations of these operations, sorted by name so that two workers cannot deadlock."""
    points = list(entry_points(group=GROUP))
    return [_declaration(operation, points) for operation in sorted(operations, key=lambda item: item.name)]


def replaces(mine: Declaration, registered: Registered, *, is_start: bool) -> bool:
    """Whether a declaration replaces the registered one.

    The declaration of a starting worker does, unless a live worker has a later version of the same package. Otherwise
    it replaces one that no live worker has: two workers that differ do not take turns, and after a rollback the older
    declaration counts again.
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
