"""The places that choose by a task's state or an event's kind, where no type checker notices a missing one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("events", "projections", "services", "operations", "cli", "deploy")
_NAME: Final = re.compile(r"^-- (\w+) --\n", re.MULTILINE)


def functions_that_choose_by_state() -> Iterator[str]:
    """`FILE: FUNCTION` for each that names a state, or `FINAL`, and does not end in `assert_never`."""
    for file, tree in _modules():
        names = {"FINAL", *_names_of_states(tree)}
        for function in _open_functions(tree):
            if any(_is_state(node) or (isinstance(node, ast.Name) and node.id in names) for node in ast.walk(function)):
                yield f"{file}: {function.name}"


def functions_that_choose_by_kind(kinds: frozenset[str]) -> Iterator[str]:
    """`FILE: FUNCTION` for each that asks for the type of an event's data and does not end in `assert_never`."""
    for file, tree in _modules():
        for function in _open_functions(tree):
            if any(_asks_for(kinds, node) for node in ast.walk(function)):
                yield f"{file}: {function.name}"


def functions_that_compare_with(name: str) -> Iterator[str]:
    """`FILE: FUNCTION` for each that compares with a member of an enumeration and does not end in `assert_never`."""
    for file, tree in _modules():
        for function in _open_functions(tree):
            compared = (node for node in ast.walk(function) if isinstance(node, ast.Compare))
            if any(_is_member(name, part) for each in compared for part in (each.left, *each.comparators)):
                yield f"{file}: {function.name}"


def statements_that_name_states(states: frozenset[str]) -> Iterator[str]:
    """`FILE: STATEMENT` for each named SQL statement with a literal state."""
    literal = re.compile(rf"\bstate\b[^']*'({'|'.join(sorted(states))})'")
    for path in _files("*.sql"):
        parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if any(literal.search(line) for line in body.splitlines()):
                yield f"{path.relative_to(ROOT)}: {name}"


def _files(pattern: str) -> Iterator[Path]:
    for folder in PRODUCT:
        yield from sorted((ROOT / folder).rglob(pattern))


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in _files("*.py"):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def _open_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
            isinstance(part, ast.Name) and part.id == "assert_never" for part in ast.walk(node)
        ):
            yield node


def _names_of_states(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_state(node.value):
            yield node.target.id


def _is_state(node: ast.AST | None) -> bool:
    return _is_member("State", node)


def _is_member(name: str, node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and node.attr.isupper()
    )


def _asks_for(kinds: frozenset[str], node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, asked]):
            parts = [asked]
        case ast.Compare(left=ast.Call(func=ast.Name(id="type")), comparators=parts):
            pass
        case _:
            return False
    return any(isinstance(name, ast.Name) and name.id in kinds for part in parts for name in ast.walk(part))
