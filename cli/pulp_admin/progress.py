"""Summarise the progress object of a task in a few words. Pure.

The operation chooses the tree. A part that counts has `items_total` and `items_left` (or `num_success`), or
`size_total` and `size_left` in bytes; a part under way has the `state` IN_PROGRESS. The deepest parts are the most
exact.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pulp_console.escaping import one_line
from pulp_console.output import cropped

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_MOST_COLUMNS: Final = 60
_MOST_LEVELS: Final = 20
_WORDS: Final = ("step", "message", "state", "status", "phase")


class Count(NamedTuple):
    """How much is done; `total` is None if it is unknown."""

    done: int
    total: int | None


class Counts(NamedTuple):
    """What a progress object counts; None for anything it does not."""

    items: Count | None = None
    items_left: int | None = None
    """Known without a total: an operation that only counts down."""
    size_bytes: Count | None = None

    @property
    def fraction(self) -> float | None:
        """From 0 to 1: the share of the bytes if there are any, else of the items."""
        for count in (self.size_bytes, self.items):
            if count is not None and count.total:
                return min(1.0, max(0.0, count.done / count.total))
        return None


def counts_of(progress: object) -> Counts:
    """The sum over the deepest parts that count."""
    progress = _shallow(progress)
    items = [_items(part) for part in _deepest(progress, "items")]
    sizes = [count for part in _deepest(progress, "size") if (count := _size(part)) is not None]
    left = [
        left
        for part in _parts(progress)
        if "items_total" not in part and (left := _number(part, "items_left")) is not None
    ]
    return Counts(
        items=_sum(items),
        items_left=left[-1] if left and not items else None,
        size_bytes=_sum(sizes),
    )


def progress_words(progress: object) -> list[str]:
    """The same for a person: `5/10 items`, `1.2/3.4 MB`, else the current step; empty if the server reports none."""
    progress = _shallow(progress)
    counts = counts_of(progress)
    words = []
    if counts.items is not None:
        words.append(f"{_ratio(counts.items)} items")
    elif counts.items_left is not None:
        words.append(f"{counts.items_left} items left")
    if counts.size_bytes is not None:
        words.append(_sizes(counts.size_bytes))
    step = "" if words else _step(progress)
    return [*words, step] if step else words


def _shallow(progress: object, levels: int = _MOST_LEVELS) -> object:
    """Cut off deep nesting: the object comes from an operation, and is walked recursively."""
    if not isinstance(progress, dict):
        return progress
    return {key: _shallow(value, levels - 1) for key, value in progress.items()} if levels else {}


def _deepest(progress: object, kind: str) -> Iterator[Mapping[str, Any]]:
    """The parts that count things of this kind, and have no part that counts them too."""
    if not isinstance(progress, dict):
        return
    below = [part for value in progress.values() for part in _deepest(value, kind)]
    if below:
        yield from below
    elif (total := _number(progress, f"{kind}_total")) is not None:
        if total > 0:
            yield progress
    elif kind == "items" and "items_left" not in progress and _number(progress, "num_success") is not None:
        yield progress


def _parts(progress: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(progress, dict):
        yield progress
        for value in progress.values():
            yield from _parts(value)


def _items(part: Mapping[str, Any]) -> Count:
    total, left = _number(part, "items_total"), _number(part, "items_left")
    if total is not None and left is not None:
        return Count(total - left, total)
    return Count((_number(part, "num_success") or 0) + (_number(part, "num_error") or 0), total)


def _size(part: Mapping[str, Any]) -> Count | None:
    total, left = _number(part, "size_total"), _number(part, "size_left")
    return None if total is None or left is None else Count(total - left, total)


def _sum(found: list[Count]) -> Count | None:
    if not found:
        return None
    totals = [count.total for count in found if count.total is not None]
    return Count(sum(count.done for count in found), sum(totals) if totals else None)


def _ratio(count: Count) -> str:
    return str(count.done) if count.total is None else f"{count.done}/{count.total}"


def _sizes(count: Count) -> str:
    total = count.total or 0
    power = 0
    while total >= 1000 ** (power + 1) and power + 1 < len(_UNITS):
        power += 1
    if power == 0:
        return f"{_ratio(count)} bytes"
    return f"{count.done / 1000**power:.1f}/{total / 1000**power:.1f} {_UNITS[power]}"


def _step(progress: object) -> str:
    """The last part in progress, else the state of the object itself."""
    if not isinstance(progress, dict):
        return ""
    under_way = [name for name, part in _named(progress) if part.get("state") == "IN_PROGRESS"]
    if under_way:
        return under_way[-1]
    for name in _WORDS:
        if isinstance(progress.get(name), str) and progress[name]:
            return _short(progress[name])
    said = [f"{key}: {value}" for key, value in progress.items() if isinstance(value, str | int | float)]
    return _short(", ".join(said))


def _named(progress: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in progress.items():
        if isinstance(value, dict):
            yield _short(str(key).replace("_", " ")), value
            yield from _named(value)


def _short(text: str) -> str:
    line = one_line(text)
    return cropped(line, _MOST_COLUMNS)


def _number(part: Mapping[str, Any], name: str) -> int | None:
    value = part.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
