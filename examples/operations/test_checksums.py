"""The operation without Kafka, Postgres or a worker: `python -m pytest` in this folder."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from acme_checksums import checksums
from pulp_worker.testing import OperationOutcome, run_operation


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "storage").mkdir()
    return tmp_path / "storage"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    for name, text in (("a", "one"), ("b", "two")):
        (tmp_path / "packages" / name).write_text(text)
    return tmp_path / "packages"


def run(folder: Path, storage: Path, *, cancel: bool = False) -> OperationOutcome:
    arguments = {"folder": str(folder)}
    return asyncio.run(run_operation(checksums, arguments, storage=storage, cancel_when=lambda progress: cancel))


def test_sums_are_written_and_progress_is_told(folder: Path, storage: Path) -> None:
    outcome = run(folder, storage)
    assert (outcome.state, outcome.result["files"]) == ("successful", 2)
    assert hashlib.sha256(b"one").hexdigest() + "  a" in Path(outcome.result["sums"]).read_text()
    assert outcome.progress[-1] == {"checksums": {"items_total": 2, "items_left": 0}}


def test_a_cancel_leaves_no_half_of_a_file(folder: Path, storage: Path) -> None:
    assert run(folder, storage, cancel=True).state == "cancelled"
    assert not list(storage.iterdir())


def test_a_folder_that_is_not_there(folder: Path, storage: Path) -> None:
    outcome = run(folder / "nowhere", storage)
    assert (outcome.state, outcome.error_code) == ("failed", "no-such-folder")
