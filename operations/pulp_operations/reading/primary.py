"""primary: the packages of a repository, and their elements as our own metadata has them."""

import re
from itertools import zip_longest
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import msgspec
from pulp_worker import LimitExceeded, OperationError

from pulp_operations.foreign import bad_repository
from pulp_operations.reading.documents import Document, Element, local_name
from pulp_operations.reading.names import file_name
from pulp_operations.reading.notes import Notes
from pulp_operations.reading.packages import described, empty_element
from pulp_operations.reading.text import Text
from pulp_operations.reading.writing import ROOTS, Sink, is_usual, written
from pulp_operations.records import Package
from pulp_operations.versions import PACKAGES_FILE, DamagedVersion, packages_in

MOST_PACKAGES: Final = 250_000
"""The worker holds the list of them: some 100 MiB."""
_MOST_TOLD: Final = 5
_LOCATION: Final = re.compile(rb"""<location(?:\s[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*)?>(?:\s*</location\s*>)?""")


class Packages:
    """The packages so far. Their elements wait in a file, since a document begins with their number."""

    def __init__(self, body: Sink, listing: Sink) -> None:
        self.numbers: dict[str, int] = {}
        """By checksum."""
        self.shown: list[str] = []
        self.empty: list[bytes] = []
        """The elements in filelists and other for packages without data there."""
        self.of_feed = 0
        """How many of them are from the feed: they come first."""
        self._taken: set[str] = set()
        self._body, self._listing = body, listing

    def add(self, package: Package, content: bytes, empty: bytes) -> None:
        """Add a package. Raises `LimitExceeded` for one too many."""
        if len(self.numbers) >= MOST_PACKAGES:
            raise LimitExceeded(f"the repository has over {MOST_PACKAGES} packages")
        self.numbers[package.checksum] = len(self.numbers)
        self.shown.append(package.name)
        self.empty.append(empty)
        self._body.write(content + b"\n")
        self._listing.write(msgspec.json.encode(package) + b"\n")

    def location(self, name: str, checksum: str) -> str:
        """The location of a file in our publications: folders of a feed may hold different files of one name."""
        location = f"Packages/{name}"
        if location in self._taken:
            location = f"Packages/{checksum}/{name}"
        self._taken.add(location)
        return location


class PrimaryFeed:
    """primary of the feed."""

    def __init__(self, text: Text, algorithms: frozenset[str], notes: Notes) -> None:
        self._text, self._algorithms, self._notes = text, algorithms, notes
        self._refused: list[str] = []
        self._refused_total = 0

    def add_to(self, packages: Packages) -> None:
        """Add its packages, each once.

        Raises `OperationError` (`bad-repository`) for packages that cannot be used, and for fewer than it promises.
        """
        named = 0
        with Document(self._text.path, self._text.what, ROOTS["primary"]) as document:
            for element in document:
                if local_name(element.name) == "package":
                    named += 1
                    self._add(document, element, packages)
            promised = document.attributes.get("packages", "")
        self._notes.add_uncounted(self._text)
        if self._refused:
            more, told = self._refused_total - len(self._refused), "; ".join(self._refused)
            raise bad_repository(told if more <= 0 else f"{told}; and {more} more packages cannot be used")
        if promised.isascii() and promised.isdecimal() and len(promised) < 10:
            self._compare(named, int(promised))

    def _compare(self, named: int, promised: int) -> None:
        if named < promised:
            raise bad_repository(f"{self._text.what} promises {promised} packages and has {named}")
        if named > promised:
            self._notes.add(self._text.what, f"it promises {promised} packages and has {named}: all are taken")

    def _add(self, document: Document, element: Element, packages: Packages) -> None:
        content = document.read(element)
        tree = document.tree(content, element.line)
        try:
            found = described(tree, element.line, self._algorithms, self._notes.add)
        except OperationError as error:
            if error.code != "bad-repository":
                raise
            self._refused_total += 1
            if len(self._refused) < _MOST_TOLD:
                self._refused.append(error.description)
            return
        mended_line = self._text.mended.up_to(element.last_line)
        if mended_line is not None:
            self._notes.add(f"{found.name} in {self._text.what}", self._text.reason, mended_line)
        if found.checksum in packages.numbers:
            return
        package = Package(
            name=found.name,
            href=found.href,
            base_url=found.base_url,
            algorithm=found.algorithm,
            checksum=found.checksum,
            size_bytes=found.size_bytes,
            location=packages.location(file_name(found.href, found.stem, found.checksum), found.checksum),
        )
        own = None
        if not found.is_mended and ":" not in element.name and is_usual("primary", document.declared):
            own = with_location(content, package.location)
        if own is None:
            _set_location(tree, package.location)
            own = written(tree, document.default)
        packages.add(package, own, empty_element(tree, found.checksum))


def add_base(text: Text, folder: Path, packages: Packages) -> None:
    """Add the packages of the previous version that are not there yet.

    Raises `DamagedVersion` if its files do not belong together.
    """
    with Document(text.path, text.what, ROOTS["primary"]) as document:
        for element, package in zip_longest(document, packages_in(folder)):
            if element is None or package is None:
                raise DamagedVersion(folder, PACKAGES_FILE, "it has other packages than the metadata")
            if package.checksum in packages.numbers:
                continue
            name = package.location.rpartition("/")[2]
            moved = msgspec.structs.replace(package, location=packages.location(name, package.checksum))
            content = document.read(element)
            tree = document.tree(content, element.line)
            own = with_location(content, moved.location)
            if own is None:
                _set_location(tree, moved.location)
                own = written(tree, document.default)
            packages.add(moved, own, empty_element(tree, package.checksum))


def with_location(content: bytes, location: str) -> bytes | None:
    """The element with this location; None if only its tree can show which text is the location."""
    if b"<!" in content or b"<?" in content:  # which may hold anything that looks like an element
        return None
    own, count = _LOCATION.subn(f'<location href="{location}"/>'.encode(), content)
    return own if count == 1 else None


def _set_location(tree: ElementTree.Element, location: str) -> None:
    for child in tree:
        if local_name(child.tag) == "location":
            child.attrib.clear()
            child.set("href", location)
