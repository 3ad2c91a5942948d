"""The metadata of the demo's repositories. Their packages are alike: a name, a size, one file."""

import gzip
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

EPOCH: Final = 1_354_000_000
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = "http://linux.duke.edu/metadata"


class Rpm(NamedTuple):
    """A built package: version 1.0-1, `noarch`, with one file."""

    name: str
    location: str
    checksum: str
    size_bytes: int
    file: str


def write_repodata(folder: Path, packages: Sequence[Rpm]) -> None:
    """Write the repodata of these packages, with a group of the last one and an erratum for it."""
    (folder / "repodata").mkdir()
    documents = {
        "primary": _document("metadata", "common", packages, _primary),
        "filelists": _document("filelists", "filelists", packages, lambda rpm: _named(rpm, f"<file>{rpm.file}</file>")),
        "other": _document("otherdata", "other", packages, lambda rpm: _named(rpm, "")),
        "updateinfo": _updateinfo(packages[-1]),
        "group": _comps(packages[-1]),
    }
    entries = "".join(_written(folder, kind, text) for kind, text in documents.items())
    repomd = f'<repomd xmlns="{_NAMESPACE}/repo"><revision>{EPOCH}</revision>{entries}</repomd>\n'
    (folder / "repodata" / "repomd.xml").write_text(f"{_HEAD}{repomd}")


def _written(folder: Path, kind: str, text: str) -> str:
    """Write a file of metadata; its entry in repomd.xml."""
    plain = f"{_HEAD}{text}\n".encode()
    packed = gzip.compress(plain, mtime=0)
    checksum, open_checksum = (hashlib.sha256(content).hexdigest() for content in (packed, plain))
    location = f"repodata/{checksum}-{kind}.xml.gz"
    (folder / location).write_bytes(packed)
    return (
        f'<data type="{kind}"><checksum type="sha256">{checksum}</checksum>'
        f'<open-checksum type="sha256">{open_checksum}</open-checksum><location href="{location}"/>'
        f"<timestamp>{EPOCH}</timestamp><size>{len(packed)}</size><open-size>{len(plain)}</open-size></data>"
    )


def _document(root: str, namespace: str, packages: Sequence[Rpm], element: Callable[[Rpm], str]) -> str:
    names = f'xmlns="{_NAMESPACE}/{namespace}" xmlns:rpm="{_NAMESPACE}/rpm"'
    body = "".join(f"{element(rpm)}\n" for rpm in packages)
    return f'<{root} {names} packages="{len(packages)}">\n{body}</{root}>'


def _primary(rpm: Rpm) -> str:
    return (
        f'<package type="rpm"><name>{rpm.name}</name><arch>noarch</arch><version epoch="0" ver="1.0" rel="1"/>'
        f'<checksum type="sha256" pkgid="YES">{rpm.checksum}</checksum>'
        "<summary>A package of the demonstration</summary><description>Its content is noise.</description>"
        f'<packager/><url/><time file="{EPOCH}" build="{EPOCH}"/>'
        f'<size package="{rpm.size_bytes}" installed="{rpm.size_bytes}" archive="{rpm.size_bytes}"/>'
        f'<location href="{rpm.location}"/><format><rpm:license>Public Domain</rpm:license>'
        f'<rpm:provides><rpm:entry name="{rpm.name}" flags="EQ" epoch="0" ver="1.0" rel="1"/></rpm:provides>'
        "</format></package>"
    )


def _named(rpm: Rpm, content: str) -> str:
    return (
        f'<package pkgid="{rpm.checksum}" name="{rpm.name}" arch="noarch"><version epoch="0" ver="1.0" rel="1"/>'
        f"{content}</package>"
    )


def _updateinfo(rpm: Rpm) -> str:
    return (
        '<updates><update from="demo" status="final" type="enhancement" version="1"><id>DEMO-2012:0001</id>'
        '<title>An erratum of the demonstration</title><issued date="2012-12-09 00:00:00"/><pkglist>'
        '<collection short="demo"><name>demo</name>'
        f'<package name="{rpm.name}" epoch="0" version="1.0" release="1" arch="noarch">'
        f"<filename>{rpm.location}</filename></package></collection></pkglist></update></updates>"
    )


def _comps(rpm: Rpm) -> str:
    return (
        "<comps><group><id>demo</id><name>Demonstration</name>"
        "<description>All packages of the demonstration</description><default>true</default>"
        "<uservisible>true</uservisible><packagelist>"
        f'<packagereq type="mandatory">{rpm.name}</packagereq></packagelist></group></comps>'
    )
