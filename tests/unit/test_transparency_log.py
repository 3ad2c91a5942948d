"""The log of a partition in a folder: tiles as defined, resuming after a stop anywhere, and what it refuses."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import LogForked, TileFault
from pulp_transparency.partition_log import PartitionLog
from pulp_transparency.tiles import LogTree, TileFolder, tiles_of

from tests.support.transparency import RING, empty, logged, opened, records, signed

SIZES = st.one_of(st.integers(0, 5), st.sampled_from([255, 256, 257, 511, 512, 513, 700]))


def hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(LogEntry.of(each).encode()) for each in records(count)]


def snapshot(path: Path, size: int) -> dict[str, bytes]:
    """The checkpoint and the tiles of a size; other files do not count."""
    tiles = TileFolder(path)
    return {"checkpoint": (path / "checkpoint").read_bytes()} | {each.path: tiles.read(each) for each in tiles_of(size)}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_793])
def test_tiles_hold_what_they_are_defined_to(size: int, tmp_path: Path) -> None:
    found = records(size)
    leaves = [merkle.leaf_hash(LogEntry.of(each).encode()) for each in found]
    checkpoint = RING.open(logged(tmp_path, found), 0)
    assert (checkpoint.size, checkpoint.root) == (size, merkle.root_of(leaves))
    tiles = TileFolder(tmp_path)
    for tile in tiles_of(size):
        if tile.level < 0:
            assert tiles.entries(tile) == [LogEntry.of(each) for each in found[tile.number * 256 :][: tile.width]]
            continue
        span = 256**tile.level
        wanted = [
            merkle.root_of(leaves[at * span : (at + 1) * span])
            for at in range(tile.number * 256, tile.number * 256 + tile.width)
        ]
        assert tiles.hashes(tile) == wanted
    assert LogTree(tiles, size).root() == checkpoint.root
    assert not list(LogTree(tiles, size).faults())


@settings(max_examples=25, deadline=None)
@given(first=SIZES, lost=SIZES, rest=SIZES, data=st.data())
def test_a_log_that_was_stopped_goes_on_as_if_it_had_not_been(
    first: int, lost: int, rest: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is killed after records that no checkpoint covers, with some of their tiles written and some half-written."""
    path, whole = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("whole")
    everything = records(first + max(lost, rest))
    logged(path, everything[:first])
    log = opened(path)
    for each in everything[first : first + lost]:
        log.append(LogEntry.of(each))
    if data.draw(st.booleans()):
        log.save()  # tiles are there, and the checkpoint is not
    log = opened(path)
    assert log.size == first
    for each in everything[first : first + rest]:
        log.append(LogEntry.of(each))
    signed(log)
    logged(whole, everything[: first + rest])
    assert snapshot(path, first + rest) == snapshot(whole, first + rest)


def test_each_step_of_a_save_may_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends before each of its writes in turn; the disk then always has a whole log."""

    class Killed(Exception):
        pass

    found = records(600)
    whole = tmp_path / "whole"
    logged(whole, found)
    real, left, steps = Path.replace, 0, 0

    def replace(source: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return real(source, target)

    while True:
        path = tmp_path / f"killed-{steps}"
        logged(path, found[:200])
        left = steps
        log = opened(path)
        monkeypatch.setattr(Path, "replace", replace)
        try:
            for each in found[200:]:
                log.append(LogEntry.of(each))
            signed(log)
        except Killed:
            monkeypatch.undo()
            again = opened(path)
            assert again.size == 200
            for each in found[200:]:
                again.append(LogEntry.of(each))
            signed(again)
            assert snapshot(path, 600) == snapshot(whole, 600)
            steps += 1
            continue
        monkeypatch.undo()
        break
    assert steps == 8  # 2 full bundles, 2 full tiles, the partial bundle, the partial tiles of 2 levels, the checkpoint


def test_partial_tiles_go_when_the_full_one_is_there(tmp_path: Path) -> None:
    note = logged(tmp_path, records(200))
    log = opened(tmp_path)
    for each in records(256)[200:]:
        log.append(LogEntry.of(each))
    log.save()
    assert not list(tmp_path.glob("tile/0/*.p"))
    log = opened(tmp_path)  # the checkpoint is still the old one, whose partial tiles are the start of the full ones
    assert (log.size, RING.open(note, 0).size) == (200, 200)


def test_a_log_whose_tiles_are_not_those_of_its_checkpoint_does_not_go_on(tmp_path: Path) -> None:
    logged(tmp_path, records(300))
    tile = tmp_path / "tile/0/001.p/44"
    tile.write_bytes(bytes(len(tile.read_bytes())))
    with pytest.raises(TileFault, match="do not have the root of their checkpoint, of 300 records"):
        opened(tmp_path)
    shutil.rmtree(tmp_path / "tile/0/001.p")
    with pytest.raises(TileFault, match="is missing"):
        opened(tmp_path)


def test_a_log_made_anew_has_to_reach_what_was_published(tmp_path: Path) -> None:
    published = RING.open(logged(tmp_path / "old", records(300)), 0)
    log = PartitionLog(tmp_path / "new", empty(), published)
    for each in records(299):
        log.append(LogEntry.of(each))
    before = log.may_sign
    log.append(LogEntry.of(records(300)[-1]))
    assert (before, log.may_sign) == (False, True)
    signed(log)
    assert RING.open((tmp_path / "new/checkpoint").read_text(), 0) == published


def test_a_log_that_contradicts_what_was_published_signs_nothing(tmp_path: Path) -> None:
    published = RING.open(logged(tmp_path / "old", records(300)), 0)
    log = PartitionLog(tmp_path / "new", empty(), published)
    for each in records(299):
        log.append(LogEntry.of(each))
    with pytest.raises(LogForked, match=r"the first 300 records of pulp\.example/events/0 are not those"):
        log.append(LogEntry.of(records(301)[-1]))
    assert not log.may_sign
    other = Checkpoint(published.origin, 300, bytes(32))
    with pytest.raises(LogForked):
        PartitionLog(tmp_path / "old", published, other)
