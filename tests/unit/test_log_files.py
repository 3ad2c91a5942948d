"""The logs of a stack are bounded, and shown as one, by time."""

import os
from pathlib import Path

from pulp_deploy.log_files import bound, follow, last_lines, rotated

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
        ("postgres", "2026-01-01T10:00:02.500Z [7] LOG:  ready"),  # one form of time
        ("worker", '{"time": "2026-01-01T10:00:03.000Z", "msg": "up"}'),
        ("api", OURS.format(4, 4).strip()),
    ]


def test_the_last_lines_go_back_to_what_was_moved_aside(tmp_path: Path) -> None:
    log = write(tmp_path / "api.log", "".join(OURS.format(n, n) for n in range(5)))
    assert bound(log, 10)
    write(log, OURS.format(6, 6))
    lines, _ = last_lines({"api": log}, 3)
    assert [line.text[-2:] for line in lines] == ["n3", "n4", "n6"]


def test_a_log_that_has_grown_too_large_begins_anew_for_those_who_write_and_those_who_follow(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"before\n" * 10)
        _, ends = last_lines({"api": log}, 0)
        following = follow({"api": log}, ends)
        assert next(following) == []
        assert bound(log, 50)
        writer.write(b"after\n")
        assert log.read_bytes() == b"after\n"
        assert [line.text for line in next(following)] == ["after"]
        assert not bound(log, 50)
    assert rotated(log).read_bytes() == b"before\n" * 10
    assert rotated(log).stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["api.log", "api.log.1"]
