"""What createrepo_c reads from a repository on disk, as JSON; in a separate process, since some shapes crash it.

Argument: the folder that holds repodata/.
"""

import bz2
import datetime
import gzip
import json
import lzma
import resource
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import createrepo_c as cr

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FIELDS = (
    *("summary", "description", "url", "rpm_license", "rpm_vendor", "rpm_group", "rpm_buildhost", "rpm_sourcerpm"),
    *("rpm_packager", "rpm_header_start", "rpm_header_end", "size_package", "size_installed", "size_archive"),
    *("time_build", "checksum_type", "requires", "provides", "conflicts", "obsoletes", "suggests", "recommends"),
    *("supplements", "enhances"),
)
_MOST_BYTES = 2 << 30
_MOST_CPU_S = 5
"""On a web page in the place of primary it never ends."""
_UNPACKERS = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x28\xb5": zstd.decompress,
}


def read(folder: Path) -> dict[str, Any]:
    """Packages with files and changelogs, advisories, groups, and the types of all metadata."""
    reader = cr.RepositoryReader.from_path(str(folder), warningcb=_go_on)
    packages = {}
    for package in reader.iter_packages(warningcb=_go_on):
        packages[f"{package.name}-{package.epoch or 0}:{package.version}-{package.release}.{package.arch}"] = {
            "files": sorted(f"{path}{name}" for _, path, name, *_ in package.files),
            "changelogs": sorted([_day(date), author, text] for author, date, text in package.changelogs),
            "checksum": package.pkgId,
            "location": package.location_href,
            "fields": {name: getattr(package, name) for name in _FIELDS},
        }
    return {
        "packages": packages,
        "advisories": sorted(str(advisory.id) for advisory in reader.advisories()),
        "groups": _groups(folder, reader.repomd),
        "types": {record.type: record.location_href for record in reader.repomd.records},
    }


def _groups(folder: Path, repomd: Any) -> list[str]:
    """createrepo_c copies comps without reading them, so this is XML, and a file that is not comps has no groups."""
    for record in repomd.records:
        if record.type in ("group", "group_gz", "group_xz", "group_zst"):
            try:
                root = ElementTree.fromstring(unpacked((folder / record.location_href).read_bytes()))
            except ElementTree.ParseError:
                return []
            return sorted(str(group.findtext("id")) for group in root.iter("group"))
    return []


def unpacked(content: bytes) -> bytes:
    """The decompressed content; its first bytes show the compression."""
    for magic, unpack in _UNPACKERS.items():
        if content.startswith(magic):
            return bytes(unpack(content))
    return content


def _day(date: int) -> str:
    """The day in UTC; as in dnf, a number that is too large counts as -1."""
    if date >= 1 << 62:
        date = -1
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=date)).strftime("%Y-%m-%d")


def _go_on(kind: object, message: object) -> bool:
    return True


def main(folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
    found: dict[str, Any]
    try:
        found = {"error": None, **read(Path(folder))}
    except Exception as error:
        found = {"error": type(error).__name__, "words": str(error), "packages": {}}
    print(json.dumps({"versions": {"createrepo_c": cr.VERSION}, "read": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
