"""Converting the metadata of a feed into our own, once: later steps read only the converted form."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError

from pulp_operations.foreign import bad_repository
from pulp_operations.reading import primary
from pulp_operations.reading.advisories import copy_advisories
from pulp_operations.reading.groups import count_groups, count_modules
from pulp_operations.reading.joining import Extras
from pulp_operations.reading.notes import Notes
from pulp_operations.reading.sources import MetadataDocuments, UnpackLimits
from pulp_operations.reading.writing import Sink, closing, opening
from pulp_operations.records import ContentCounts, MetadataFile, Note
from pulp_operations.storage import storage_errors
from pulp_operations.versions import METADATA, PACKAGES_FILE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GROUPS: Final = ("group", "group_gz", "group_xz", "group_zst")
_HOLDS: Final = {"filelists": "list of files", "other": "changelog"}


class Normalising(Struct, frozen=True, kw_only=True):
    """How metadata is normalised.

    `algorithms` are the checksums that packages may have, by hashlib's names. `base` is the folder of a version whose
    packages and advisories are added to those of the feed, unless the feed has them.
    """

    limits: UnpackLimits
    algorithms: frozenset[str]
    base: str | None = None


class Normalised(Struct, frozen=True, kw_only=True):
    """The findings. `notes` are the first ones, `notes_total` counts all.

    `left_out` are the types of package groups that no client could read: a publication has no use for them.
    """

    counts: ContentCounts
    left_out: list[str]
    notes: list[Note]
    notes_total: int


def normalise(received: str, entries: list[MetadataFile], target: str, options: Normalising) -> Normalised:
    """Write target/packages.jsonl.zst and target/metadata/ from the files in `received`, each under its `own_name`.

    Packages are those of primary, in its order, each once; filelists and other are joined by checksum. Raises
    `LimitExceeded`, and `OperationError` (`bad-repository`) for a document that is damaged or has fewer packages than
    it promises, or for an unusable package. A fault in anything that no client needs becomes a note.
    """
    folder, work = Path(target), Path(target) / "unpacked"
    base = None if options.base is None else Path(options.base)
    sources, notes = MetadataDocuments(Path(received), entries, base, work, options.limits), Notes()
    try:
        with storage_errors(_storage(folder), folder):
            (folder / METADATA).mkdir(parents=True)
            work.mkdir()
            packages = _primary(sources, folder, work, options.algorithms, notes)
            for kind in ("filelists", "other"):
                _join(kind, sources, packages, folder, notes)
            errata = _advisories(sources, folder, notes)
            groups, left_out = _groups(sources, notes)
            modules = count_modules(sources.pieces("modules")) if "modules" in sources.entries else 0
    finally:
        shutil.rmtree(work, ignore_errors=True)
    counts = ContentCounts(
        packages=len(packages.numbers),
        errata=errata,
        package_groups=groups["group"],
        package_categories=groups["category"],
        package_environments=groups["environment"],
        modules=modules,
    )
    return Normalised(counts=counts, left_out=left_out, notes=notes.first, notes_total=notes.total)


def _primary(
    sources: MetadataDocuments, folder: Path, work: Path, algorithms: frozenset[str], notes: Notes
) -> primary.Packages:
    text = sources.of_feed("primary")
    if text is None:
        raise bad_repository("repomd.xml names no primary metadata")
    with (work / "body").open("w+b") as body, zstd.open(folder / PACKAGES_FILE, "wb") as listing:
        packages = primary.Packages(body, listing)
        primary.PrimaryFeed(text, algorithms, notes).add_to(packages)
        packages.of_feed = len(packages.numbers)
        base = sources.of_base("primary")
        if base is not None and sources.base is not None:
            primary.add_base(base, sources.base, packages)
        body.seek(0)
        with _document(folder, "primary", len(packages.numbers)) as document:
            shutil.copyfileobj(body, document)
    (work / "body").unlink()
    return packages


def _join(kind: str, sources: MetadataDocuments, packages: primary.Packages, folder: Path, notes: Notes) -> None:
    """Write what filelists or other say of each package, in the order of primary."""
    of_feed, of_base = sources.of_feed(kind), sources.of_base(kind)
    given = [(text, expected) for text, expected in ((of_feed, packages.of_feed), (of_base, 0)) if text is not None]
    if kind not in sources.entries:
        notes.add(f"{kind} metadata", f"the repository has none: its packages have no {_HOLDS[kind]}")
    with ExitStack() as stack:
        extras = []
        for text, expected in given:
            extra = stack.enter_context(Extras(text, kind, packages.numbers, packages.shown, notes))
            extra.find(expected)
            extras.append(extra)
        document = stack.enter_context(_document(folder, kind, len(packages.numbers)))
        for number, empty in enumerate(packages.empty):
            found = (extra.read(number) for extra in extras)
            document.write(next((content for content in found if content is not None), empty) + b"\n")
    for text, _ in given:
        text.path.unlink()


def _advisories(sources: MetadataDocuments, folder: Path, notes: Notes) -> int:
    feed, base = sources.of_feed("updateinfo"), sources.of_base("updateinfo")
    if feed is None and base is None:
        return 0
    known: set[str] = set()
    with _document(folder, "updateinfo") as document:
        of_feed = 0 if feed is None else copy_advisories(feed, document, known, notes, is_base=False)
        return of_feed + (0 if base is None else copy_advisories(base, document, known, notes, is_base=True))


def _groups(sources: MetadataDocuments, notes: Notes) -> tuple[Counter[str], list[str]]:
    """The number of readable groups in the first comps, and the types of unreadable ones.

    Clients go on without groups that they cannot read, and so does a sync.
    """
    found: Counter[str] | None = None
    left_out = []
    for kind in _GROUPS:
        try:
            text = sources.of_feed(kind)
            counted = None if text is None else count_groups(text)
        except OperationError as error:
            if isinstance(error, LimitExceeded):
                raise
            notes.add(f"{kind} metadata", f"left out: {error.description}")
            left_out.append(kind)
        else:
            found = found if counted is None or found is not None else counted
    return found or Counter(), left_out


def _storage(folder: Path) -> Path:
    """The storage that the folder is in; messages show paths relative to it."""
    return next((path.parent for path in folder.parents if path.name == "scratch"), folder.parent)


@contextmanager
def _document(folder: Path, kind: str, packages: int | None = None) -> Iterator[Sink]:
    """One of our own documents, to which elements are written."""
    with zstd.open(folder / METADATA / f"{kind}.xml.zst", "wb") as document:
        document.write(opening(kind, packages))
        yield document
        document.write(closing(kind))
