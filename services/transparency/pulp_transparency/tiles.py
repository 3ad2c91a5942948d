"""Tiles (C2SP tlog-tiles): where they are, which of them a tree has, and reading them from a folder."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from pulp_transparency import merkle
from pulp_transparency.entry import ENTRY_BYTES, LogEntry
from pulp_transparency.errors import RecordsFault, TileFault
from pulp_transparency.merkle import HASH_BYTES

WIDTH: Final = 256
HEIGHT: Final = 8
ENTRIES: Final = -1
"""The level of bundles of entries, in place of a number."""
CHECKPOINT: Final = "checkpoint"
_SIZED_ENTRY: Final = 2 + ENTRY_BYTES


class Tile(NamedTuple):
    """A tile of hashes, or a bundle of entries. `width` is how many of them it has; 256 make it full."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its path below the folder of the log, with `/`."""
        parts = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            parts.append(f"x{rest % 1000:03}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"

    @property
    def size_bytes(self) -> int:
        """The size of its file."""
        return self.width * (_SIZED_ENTRY if self.level == ENTRIES else HASH_BYTES)


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of a tree: bundles of entries first, then each level of hashes."""
    level = ENTRIES
    while nodes := nodes_at(level, size):
        for number in range((nodes + WIDTH - 1) // WIDTH):
            yield tile_at(level, number, size)
        level += 1


def tile_at(level: int, number: int, size: int) -> Tile:
    """One tile of a tree, which is full or has the width that the tree gives it."""
    return Tile(level, number, min(WIDTH, nodes_at(level, size) - number * WIDTH))


def nodes_at(level: int, size: int) -> int:
    """How many nodes the tiles of a level hold."""
    return size >> (HEIGHT * max(level, 0))


class TileFolder:
    """Reads the tiles of one log from a folder. It trusts none: `tree.py` checks them against a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes = lru_cache(maxsize=256)(self._read_hashes)

    def checkpoint(self) -> str | None:
        """The note of the last checkpoint; None if there is none yet. Raises `TileFault` if it is not text."""
        try:
            return (self.path / CHECKPOINT).read_bytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise TileFault(f"{self.path / CHECKPOINT} is not text: it was altered", CHECKPOINT) from error

    def read(self, tile: Tile) -> bytes:
        """The bytes of a tile, or of the full one if the partial one is gone. Raises `TileFault`."""
        for each in (tile, tile._replace(width=WIDTH)):
            try:
                data = (self.path / each.path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if len(data) != each.size_bytes:
                raise TileFault(
                    f"{self.path / each.path} has {len(data)} bytes, not {each.size_bytes}: it was altered", each.path
                )
            return data[: tile.size_bytes]
        raise TileFault(f"{self.path / tile.path} is missing", tile.path)

    def check_narrower(self, tile: Tile) -> None:
        """Compare the tiles of earlier sizes with this one, since whoever has an older checkpoint reads those.

        Raises `TileFault`.
        """
        whole = self.read(tile)
        folder = self.path / tile._replace(width=1).path
        widths = sorted(int(each.name) for each in folder.parent.glob("*") if each.name.isdecimal())
        for older in (tile._replace(width=width) for width in widths if 0 < width < tile.width):
            try:
                data = (self.path / older.path).read_bytes()
            except FileNotFoundError:
                continue  # the full tile has replaced it in the meantime
            if data != whole[: older.size_bytes]:
                raise TileFault(
                    f"{self.path / older.path} is not the beginning of {tile.path}: one of the two was altered",
                    older.path,
                )

    def hashes(self, tile: Tile) -> list[bytes]:
        """The hashes of a tile. Raises `TileFault`."""
        return list(self._hashes(tile))

    def entries(self, tile: Tile) -> list[LogEntry]:
        """The entries of a bundle. Raises `TileFault`."""
        data = self.read(tile)
        found = []
        for at in range(0, len(data), _SIZED_ENTRY):
            try:
                if int.from_bytes(data[at : at + 2]) != ENTRY_BYTES:
                    raise RecordsFault("the length of an entry is wrong")
                found.append(LogEntry.decode(data[at + 2 : at + _SIZED_ENTRY]))
            except RecordsFault as error:
                place = tile.number * WIDTH + at // _SIZED_ENTRY
                raise TileFault(f"{self.path / tile.path}: entry {place} was altered: {error}", tile.path) from error
        return found

    def _read_hashes(self, tile: Tile) -> tuple[bytes, ...]:
        data = self.read(tile)
        return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


class LogTree:
    """A log according to its tiles, at one size."""

    def __init__(self, tiles: TileFolder, size: int) -> None:
        self.tiles = tiles
        self.size = size

    def root(self) -> bytes:
        """The root hash, from the tiles at the right edge of the tree. Raises `TileFault`."""
        return self.subtree(0, self.size)

    def subtree(self, start: int, end: int) -> bytes:
        """The root of the leaves from `start` up to `end`, as `merkle.Subtree`. Raises `TileFault`."""
        if start == end:
            return merkle.EMPTY_ROOT
        peaks = []
        while start < end:
            width = 1 << ((end - start).bit_length() - 1)
            if start:
                width = min(width, start & -start)
            peaks.append(self._aligned(start, width))
            start += width
        return merkle.joined(peaks)

    def inclusion(self, index: int) -> list[bytes]:
        """The audit path of a leaf. Raises `TileFault`."""
        return merkle.inclusion_proof(index, self.size, self.subtree)

    def consistency(self, old: int) -> list[bytes]:
        """What shows that the tree continues one of `old` leaves. Raises `TileFault`."""
        return merkle.consistency_proof(old, self.size, self.subtree)

    def entry(self, index: int) -> LogEntry:
        """One entry. Raises `TileFault`."""
        return self.tiles.entries(tile_at(ENTRIES, index // WIDTH, self.size))[index % WIDTH]

    def entries(self, start: int = 0) -> Iterator[LogEntry]:
        """All entries from an index on, in order. Raises `TileFault`."""
        for number in range(start // WIDTH, (self.size + WIDTH - 1) // WIDTH):
            found = self.tiles.entries(tile_at(ENTRIES, number, self.size))
            yield from found[max(0, start - number * WIDTH) :]

    def index_of(self, offset: int) -> int | None:
        """The index of the record with this offset, None if the log has none. Offsets rise, with gaps."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if self.entry(middle).offset < offset:
                low = middle + 1
            else:
                high = middle
        return low if low < self.size and self.entry(low).offset == offset else None

    def faults(self) -> Iterator[TileFault]:
        """The tiles that do not match those above them, from the top down, and the bundles that do not match theirs.

        If a tree has no faults and the root of a signed checkpoint, it is exactly what was signed.
        """
        top = max((tile.level for tile in tiles_of(self.size)), default=ENTRIES)
        for level in range(top, ENTRIES - 1, -1):
            for number in range((nodes_at(level, self.size) + WIDTH - 1) // WIDTH):
                tile = tile_at(level, number, self.size)
                try:
                    self._check(tile)
                    self.tiles.check_narrower(tile)
                except TileFault as fault:
                    yield fault

    def _check(self, tile: Tile) -> None:
        if tile.level == ENTRIES:
            above = self.tiles.hashes(tile_at(0, tile.number, self.size))
            for at, (entry, expected) in enumerate(zip(self.tiles.entries(tile), above, strict=True)):
                if merkle.leaf_hash(entry.encode()) != expected:
                    raise TileFault(
                        f"{self.tiles.path / tile.path}: entry {tile.number * WIDTH + at}, of offset {entry.offset},"
                        " does not have the hash in the tile above: one of the two was altered",
                        tile.path,
                    )
            return
        hashes = self.tiles.hashes(tile)
        if tile.width == WIDTH:
            parent = self.tiles.hashes(tile_at(tile.level + 1, tile.number // WIDTH, self.size))
            if merkle.root_of(hashes) != parent[tile.number % WIDTH]:
                raise TileFault(
                    f"{self.tiles.path / tile.path} does not have the hash in the tile above: it was altered", tile.path
                )

    def _aligned(self, start: int, width: int) -> bytes:
        """The root of a complete subtree, of one tile's hashes."""
        exponent = width.bit_length() - 1
        level = exponent // HEIGHT
        first, count = start >> (HEIGHT * level), 1 << (exponent % HEIGHT)
        hashes = self.tiles.hashes(tile_at(level, first // WIDTH, self.size))
        return merkle.root_of(hashes[first % WIDTH : first % WIDTH + count])
