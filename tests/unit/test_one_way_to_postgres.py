"""The product connects to Postgres in one module, which gives every session the same settings."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "projections" / "pulp_projections" / "connection.py"
PRODUCT = ("projections", "services", "deploy", "cli", "events", "operations")
CLASSES = {"psycopg", "Connection", "AsyncConnection", "ConnectionPool", "AsyncConnectionPool"}


def ways_to_connect(path: Path) -> list[str]:
    """Calls that open a connection: `psycopg.connect(…)`, `AsyncConnection.connect(…)`, `AsyncConnectionPool(…)`, …"""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split("[")[0]
            *before, last = called.split(".")
            opens = (last == "connect" and before and before[-1] in CLASSES) or (
                last.endswith("ConnectionPool") and before != ["httpcore"]
            )
            if opens:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {called}")
        if isinstance(node, ast.ImportFrom) and node.module == "psycopg":
            found += [
                f"{path.relative_to(ROOT)}: from psycopg import connect" for a in node.names if a.name == "connect"
            ]
    return found


def test_no_other_module_connects() -> None:
    paths = [path for name in PRODUCT for path in (ROOT / name).rglob("*.py") if path != MODULE]
    assert len(paths) > 100
    assert [found for path in paths for found in ways_to_connect(path)] == []


def test_the_rule_sees_what_it_is_about() -> None:
    assert len(ways_to_connect(MODULE)) == 3
