"""Advisory locks and fencing tokens are decided in one place each."""

import re
from collections.abc import Iterator
from pathlib import Path

from pulp_projections import locks

ROOT = Path(__file__).parents[2]
PRODUCT = ("projections", "services", "deploy", "events", "operations")


def texts() -> Iterator[tuple[str, str]]:
    """Every source file of the server, by its path."""
    for folder in PRODUCT:
        for kind in ("*.py", "*.sql"):
            for path in (ROOT / folder).rglob(kind):
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def paths_with(pattern: str) -> list[str]:
    return sorted(path for path, text in texts() if re.search(pattern, text))


def test_no_two_things_are_guarded_by_one_number() -> None:
    numbers = [value for name, value in vars(locks).items() if name.isupper() and isinstance(value, int)]
    assert len(numbers) == len(set(numbers)) == 2


def test_no_other_file_has_a_number_of_a_lock() -> None:
    assert paths_with(r"7_?857_?01\d_?\d{3}") == ["projections/pulp_projections/locks.py"]
    assert paths_with(r"advisory\w*\(\s*\d") == []


def test_locks_are_taken_in_one_place() -> None:
    assert paths_with(r"pg_(try_)?advisory_\w*lock\(") == ["projections/pulp_projections/locks.sql"]


def test_who_holds_a_lock_is_asked_in_one_statement() -> None:
    assert paths_with(r"from pg_locks") == [
        "projections/pulp_projections/locks.sql",
        "services/processor/pulp_processor/dispatching/dispatch.sql",  # the lock on a single row
    ]


def test_tokens_are_made_in_one_function() -> None:
    migrations = "projections/pulp_projections/migrations"
    assert paths_with(r"nextval\('fencing_tokens'\)") == [
        f"{migrations}/0001_operational.sql",  # the default of a column, which every insert overrides
        f"{migrations}/0015_fencing_tokens.sql",
    ]
