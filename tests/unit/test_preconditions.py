"""The judgements about an installation, and that docs/operate/preconditions.md lists exactly these."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy import log_findings
from pulp_events.checkpoints import Covered
from pulp_events.clock import Offset, ServerClock
from pulp_events.findings import Finding, Severity
from pulp_events.topics import Topics
from pulp_runtime.preconditions import clocks, folders
from pulp_runtime.preconditions.connections import Limit, Room
from pulp_runtime.preconditions.database import OLDEST_VERSION, DatabaseFacts, judge
from pulp_runtime.preconditions.looking import Place, Report, look_here

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate" / "preconditions.md").read_text()
SOURCES = [
    ROOT / "events" / "pulp_events" / "topic_checks.py",
    ROOT / "services" / "archive" / "pulp_archive" / "reach.py",
    ROOT / "services" / "runtime" / "pulp_runtime" / "startup.py",
    ROOT / "deploy" / "pulp_deploy" / "log_findings.py",
    *(ROOT / "services" / "runtime" / "pulp_runtime" / "preconditions").glob("*.py"),
]
CHECK = re.compile(
    r"(archive|topic|brokers|database|clock|certificate|storage|migrations|tables|extension|reservations|kafka|postgres"
    r"|dispatch|queue|operation|schedules|log|subscription|tasks)(-[a-z]+)+"
)

GOOD = DatabaseFacts(
    name="pulp",
    role="pulp",
    encoding="UTF8",
    is_standby=False,
    is_read_only=False,
    has_fsync=True,
    has_full_page_writes=True,
    has_synchronous_commit=True,
    has_autovacuum=True,
    has_extension=True,
    can_get_extension=True,
    may_create_in_database=True,
    may_create_in_public=True,
    has_tables=True,
    may_read_workers=True,
    owns_tables=True,
    owner="pulp",
)
NEW = {"has_tables": False, "owns_tables": False, "owner": None, "pending": ("0001_a.sql",)}


def test_a_good_database_has_no_finding() -> None:
    assert judge(GOOD) == []


def test_a_new_database_has_none_where_its_tables_can_be_made() -> None:
    assert judge(replace(GOOD, has_extension=False, **NEW)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "check", "severity"),
    [
        ({"encoding": "SQL_ASCII"}, "database-encoding", Severity.FAULT),
        ({"encoding": "LATIN1"}, "database-encoding", Severity.FAULT),
        ({"version": OLDEST_VERSION - 1}, "database-version", Severity.FAULT),
        ({"pending": ("0099_x.sql",), "owns_tables": False}, "migrations-pending", Severity.FAULT),
        ({**NEW, "may_create_in_public": False}, "migrations-pending", Severity.FAULT),
        ({**NEW, "elsewhere": ["mine"]}, "tables-elsewhere", Severity.FAULT),
        ({"unknown": ("9999_later.sql",)}, "migrations-unknown", Severity.WARNING),
        ({"has_extension": False, "can_get_extension": False}, "extension-missing", Severity.FAULT),
        ({"has_extension": False, "may_create_in_database": False}, "extension-missing", Severity.FAULT),
        ({"is_guarded": False}, "reservations-unguarded", Severity.FAULT),
        ({"has_fsync": False}, "database-fsync", Severity.WARNING),
        ({"has_full_page_writes": False}, "database-full-page-writes", Severity.WARNING),
        ({"has_synchronous_commit": False}, "database-synchronous-commit", Severity.WARNING),
        ({"collation": ("2.36", "2.41")}, "database-collation", Severity.WARNING),
        ({"is_standby": True}, "database-standby", Severity.WARNING),
        ({"is_read_only": True}, "database-read-only", Severity.WARNING),
        (
            {"room": Room(limits=(Limit("max_connections", "alter system", 97, 90),))},
            "database-connections",
            Severity.WARNING,
        ),
        ({"has_autovacuum": False}, "database-autovacuum", Severity.WARNING),
    ],
)
def test_each_thing_that_is_wrong_is_told_once(changed: dict[str, Any], check: str, severity: Severity) -> None:
    (found,) = judge(replace(GOOD, **changed))
    assert (found.check, found.severity) == (check, severity)
    assert found.mend


def test_a_round_trip_explains_an_offset_up_to_its_length() -> None:
    assert Offset.measured(100.0, 103.0, 104.0).least_s == 0.0  # it may be right: it was read between the two
    assert Offset.measured(100.0, 107.0, 104.0).least_s == 3.0
    assert Offset.measured(100.0, 95.0, 104.0).least_s == 5.0


def test_clocks_that_are_off_by_more_than_the_bound_are_told() -> None:
    ahead, behind = Offset.measured(100.0, 110.0, 101.0), Offset.measured(100.0, 90.0, 101.0)
    checks = [each.check for each in clocks.judge(ahead, behind, 2.0)]
    assert checks == ["clock-broker", "clock-postgres"]
    assert "at least 9.0 s ahead of" in clocks.judge(ahead, None, 2.0)[0].wrong
    assert "at least 10.0 s behind" in clocks.judge(None, behind, 2.0)[0].wrong
    assert clocks.judge(ahead, behind, 20.0) == clocks.judge(None, None, 0.0) == []


async def test_a_worker_asks_no_server_and_sees_what_only_it_can_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LEAST_FREE_BYTES", 0)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    place = Place(
        kafka="127.0.0.1:1", postgres="host=127.0.0.1 port=1", topics=Topics.named("t"), storage=shared
    )  # nobody answers there
    place.broker_clock.note(100.0, 110.0, 101.0)
    place.postgres_clock.note(100.0, 90.0, 101.0)
    report = await look_here(place)
    assert report.unchecked == ()
    assert {each.check for each in report.findings} == {"clock-broker", "clock-postgres", "storage-open"}
    assert {each.check for each in (await look_here(place)).findings} == {"storage-open"}


def test_the_shortest_round_trip_counts_until_it_is_taken() -> None:
    clock = ServerClock()
    assert clock.take() is None
    for asked, answered in ((0.0, 5.0), (10.0, 10.5), (20.0, 24.0)):
        clock.note(asked, asked + 100.0, answered)
    taken = clock.take()
    assert taken is not None
    assert taken.least_s == 99.5
    assert clock.take() is None


def test_the_folder_that_workers_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, open_, file = tmp_path / "good", tmp_path / "open", tmp_path / "file"
    good.mkdir(mode=0o750)
    open_.mkdir()
    open_.chmod(0o777)
    file.touch()
    monkeypatch.setattr(folders, "LEAST_FREE_BYTES", 0)
    assert folders.look(good) == folders.look(tmp_path / "new" / "one") == []
    assert [each.check for each in folders.look(open_)] == ["storage-open"]
    assert [each.check for each in folders.look(file)] == ["storage-unusable"]
    monkeypatch.setattr(folders, "LEAST_FREE_BYTES", 1 << 80)
    assert [each.check for each in folders.look(good)] == ["storage-full"]


def test_what_is_away_does_not_endanger_data() -> None:
    away = Finding("kafka-away", "Kafka", Severity.FAULT, "w", "e", None)
    assert not Report((away,)).endangers_data
    assert Report((away, away._replace(check="topic-retention"))).endangers_data
    assert not Report((away._replace(check="x", severity=Severity.WARNING),)).endangers_data


def test_the_page_lists_every_check() -> None:
    in_code = {
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CHECK.fullmatch(node.value)
    }
    table = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    in_table = {name for cell in table for name in re.findall(r"`([a-z-]+)`", cell)} - {"fault", "warning", "note"}
    assert in_table == in_code


def test_a_log_that_is_behind() -> None:
    now_ms = 1_700_000_000_000
    young = Covered(0, 5, 7, now_ms, now_ms - 599_000)
    whole = Covered(1, 7, 7, now_ms - 10**9, None)
    assert log_findings.judge([young, whole], now_ms) == []
    late = Covered(2, 3, 10, now_ms, now_ms - 3_600_000)
    [found] = log_findings.judge([young, whole, late], now_ms)
    assert (found.check, found.severity) == ("log-behind", Severity.WARNING)
    assert found.wrong == "no checkpoint covers 7 events of partition 2, for 60 minutes"
