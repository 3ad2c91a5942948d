"""Which files that repomd.xml names are fetched, and which of them a sync can do without."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pulp_worker import LimitExceeded

from pulp_operations.records import MetadataFile, Note

Metadata = Literal["regenerate", "mirror"]

MOST_FILES: Final = 200
"""The most files that one repomd.xml may name; real ones name up to 20."""
_NEEDED: Final = ("primary", "filelists", "other", "updateinfo", "modules")
_COMPS: Final = "group"
_DELTAS: Final = ("prestodelta", "deltainfo")
_DELTA_REASON: Final = "left out, since delta packages are not mirrored: clients fetch whole packages"
_DELTA_KEPT: Final = "kept as it is, but the delta packages in it are not mirrored: clients fetch whole packages"
_FORM_REASON: Final = (
    "left out, since it repeats other metadata in a form that clients can do without; sync with --metadata mirror to"
    " have it"
)


class ChosenFiles(NamedTuple):
    """The files to fetch, and those left out on purpose."""

    entries: list[MetadataFile]
    notes: list[Note]


def choose(entries: Iterable[MetadataFile], metadata: Metadata) -> ChosenFiles:
    """Take everything but deltas and other forms of the same metadata; for `mirror` everything.

    A mirrored repomd.xml names every file, so none of them may be missing. Raises `LimitExceeded` over 200 files.
    """
    chosen: dict[str, MetadataFile] = {}
    notes = []
    for entry in entries:
        reason = _left_out(entry.type)
        if reason is None or metadata == "mirror":
            chosen.setdefault(entry.own_name, entry)
            reason = _DELTA_KEPT if entry.type in _DELTAS else None
        if reason is not None:
            notes.append(Note(what=f"{entry.shown_type} metadata", reason=reason))
    if len(chosen) > MOST_FILES:
        raise LimitExceeded(f"repomd.xml names over {MOST_FILES} files of metadata")
    return ChosenFiles([*chosen.values()], notes)


def is_needed(entry: MetadataFile) -> bool:
    """Whether clients choose packages by it, so that a sync without it would silently lose some of the content."""
    return entry.type in _NEEDED or entry.type.partition("_")[0] == _COMPS


def _left_out(kind: str) -> str | None:
    if kind in _DELTAS:
        return _DELTA_REASON
    if kind.endswith(("_db", "_zck")):  # SQLite databases and zchunk files
        return _FORM_REASON
    return None
