"""Writing the metadata of some packages of a version, chosen by their names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pulp_worker import OperationError

from pulp_operations.publishing.errors import damaged_version
from pulp_operations.publishing.packing import Compression, Entry, Packer, opened
from pulp_operations.reading.documents import Document, Element, local_name
from pulp_operations.reading.writing import ROOTS, closing, opening
from pulp_operations.records import Package
from pulp_operations.versions import METADATA, packages_in

_KINDS: Final = ("primary", "filelists", "other")
_MOST_SHOWN: Final = 10


class PackageSelection:
    """Chooses from the packages of a version. Its metadata has them in the same order in all documents."""

    def __init__(self, version: Path, work: Path) -> None:
        """`version` is the folder of the version, `work` an existing one for unpacked documents."""
        self._version, self._work = version, work

    def chosen(self, names: list[str]) -> list[str]:
        """The checksums of the packages that have one of these names, in the order of the metadata.

        Raises `OperationError` (`unknown-packages`) if a name belongs to no package. The list is somebody's document,
        so the error has its line numbers but not its text.
        """
        wanted, known, chosen = frozenset(names), set(), []
        with self._document("primary") as document:
            for element, package in self._pairs("primary", document):
                name = _name(document, element)
                known.add(name)
                if name in wanted:
                    chosen.append(package.checksum)
        unknown = [number for number, name in enumerate(names, 1) if name and name not in known]
        if unknown:
            lines = ", ".join(map(str, unknown[:_MOST_SHOWN]))
            raise OperationError(
                "unknown-packages", f"{len(unknown)} lines of the list name no package of the repository: lines {lines}"
            )
        return chosen

    def write(self, folder: Path, checksums: list[str], compression: Compression) -> list[Entry]:
        """Write primary, filelists and other with these packages only, each as in the version."""
        return [self._write(kind, folder, frozenset(checksums), compression) for kind in _KINDS]

    def _write(self, kind: str, folder: Path, wanted: frozenset[str], compression: Compression) -> Entry:
        with (
            Packer(folder, type=kind, name=f"{kind}.xml", compression=compression) as packer,
            self._document(kind) as document,
        ):
            packer.write(opening(kind, len(wanted)))
            for element, package in self._pairs(kind, document):
                if package.checksum in wanted:
                    packer.write(document.read(element) + b"\n")
            packer.write(closing(kind))
            return packer.finish()

    def _document(self, kind: str) -> Document:
        plain = self._work / f"{kind}.xml"
        if not plain.exists():
            with plain.open("xb") as file:
                file.writelines(opened(self._version / METADATA / f"{kind}.xml.zst"))
        return Document(plain, f"{kind} metadata", ROOTS[kind])

    def _pairs(self, kind: str, document: Document) -> Iterator[tuple[Element, Package]]:
        try:
            yield from zip(document, packages_in(self._version), strict=True)
        except ValueError:
            raise damaged_version(f"its {kind} metadata has not as many packages as its list") from None


def _name(document: Document, element: Element) -> str:
    tree = document.tree(document.read(element), element.line)
    return next((child.text or "" for child in tree if local_name(child.tag) == "name"), "").strip()
