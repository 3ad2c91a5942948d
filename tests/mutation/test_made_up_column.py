"""A column that nothing knows yet: with a field and a line in the table of columns, rows have it wherever they are made.

Both are added to a copy of the packages. There a batch is written in either way, and the tasks are read in each way.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.backends import Backend

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
TEST: Final = """
from random import Random

import psycopg
import pytest
from pulp_projections.reading import bounded, queries
from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.projection import rows
from tests.support.records import records, story


@pytest.mark.parametrize("most_records", [100, 0])
async def test_it_is_written_and_read(database: str, most_records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    told = records(story(Random(1), 8, 120))
    projector = Projector(database, 0)
    await projector.locate()
    for start in range(0, len(told), 7):
        await projector.project(told[start : start + 7])
    await projector.close()
    found = {row["task_id"]: row for row in await rows(database, "tasks")}
    assert any(row["started_at"] for row in found.values())
    for row in found.values():
        assert row["times_started"] == (1 if row["started_at"] else 0)
    expected = {task_id: row["times_started"] for task_id, row in found.items()}
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        order = "t.accepted_at, t.task_id"
        tasks = (await load_tasks(connection, found)).values()
        assert {task.task_id: task.times_started for task in tasks} == expected
        for listed in (
            await queries.tasks(connection, [], order=order, limit=100),
            await bounded.tasks(connection, [], order=order, limit=100),
        ):
            assert {task.task_id: task.times_started for task in listed} == expected
"""


def change(file: Path, text: str, instead: str) -> None:
    before = file.read_text(encoding="utf-8")
    assert before.count(text) == 1, f"{file.name} has {before.count(text)} times: {text}"
    file.write_text(before.replace(text, instead), encoding="utf-8")


def test_a_made_up_column_needs_a_field_and_a_line(tmp_path: Path, backend: Backend) -> None:
    for name in ("events", "projections", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    task = tmp_path / "events/pulp_events/task.py"
    change(task, "    attempt: int = 0\n", "    attempt: int = 0\n    times_started: int = 0\n")
    change(task, "        attempt=data.attempt,\n", "        attempt=data.attempt,\n        times_started=1,\n")
    change(
        tmp_path / "projections/pulp_projections/task_columns.py",
        '    Column("attempt", "integer", changes=True),\n',
        '    Column("attempt", "integer", changes=True),\n    Column("times_started", "integer", changes=True),\n',
    )
    test = tmp_path / "tests/integration/test_made_up.py"
    test.write_text(TEST, encoding="utf-8")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(tmp_path / name) for name in ("events", "projections")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PULP_KAFKA": backend.kafka,
        "PULP_POSTGRES": backend.postgres,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--backend", "given", str(test)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
