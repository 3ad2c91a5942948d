"""Builds a small store as syncs and publishes leave it, without running them."""

import hashlib
import itertools
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pulp_operations.records import ContentCounts, FeedSource, Package, StoredFile, VersionRecord
from pulp_operations.store import Store
from pulp_operations.versions import METADATA, PACKAGES_FILE, RECEIVED
from pulp_worker import Operation
from pulp_worker.testing import OperationOutcome, run_operation

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass
class Stored:
    """`token` is the next task's."""

    root: Path
    tokens: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def store(self) -> Store:
        return Store(self.root)

    def package(self, name: str, content: bytes | None = None) -> Package:
        """A package that the store has."""
        content = name.encode() * 100 if content is None else content
        package = Package(
            name=f"{name}-1.0-1.noarch",
            href=f"Packages/{name}.rpm",
            algorithm="sha256",
            checksum=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            location=f"Packages/{name}.rpm",
        )
        self._write(self.store.content_path(package), content)
        return package

    def tree_file(self, path: str) -> StoredFile:
        """A file of an installable tree that the store has."""
        content = path.encode() * 100
        file = StoredFile(
            path=path, algorithm="sha256", checksum=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
        )
        self._write(self.store.content_path(file), content)
        return file

    def version(
        self, repo_id: str, packages: list[Package], tree: list[StoredFile] | None = None, feed: str = "", keep: int = 2
    ) -> VersionRecord:
        """Save a version as a sync does."""
        with self.store.scratch() as scratch:
            prepared = scratch / "prepared"
            for name in (METADATA, RECEIVED):
                (prepared / name).mkdir(parents=True)
            lines = b"".join(msgspec.json.encode(package) + b"\n" for package in packages)
            (prepared / PACKAGES_FILE).write_bytes(zstd.compress(lines))
            version = VersionRecord(
                number=0,
                token=next(self.tokens),
                feed_key="",
                source=FeedSource(feed=feed) if feed else None,
                counts=ContentCounts(packages=len(packages)),
                tree=tree or [],
            )
            return self.store.versions(repo_id).save(prepared, version, keep=keep)

    def old_version(self, repo_id: str, packages: list[Package]) -> None:
        """A version as the previous release wrote it."""
        folder = self.root / "repositories" / repo_id / "versions" / "1"
        record = {
            "version": 1,
            "token": next(self.tokens),
            "packages": [
                {
                    "href": package.href,
                    "algorithm": package.algorithm,
                    "checksum": package.checksum,
                    "size_bytes": package.size_bytes,
                    "base_url": "",
                }
                for package in packages
            ],
        }
        self._write(folder / "repository.json", json.dumps(record).encode())
        (folder.parent.parent / "current").symlink_to("versions/1")

    def publication(self, repo_id: str, packages: list[Package]) -> Path:
        """Save a publication that links the packages."""
        with self.store.scratch() as scratch:
            prepared = scratch / "prepared"
            for package in packages:
                path = prepared / package.location
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(self.store.content_path(package), path)
            return self.store.save_publication(repo_id, prepared, next(self.tokens))

    def files(self) -> set[str]:
        """The packages and files of trees that the store has, by checksum."""
        return {path.stem for path in self.root.glob("content/*/*/*")}

    async def run(self, operation: Operation, *, token: int | None = None, **arguments: Any) -> OperationOutcome:
        """Run an operation with its declared resources."""
        token = next(self.tokens) if token is None else token
        tokens = {"content_unit:orphans": token}
        if arguments.get("repo_id") is not None:
            tokens[f"repository:{arguments['repo_id']}"] = token
        return await run_operation(operation, arguments, storage=self.root, tokens=tokens)

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
