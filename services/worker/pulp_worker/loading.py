"""Finding operations: modules named by entry points of the group `pulp_tasks.operations`, and by settings."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Final, NamedTuple

from pulp_events.errors import PulpError
from pulp_events.settings import SettingsError

from pulp_worker.errors import OperationError
from pulp_worker.sdk import Operation
from pulp_worker.wording import described

GROUP: Final = "pulp_tasks.operations"


class OperationsNotLoaded(PulpError):
    """A module of operations cannot be used; the message names it."""


class Loaded(NamedTuple):
    """An operation and where a child process finds it."""

    operation: Operation
    module: str
    attribute: str


def load_operations(modules: Iterable[str] = ()) -> dict[str, Loaded]:
    """All operations by name. Raises `OperationsNotLoaded` for a module that fails, or a name that occurs twice."""
    found: dict[str, Loaded] = {}
    for name in _names(modules):
        for loaded in _operations_of(_import(name)):
            other = found.setdefault(loaded.operation.name, loaded)
            if other.operation is not loaded.operation:
                raise OperationsNotLoaded(
                    f"operation {loaded.operation.name} is in {loaded.module} and in {other.module}: a name is unique"
                )
    return found


def check_settings(modules: Iterable[str], env: Mapping[str, str]) -> None:
    """Let each module that has a function `check_settings(env)` check the settings of its operations.

    Raises `SettingsError` with the words of the `OperationError` that the function raises.
    """
    for name in _names(modules):
        check = getattr(_import(name), "check_settings", None)
        if check is not None:
            try:
                check(env)
            except OperationError as error:
                raise SettingsError(error.description) from error


def operation_points() -> tuple[EntryPoint, ...]:
    """The entry points of operations. The search runs only once, since it reads a file of each installed package."""
    return _points(tuple(sys.path))


@lru_cache(maxsize=1)
def _points(_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _names(modules: Iterable[str]) -> Iterator[str]:
    yield from (point.value for point in operation_points())
    yield from modules


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # even a module that calls sys.exit() must be named
        raise OperationsNotLoaded(f"the operations of module {name} cannot be loaded: {described(error)}") from error


def _operations_of(module: ModuleType) -> list[Loaded]:
    return [
        Loaded(value, module.__name__, attribute)
        for attribute, value in vars(module).items()
        if isinstance(value, Operation)
    ]
