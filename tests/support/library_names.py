"""Finds the names in source code that Faust, aiokafka and mode do not promise to keep."""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = ("faust", "aiokafka", "mode")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def is_of_library(module: str) -> bool:
    return module.split(".")[0] in LIBRARIES


def library_classes(cls: type[Any]) -> list[type[Any]]:
    """The classes of a library that a class inherits from."""
    return [base for base in cls.__mro__ if is_of_library(base.__module__)]


def has_name(owner: type[Any] | ModuleType, name: str) -> bool:
    """Whether the installed class or module has this name, be it only an attribute that its methods set."""
    if isinstance(owner, ModuleType):
        return hasattr(owner, name)
    bases = library_classes(owner)
    return any(name in vars(base) or name in _set_by_methods(base.__module__, base.__name__) for base in bases)


@cache
def _set_by_methods(module: str, cls: str) -> frozenset[str]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):  # compiled
        return frozenset()
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == cls)
    return frozenset(
        target.attr
        for node in found
        for target in ast.walk(node)
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store) and _is_self(target.value)
    )


def calls_of(module: str) -> set[str]:
    """The global names that a module of a library calls, so that replacing one has an effect."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


class Source:
    """A module of the repository and its syntax tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tree = ast.parse(path.read_text())

    @property
    def imports_library(self) -> bool:
        return any(is_of_library(module) for module, _ in self._imports())

    def private_imports(self) -> set[str]:
        """Private names, and parts of module names, that it imports from a library."""
        return {
            part
            for module, name in self._imports()
            if is_of_library(module)
            for part in (*module.split("."), name)
            if is_private(part)
        }

    def replaced(self) -> set[str]:
        """Its assignments to attributes of modules or classes that it imports from a library."""
        imported = {name for module, name in self._imports() if is_of_library(module)}
        return {
            node.attr
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if isinstance(node.value, ast.Name) and node.value.id in imported
        }

    def private_of_others(self) -> set[str]:
        """Private attributes of anything but `self`, also by `getattr` and its kind with a literal name."""
        return {name for base, name in _attributes(self._tree) if is_private(name) and not _is_self(base)}

    def inherited_names(self, module: str) -> set[str]:
        """The names that classes of this module, importable as `module`, override or use of the library's classes they
        inherit.
        """
        found = set()
        for node in self._tree.body:
            if isinstance(node, ast.ClassDef):
                cls = getattr(import_module(module), node.name)
                bases = library_classes(cls)
                if bases:
                    own = {name for name in _defined(node) if not name.startswith("__")}
                    used = {name for base, name in _attributes(node) if is_private(name) and _is_self(base)}
                    found |= {name for name in own | used if has_name(cls, name)}
        return found

    def _imports(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                yield from ((node.module, alias.asname or alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.name, (alias.asname or alias.name).split(".")[0]) for alias in node.names)


def _defined(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            yield item.name
        elif isinstance(item, ast.Assign):
            yield from (target.id for target in item.targets if isinstance(target, ast.Name))


def _attributes(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.value, node.attr
        elif isinstance(node, ast.Call) and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("getattr", "setattr", "delattr", "hasattr") and isinstance(node.args[1].value, str):
                yield node.args[0], node.args[1].value


def _is_self(node: ast.expr) -> bool:
    is_super = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    return is_super or (isinstance(node, ast.Name) and node.id in ("self", "cls"))
