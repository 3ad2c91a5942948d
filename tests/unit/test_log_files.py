"""The logs of a stack are bounded, and shown as one, by time."""

import logging
import stat
import subprocess
import sys
import traceback
from pathlib import Path

from pulp_deploy.log_files import bound_own, follow, for_people, last_lines, rotated
from pulp_deploy.log_lines import LogfmtFormatter

OURS = "time=2026-01-01T10:00:0{}.000Z level=INFO logger=pulp.api msg=n{}\n"


def write(path: Path, text: str) -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    return path


def test_lines_are_merged_by_time_and_a_traceback_stays_behind_its_line(tmp_path: Path) -> None:
    api = write(tmp_path / "api.log", OURS.format(1, 1) + "Traceback\nKeyError: 'x'\n" + OURS.format(4, 4))
    postgres = write(tmp_path / "postgres.log", "2026-01-01 10:00:02.500 UTC [7] LOG:  ready\n")
    worker = write(tmp_path / "worker.log", '{"time": "2026-01-01T10:00:03.000Z", "msg": "up"}\n')
    lines, _ = last_lines({"api": api, "postgres": postgres, "worker": worker}, 20)
    assert [(line.name, line.text) for line in lines] == [
        ("api", OURS.format(1, 1).strip()),
        ("api", "Traceback"),
        ("api", "KeyError: 'x'"),
        ("postgres", "2026-01-01T10:00:02.500Z [7] LOG:  ready"),  # every time in one form
        ("worker", '{"time": "2026-01-01T10:00:03.000Z", "msg": "up"}'),
        ("api", OURS.format(4, 4).strip()),
    ]


def rotate(log: Path) -> None:
    log.rename(rotated(log))


def test_the_last_lines_go_back_to_what_was_moved_aside(tmp_path: Path) -> None:
    log = write(tmp_path / "api.log", "".join(OURS.format(n, n) for n in range(5)))
    rotate(log)
    write(log, OURS.format(6, 6))
    lines, _ = last_lines({"api": log}, 3)
    assert [line.text[-2:] for line in lines] == ["n3", "n4", "n6"]


def test_who_follows_a_log_misses_nothing_when_it_is_moved(tmp_path: Path) -> None:
    log = write(tmp_path / "api.log", "before\n")
    _, ends = last_lines({"api": log}, 0)
    following = follow({"api": log}, ends)
    assert next(following) == []
    write(log, "last of the old one\n")
    rotate(log)
    assert next(following) == []  # no log exists at this moment
    write(log, "first of a new one, which is longer than the old one was\n")
    assert [line.text[:5] for line in next(following)] == ["last ", "first"]
    write(log, "more\n")
    assert [line.text for line in next(following)] == ["more"]


def test_the_supervisor_moves_its_own_log_and_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "supervisor.log"
    script = f"""
import os
from pathlib import Path
from pulp_deploy.log_files import bound_own
log = Path({str(log)!r})
for number in range(500):
    os.write(2, b"line %d\\n" % number)
    bound_own(log, 1000)
"""
    with log.open("wb") as output:
        subprocess.run([sys.executable, "-c", script], stderr=output, check=True)
    lines = (rotated(log).read_text() + log.read_text()).splitlines()
    assert lines == [f"line {number}" for number in range(500)][-len(lines) :]
    assert {path.stat().st_size <= 1010 for path in (log, rotated(log))} == {True}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (log,)} == {0o600}
    with log.open("ab") as other:  # not our standard error: unchanged
        other.write(b"x" * 2000)
    assert not bound_own(log, 1000)


def test_people_see_a_traceback_below_its_line() -> None:
    try:
        raise KeyError('say "x"')
    except KeyError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("pulp", logging.ERROR, "here.py", 1, "it failed", (), info)
    line, *trace = for_people(LogfmtFormatter().format(record))
    assert "traceback" not in line
    assert 'msg="it failed"' in line
    assert trace == "".join(traceback.format_exception(*info)).splitlines()
    assert for_people(OURS.format(1, 1).rstrip()) == [OURS.format(1, 1).rstrip()]


def test_a_line_of_another_program_stays_as_it_is() -> None:
    line = r'a program of an operation says traceback="\d"'
    assert for_people(line) == [line]
