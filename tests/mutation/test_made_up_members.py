"""A kind of event and a state that nothing knows yet: mypy and the tests name the places that lack them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
TABLES: Final = "tests/unit/test_closed_sets.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The contract and the tests of the tables, where they can be changed."""
    for name in ("events", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def change(file: Path, text: str, instead: str) -> None:
    before = file.read_text(encoding="utf-8")
    assert before.count(text) == 1, f"{file.name} has {before.count(text)} times: {text}"
    file.write_text(before.replace(text, instead), encoding="utf-8")


def run(copy: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(copy / "events"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_made_up_kind_of_event_is_named(copy: Path) -> None:
    paused = (
        "@final\nclass Paused(Struct, frozen=True, kw_only=True, gc=False):\n    pass\n\n\nData = Paused | Accepted"
    )
    change(copy / "events/pulp_events/events.py", "\nData = Accepted", f"\n{paused}")
    found = run(copy, "mypy", "events")
    assert "task.py" in found
    assert 'Argument 1 to "assert_never" has incompatible type "Paused"' in found
    assert "test_the_codec_has_a_wire_type_for_every_kind_of_event" in run(copy, "pytest", "-q", TABLES)


def test_a_made_up_state_is_named(copy: Path) -> None:
    change(
        copy / "events/pulp_events/task.py",
        '    SKIPPED = "skipped"\n',
        '    SKIPPED = "skipped"\n    PAUSED = "paused"\n',
    )
    found = run(copy, "pytest", "-q", TABLES)
    assert "test_v2_has_a_word_for_every_state_but_cancelling" in found
    assert "test_v3_has_a_word_for_every_state" in found
    assert "test_the_reasons_for_waiting_have_words_for_every_state" in found
