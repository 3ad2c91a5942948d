"""The operation without Kafka, Postgres or a worker: `python -m pytest` in this folder."""

import asyncio
import hashlib
from pathlib import Path

from acme_checksums import SUMS, checksums
from pulp_worker.testing import OperationOutcome, run_operation


def run(folder: Path, *, cancel: bool = False, **arguments: object) -> OperationOutcome:
    return asyncio.run(
        run_operation(
            checksums,
            {"folder": str(folder), **arguments},
            storage=folder,
            cancel_when=lambda progress: cancel,
        )
    )


def test_sums_are_written_and_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    outcome = run(tmp_path)
    assert (outcome.state, outcome.result) == ("successful", {"files": 2})
    assert outcome.progress[-1] == {"checksums": {"items_total": 2, "items_left": 1}}
    assert hashlib.sha256(b"one").hexdigest() + "  a" in (tmp_path / SUMS).read_text()


def test_a_cancel_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    assert run(tmp_path, cancel=True).state == "cancelled"
    assert not (tmp_path / SUMS).exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    outcome = run(tmp_path / "nowhere")
    assert (outcome.state, outcome.error_code) == ("failed", "no-such-folder")
