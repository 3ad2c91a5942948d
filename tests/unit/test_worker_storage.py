"""A folder in which operations cannot store anything is reported at the start, in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pulp_events.settings import SettingsError
from pulp_worker.main import _make_storage

from tests.support.command import environment


def test_a_folder_that_cannot_be_made_ends_the_worker_with_a_line(tmp_path: Path) -> None:
    settings = {
        "PULP_KAFKA": "127.0.0.1:1",
        "PULP_POSTGRES": "host=127.0.0.1 port=1",
        "PULP_STORAGE": "/proc/none/storage",
    }
    result = subprocess.run(
        [sys.executable, "-m", "pulp_deploy", "worker"],
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 78
    assert "PULP_STORAGE=/proc/none/storage: the folder cannot be made" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_somebody_elses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(SettingsError, match=f"PULP_STORAGE={tmp_path}: user {os.geteuid()} may not write there"):
        _make_storage(tmp_path)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    _make_storage(tmp_path / "a" / "storage")
    assert (tmp_path / "a" / "storage").is_dir()
