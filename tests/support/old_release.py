"""A store as the previous release left it."""

import json
import shutil
from pathlib import Path

from pulp_operations.store import Store


def age(storage: Path, repo_id: str, repodata: Path) -> None:
    """Rewrite the newest version of a repository as the previous release wrote it; `repodata` is its metadata."""
    versions = Store(storage).versions(repo_id)
    held = versions.newest()
    assert held is not None
    fields = ("href", "algorithm", "checksum", "size_bytes", "base_url")
    packages = [{name: getattr(package, name) for name in fields} for package in held.packages()]
    record = {"version": held.version.number, "token": held.version.token, "packages": packages}
    shutil.rmtree(held.folder)
    shutil.copytree(repodata, held.folder / "repodata")
    (held.folder / "repository.json").write_text(json.dumps(record))
