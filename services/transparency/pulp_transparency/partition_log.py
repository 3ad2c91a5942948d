"""Writes the log of one partition: tiles first, then the checkpoint that covers them.

A tile depends only on the records, so it may be written again after a crash: only the checkpoint says how long the log
is.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import LogForked, TileFault
from pulp_transparency.tiles import CHECKPOINT, ENTRIES, WIDTH, LogTree, Tile, TileFolder, nodes_at, tile_at

_DRAFT: Final = ".new"
_MANY: Final = 50


class PartitionLog:
    """Appends entries, and writes checkpoints. Only one process may do so in a folder."""

    def __init__(self, path: Path, resumed: Checkpoint, published: Checkpoint | None = None) -> None:
        """Continue from the folder's own checkpoint, whose signature the caller has checked.

        `published` is a checkpoint that others have: the log signs nothing until it is as long, and nothing that
        contradicts it. Raises `TileFault` if the tiles do not match the checkpoint, and `LogForked`.
        """
        self._path = path
        self._origin = resumed.origin
        self._published = published
        self._unsynced: set[Path] = set()
        self._partials: dict[int, Tile] = {}
        self._full: list[Path] = []
        self.size = resumed.size
        """How many records the log has; the index of the next one."""
        tree = LogTree(TileFolder(path), resumed.size)
        if tree.root() != resumed.root:
            raise TileFault(
                f"the tiles in {path} do not have the root of their checkpoint, of {resumed.size} records: they were"
                " altered, or restored from another time. pulp-tasks audit verify names the first wrong one; move the"
                " folder away to have the log created again, which is held against what was published",
                CHECKPOINT,
            )
        self.last: LogEntry | None = tree.entry(resumed.size - 1) if resumed.size else None
        """The last entry."""
        self._bundle = [] if self.size % WIDTH == 0 else self._entries_left(tree)
        self._levels = list(self._hashes_left(tree))
        self._check_published()

    @property
    def root(self) -> bytes:
        """The root at the current size."""
        peaks: list[bytes] = []
        for hashes in reversed(self._levels):
            peaks += merkle.peaks_of(hashes)
        return merkle.joined(peaks) if peaks else merkle.EMPTY_ROOT

    @property
    def may_sign(self) -> bool:
        """Whether the log has reached the checkpoint that was published, and agrees with it."""
        return self._published is None

    def append(self, entry: LogEntry) -> None:
        """Add a record. Raises `LogForked` if the log now contradicts a published checkpoint."""
        data = entry.encode()
        self._bundle.append(data)
        self._add(0, merkle.leaf_hash(data))
        if len(self._bundle) == WIDTH:
            self._write(Tile(ENTRIES, self.size // WIDTH), self._bundle)
            self._bundle = []
        self.size += 1
        self.last = entry
        self._check_published()

    def save(self) -> Checkpoint:
        """Sync all tiles of the current size to disk, and return its checkpoint, to be signed and installed."""
        for level, parts in enumerate((self._bundle, *self._levels), ENTRIES):
            if not parts:
                continue
            tile = tile_at(level, nodes_at(level, self.size) // WIDTH, self.size)
            if self._partials.get(level) != tile:
                self._write(tile, parts)
                self._partials[level] = tile
        if len(self._unsynced) > _MANY:
            os.sync()  # after a long absence, much faster than syncing the files one by one
        else:
            above = {folder for path in self._unsynced for folder in path.parents if folder.is_relative_to(self._path)}
            for path in self._unsynced | above:
                _sync(path)
        self._unsynced.clear()
        for path in self._full:  # partial tiles are in the way once the full one is on disk
            shutil.rmtree(path.with_name(path.name + ".p"), ignore_errors=True)
        self._full.clear()
        return Checkpoint(self._origin, self.size, self.root)

    def install(self, note: str) -> None:
        """Make a signed checkpoint of `save` the folder's own: completely or not at all."""
        write_whole(self._path / CHECKPOINT, note)

    def _add(self, level: int, node: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(node)
        if len(hashes) == WIDTH:
            number = self.size >> (
                8 * (level + 1)
            )  # the size is not yet counted up, so this is the tile that ends here
            self._write(Tile(level, number), hashes)
            self._levels[level] = []
            self._add(level + 1, merkle.root_of(hashes))

    def _write(self, tile: Tile, parts: list[bytes]) -> None:
        data = b"".join(len(each).to_bytes(2) + each for each in parts) if tile.level == ENTRIES else b"".join(parts)
        path = self._path / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + _DRAFT)
        draft.write_bytes(data)
        draft.replace(path)
        self._unsynced.add(path)
        if tile.width == WIDTH:
            self._full.append(path)

    def _entries_left(self, tree: LogTree) -> list[bytes]:
        return [entry.encode() for entry in tree.entries(self.size - self.size % WIDTH)]

    def _hashes_left(self, tree: LogTree) -> Iterator[list[bytes]]:
        level = 0
        while nodes := nodes_at(level, self.size):
            left = nodes % WIDTH
            yield tree.tiles.hashes(tile_at(level, nodes // WIDTH, self.size)) if left else []
            level += 1

    def _check_published(self) -> None:
        published = self._published
        if published is None or self.size != published.size:
            return
        if self.root != published.root:
            raise LogForked(
                f"the first {published.size} records of {self._origin} are not those of the checkpoint that was"
                " published: one of them was altered, removed or added. Nothing is signed; pulp-tasks audit verify"
                " names the first one"
            )
        self._published = None


def write_whole(path: Path, text: str) -> None:
    """Write a file completely or not at all; it is on disk afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + _DRAFT)
    draft.write_text(text, encoding="utf-8")
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
