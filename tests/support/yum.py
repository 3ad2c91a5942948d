"""Yum repositories for tests, and operations run as a worker runs them."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from createrepo_c import RepositoryWriter, package_from_rpm
from pulp_deploy.demo.server import DemoServer
from pulp_worker import Context, Operation
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchSettings
from pulp_worker.isolation import IsolationSettings
from rpm_rs import BuildConfig, CompressionType, FileOptions, PackageBuilder

LOCAL = fetch_settings({"PULP_FETCH_ALLOW": "public,private,loopback"})
"""Allow fetching from this machine, where the test's server is."""


@dataclass
class Feed:
    """A served repository."""

    server: DemoServer
    folder: Path
    locations: list[str]

    @property
    def url(self) -> str:
        return self.server.url

    def damage(self, location: str) -> None:
        """Change a byte of a file, which may be a hard link."""
        path = self.folder / location
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()
        path.write_bytes(content)


@dataclass
class Runner:
    """Runs operations as a worker does, and records their reports."""

    storage: Path
    reports: list[dict[str, Any]] = field(default_factory=list)
    token: int = 0
    fetching: FetchSettings = LOCAL
    isolation: IsolationSettings = field(default_factory=IsolationSettings)

    def context(self, **arguments: Any) -> Context:
        self.token += 1
        return Context(
            task_id=uuid4(),
            attempt_id=uuid4(),
            arguments=arguments,
            storage=self.storage,
            tokens={f"repository:{arguments.get('repo_id')}": self.token, "content_unit:orphans": self.token},
            send=lambda progress: self.reports.append(msgspec.json.decode(progress)),
            fetching=self.fetching,
            isolation=self.isolation,
        )

    async def run(self, operation: Operation, **arguments: Any) -> Any:
        return await self.run_in(self.context(**arguments), operation)

    async def run_in(self, context: Context, operation: Operation) -> Any:
        if operation.is_async:
            return await operation.call(context)
        return await asyncio.to_thread(operation.call, context)

    @property
    def content(self) -> dict[str, Any]:
        """The content's part of the last report of a sync."""
        return dict(self.reports[-1]["yum_importer"]["content"])

    @property
    def states(self) -> list[str]:
        """The states of metadata, content, comps and errata in the last report of a sync."""
        tree = self.reports[-1]["yum_importer"]
        return [tree[part]["state"] for part in ("metadata", "content", "comps", "errata")]

    def stored(self) -> list[Path]:
        """The packages in the store."""
        return sorted(self.storage.glob("content/*/*/*.rpm"))


def small_repository(folder: Path, packages: dict[str, str], base_url: str | None = None) -> list[str]:
    """Write a repository of small packages (location → name); return the locations."""
    shutil.rmtree(folder / "repodata", ignore_errors=True)  # left from the previous repository
    with RepositoryWriter(str(folder), num_packages=len(packages), unique_md_filenames=False) as writer:
        for location, name in packages.items():
            path = folder / location
            path.parent.mkdir(parents=True, exist_ok=True)
            builder = PackageBuilder(name, "1.0", "Public Domain", "noarch", "A package of a test")
            builder.using_config(BuildConfig(compression=CompressionType.NONE, source_date=1_354_000_000))
            builder.with_file_contents(name.encode() * 1000, FileOptions.new(f"/usr/share/{name}"))
            builder.build().write_file(str(path))
            package = package_from_rpm(str(path), location_href=location, location_base=base_url)
            package.time_file = 1_354_000_000
            writer.add_pkg(package)
    return list(packages)
