"""The declarations of a worker's operations, and which of two declarations counts."""

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, NamedTuple

import msgspec
from msgspec import to_builtins
from packaging.version import InvalidVersion, Version

from pulp_worker.loading import operation_points
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
    retry: dict[str, Any] | None
    deadline_seconds: int | None
    package: str | None
    """The distribution that provides it; None if it comes from a module named in the settings."""
    version: str | None

    @property
    def digest(self) -> str:
        """Equal for equal declarations, whatever the version of the package."""
        said = self._replace(package=None, version=None)._asdict()
        if self.retry is None and self.deadline_seconds is None:
            del said["retry"], said["deadline_seconds"]  # the digest that releases without these fields compute
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
    packages = {_top(point.module): _package(point) for point in operation_points()}
    return [_declaration(operation, packages) for operation in sorted(operations, key=lambda item: item.name)]


def replaces(mine: Declaration, registered: Registered, *, is_start: bool) -> bool:
    """Whether a declaration replaces the registered one.

    The declaration of a starting worker does, unless a live worker has a later version of the same package. Otherwise
    it replaces one that no live worker has. So two workers that differ do not replace each other's again and again, and
    after a rollback the older declaration counts again.
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


def _top(module: str) -> str:
    return module.partition(".")[0]


def _package(point: EntryPoint) -> tuple[str | None, str | None]:
    """The distribution's name and version. Each access to its metadata parses that again."""
    if point.dist is None:
        return None, None
    metadata = point.dist.metadata
    return metadata["Name"], metadata["Version"]


def _declaration(operation: Operation, packages: Mapping[str, tuple[str | None, str | None]]) -> Declaration:
    name, version = packages.get(_top(operation.function.__module__), (None, None))
    return Declaration(
        name=operation.name,
        cancellable=operation.cancellable,
        description=operation.description,
        resources=[{"type": item.type, "id": item.id, "access": item.access} for item in operation.resources],
        tags=None if operation.tags is None else list(operation.tags),
        arguments=None if operation.schema is None else dict(operation.schema),
        requires=operation.requires,
        retry=None if operation.retry is None else to_builtins(operation.retry),
        deadline_seconds=operation.deadline_s,
        package=name,
        version=version,
    )
