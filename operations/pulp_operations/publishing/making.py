"""Making a publication of a version in a folder, or finding that the newest one is the same."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pulp_worker import Context

from pulp_operations.publishing.content import PlacedFile, compare_content, is_content, link_content, link_tree
from pulp_operations.publishing.errors import bad_publication, damaged_version
from pulp_operations.publishing.mirroring import mirror_repodata, package_path
from pulp_operations.publishing.placing import link_into, place
from pulp_operations.publishing.progress import PublishProgress
from pulp_operations.publishing.record import (
    PublicationPlan,
    Record,
    checksums_below,
    is_intact,
    keep_earlier,
    read_record,
    write_record,
)
from pulp_operations.publishing.repodata import Regenerating, WrittenMetadata, write_repodata
from pulp_operations.publishing.signing import Signer
from pulp_operations.reading.table import read_repomd
from pulp_operations.records import Package, Repomd
from pulp_operations.store import Store
from pulp_operations.versions import RECEIVED, StoredVersion


@dataclass(frozen=True, slots=True)
class Making:
    """The inputs of a publication."""

    context: Context[Any]
    store: Store
    held: StoredVersion
    plan: PublicationPlan
    progress: PublishProgress

    def is_same(self, publication: Path) -> Record | None:
        """The record of an earlier publication if it is what this one would be, byte for byte, and undamaged."""
        record = read_record(publication)
        if record is None or record.plan != self.plan.digest or not is_intact(publication, record):
            return None
        self.progress.enter("verification")
        tree = (PlacedFile(file, file.path) for file in self.held.version.tree if file.path in record.tree)
        placed = chain(self._packages(record.chosen), tree)
        return record if all(is_content(publication / each.path, each.content) for each in placed) else None

    def make(self, folder: Path, signer: Signer | None, previous: Path | None, generations: int) -> Record:
        """Write the publication into an empty folder, and compare every file with its metadata.

        Raises `OperationError`, whose code and message say what is damaged or missing, and how to mend it.
        """
        self.progress.enter("metadata")
        damaged = self.held.damage()
        if damaged:
            raise damaged_version(", ".join(damaged))
        written = self._write_metadata(folder)
        if signer is not None:
            signer.sign(folder, self.plan.key)
        files = checksums_below(folder)
        if any(files.get(entry.href) != entry.checksum for entry in written.entries):
            raise bad_publication("metadata that was written cannot be read back")
        packages, chosen = written.packages, written.chosen
        self.progress.enter("packages", items=packages)
        link_content(self.store, self._packages(chosen), folder, lambda: self.progress.count("packages"))
        self.progress.enter("distribution", items=len(self.held.version.tree))
        tree = link_tree(self.store, self.held.version.tree, folder, lambda: self.progress.count("distribution"))
        self.progress.enter("verification")
        size_bytes = compare_content(self.store, self._packages(chosen), folder, expected=packages)
        compare_content(self.store, tree, folder, expected=len(tree))
        record = Record(
            plan=self.plan.digest,
            version=self.held.version.number,
            packages=packages,
            size_bytes=size_bytes,
            files=files,
            chosen=chosen,
            tree=[each.path for each in tree],
            notes=written.notes,
            kept={} if previous is None else keep_earlier(previous, folder, generations),
        )
        write_record(folder, record)
        return record

    def _packages(self, chosen: list[str] | None) -> Iterator[PlacedFile]:
        wanted = None if chosen is None else frozenset(chosen)
        for package in self.held.packages():
            if wanted is None or package.checksum in wanted:
                yield PlacedFile(package, self._path(package))

    def _path(self, package: Package) -> str:
        return package.location if self.plan.metadata == "regenerate" else package_path(package)

    def _write_metadata(self, folder: Path) -> WrittenMetadata:
        """Write everything but packages and the files of a tree. Mirrored files are compared where they are linked."""
        written = self._mirror(folder) if self.plan.metadata == "mirror" else self._regenerate(folder)
        self._describe_tree(folder)
        return written

    def _regenerate(self, folder: Path) -> WrittenMetadata:
        limits = self.context.fetching
        options = Regenerating(
            compression=self.plan.compression,
            names=self.plan.names,
            most_bytes=limits.unpacked_bytes,
            most_ratio=limits.unpacked_ratio,
        )
        arguments = (self.held.version, str(self.held.folder), str(folder), options)
        written: WrittenMetadata = asyncio.run(
            self.context.isolated(write_repodata, *arguments, returns=WrittenMetadata, what="writing the metadata")
        )
        return written

    def _mirror(self, folder: Path) -> WrittenMetadata:
        try:
            content = (self.held.folder / RECEIVED / "repomd.xml").read_bytes()
        except FileNotFoundError:
            content = None
        named = Repomd(revision="", entries=[])
        if content is not None:
            named = asyncio.run(self.context.isolated(read_repomd, content, returns=Repomd, what="reading repomd.xml"))
        version = self.held.version
        notes = mirror_repodata(version, self.held.folder, named.entries, folder)
        return WrittenMetadata(packages=version.counts.packages, entries=[], chosen=None, notes=notes)

    def _describe_tree(self, folder: Path) -> None:
        name = self.held.version.treeinfo
        target = None if name is None else place(folder, name)
        if target is None:
            return
        try:
            link_into(self.held.folder / RECEIVED / "treeinfo", target)
        except FileNotFoundError:
            raise damaged_version("the description of its tree is not there") from None
