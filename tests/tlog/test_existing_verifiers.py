"""Verifiers in Go that know nothing about Pulp Tasks read our checkpoints, tiles and proofs, and refuse altered ones.

Without Go, or if its modules cannot be fetched, the tests are skipped, and say why. `tests/unit/test_transparency_*.py`
then still checks the formats against published vectors and definitions.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.note import split
from pulp_transparency.proofs import Consistency, Inclusion
from pulp_transparency.tiles import LogTree, TileFolder

from tests.support.transparency import RING, logged, record, records

LIMIT_S = 240
Verify = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The verifier, built from its modules, whose hashes are in go.sum."""
    if shutil.which("go") is None:
        pytest.skip("no verifier in Go has checked the log: go is not installed")
    built = tmp_path_factory.mktemp("go") / "verify"
    done = subprocess.run(
        ["go", "build", "-o", str(built), "."],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode and any(
        each in done.stderr for each in ("dial tcp", "no such host", "GOPROXY", "requires go >=")
    ):
        pytest.skip(f"no verifier in Go has checked the log: its modules cannot be fetched: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return built


SIZES = [(1, 1), (7, 5), (256, 255), (257, 256), (700, 300), (66_000, 65_536)]


def prepared(folder: Path, size: int, old: int, index: int) -> tuple[Path, list[str]]:
    """A log, and what the verifier must know about it."""
    older = folder / "older"
    older.write_text(logged(folder / "old", records(old)))
    note = logged(folder / "log", records(size))
    tree = LogTree(TileFolder(folder / "log"), size)
    (folder / "consistency").write_text(Consistency.of(tree, note, older.read_text()).text())
    (folder / "inclusion").write_text(Inclusion.of(tree, note, record(index).offset).text())
    [verifier] = RING.verifiers(0)
    told = [verifier.vkey, str(older), str(folder / "consistency"), str(index), str(folder / "inclusion")]
    return folder / "log", told


def run(program: Path, log: Path, told: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(program), str(log), *told], capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize(("size", "old"), SIZES)
def test_a_log_is_right_for_them(size: int, old: int, program: Path, tmp_path: Path) -> None:
    index = size // 2
    done = run(program, *prepared(tmp_path, size, old, index))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"checkpoint of {size} records, signed by pulp.example/events/0",
        f"{size} leaves and entries",
        f"continues the one of {old} records",
        f"has record {index}",
    ]


@pytest.mark.parametrize(
    "name", ["checkpoint", "tile/0/000", "tile/1/000.p/2", "tile/entries/001", "consistency", "inclusion"]
)
def test_what_was_altered_is_wrong_for_them_too(name: str, program: Path, tmp_path: Path) -> None:
    log, told = prepared(tmp_path, 700, 300, 350)
    file = log / name if (log / name).exists() else tmp_path / name
    if name in ("consistency", "inclusion"):
        lines = file.read_text().split("\n")
        lines[3] = lines[3].swapcase()
        file.write_text("\n".join(lines))
    else:
        data = bytearray(file.read_bytes())
        data[40] ^= 1
        file.write_bytes(data)
    assert run(program, log, told).returncode == 1


def test_their_text_of_a_checkpoint_is_ours(tmp_path: Path) -> None:
    text, _ = split(logged(tmp_path / "log", records(3)))
    assert Checkpoint.parse(text).text == text
