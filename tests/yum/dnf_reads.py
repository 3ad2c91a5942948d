"""What dnf reads from a repository, as JSON; run by the Python that dnf is installed for.

Arguments: the kind of URL (baseurl, mirrorlist, metalink), the URL, a folder for its cache.
"""

import json
import sys
from typing import Any


def main(kind: str, url: str, folder: str) -> None:
    import dnf  # type: ignore[import-not-found]  # a package of the system, not of this environment
    import hawkey  # type: ignore[import-not-found]  # the same

    base = _base(dnf, folder)
    found: dict[str, Any] = {"error": None, "packages": {}, "advisories": [], "groups": []}
    try:
        _add_repository(base, kind, url)
        base.fill_sack(load_system_repo=False, load_available_repos=True)
        packages = list(base.sack.query(flags=hawkey.IGNORE_EXCLUDES))
        advisories: set[str] = set()
        for package in packages:
            found["packages"][_nevra(package)] = _described(package)
            advisories.update(each.id for each in package.get_advisories(hawkey.EQ | hawkey.GT | hawkey.LT))
        found["advisories"] = sorted(advisories)
        base.read_comps(arch_filter=False)
        found["groups"] = sorted(group.id for group in base.comps.groups)
        found["undownloaded"] = _undownloaded(dnf, base, packages)
    except Exception as error:
        found["error"] = type(error).__name__
        found["words"] = str(error)
    print(json.dumps({"versions": {"dnf": dnf.VERSION}, "read": found}))


def _base(dnf: Any, folder: str) -> Any:
    """A dnf without this machine's configuration."""
    base = dnf.Base()
    base.conf.cachedir = base.conf.persistdir = base.conf.logdir = folder
    base.conf.installroot = folder
    base.conf.substitutions["releasever"] = "1"
    base.conf.plugins = False
    return base


def _add_repository(base: Any, kind: str, url: str) -> None:
    given = {"baseurl": [url]} if kind == "baseurl" else {kind: url}
    repo = base.repos.add_new_repo(
        "shape", base.conf, skip_if_unavailable=False, retries=5, timeout=20, gpgcheck=False, **given
    )
    repo.load_metadata_other = True
    repo.enable()


def _nevra(package: Any) -> str:
    return f"{package.name}-{package.epoch}:{package.version}-{package.release}.{package.arch}"


def _described(package: Any) -> dict[str, Any]:
    return {
        "files": sorted(package.files),
        "changelogs": sorted(
            [entry["timestamp"].strftime("%Y-%m-%d"), entry["author"], entry["text"]] for entry in package.changelogs
        ),
    }


def _undownloaded(dnf: Any, base: Any, packages: list[Any]) -> list[str]:
    """The packages that could not be downloaded, each tried separately."""
    failed = []
    for package in packages:
        try:
            base.download_packages([package])
        except dnf.exceptions.DownloadError:
            failed.append(_nevra(package))
    return sorted(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
