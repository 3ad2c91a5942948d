"""The sides of `publish`, each in a process of its own, which prints its cost: `python -m … ours STORAGE`."""

import asyncio
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path


def ours(storage: Path) -> None:
    """Publish the store's version, as a worker does."""
    from pulp_operations import publish
    from pulp_operations.store import Store
    from pulp_worker.testing import run_operation

    from benchmarks.publishing import REPOSITORY

    for name in ("publications", "published"):  # otherwise there is nothing to do
        shutil.rmtree(storage / name, ignore_errors=True)
    held = Store(storage).versions(REPOSITORY).newest()
    assert held is not None
    tokens = {f"repository:{REPOSITORY}": held.version.token, "content_unit:orphans": 1}
    outcome = asyncio.run(run_operation(publish, {"repo_id": REPOSITORY}, storage=storage, tokens=tokens))
    if outcome.state != "successful" or outcome.result["packages"] != held.version.counts.packages:
        raise RuntimeError(f"the publish ended {outcome.state}: {outcome.error_description}")


def createrepo_c(storage: Path) -> None:
    """Read each package of the same metadata, and write it."""
    import createrepo_c as cr

    [metadata] = storage.glob("repositories/*/current/metadata")
    paths = {f"{kind}_path": str(metadata / f"{kind}.xml.zst") for kind in ("primary", "filelists", "other")}
    with tempfile.TemporaryDirectory(dir=storage) as folder:
        packages = cr.PackageIterator(**paths)
        with cr.RepositoryWriter(folder, compression=cr.GZ_COMPRESSION) as writer:
            writer.set_num_of_pkgs(_promised(metadata))
            for package in packages:
                writer.add_pkg(package)


def _promised(metadata: Path) -> int:
    from pulp_operations.versions import packages_in

    return sum(1 for _ in packages_in(metadata.parent))


def _took() -> dict[str, float]:
    """Processor seconds of this process and its children, and the memory of the largest."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # For this process, ru_maxrss would include the memory of its parent before exec.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [own_kib] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return {
        "processor": sum(each.ru_utime + each.ru_stime for each in used),
        "peak MiB": max(own_kib, used[1].ru_maxrss) / 1024,
    }


if __name__ == "__main__":
    {"ours": ours, "createrepo_c": createrepo_c}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(_took()))
