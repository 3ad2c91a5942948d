"""Hostile yum repositories: a good one with some parts replaced, and correct checksums."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

from createrepo_c import RepositoryReader

from tests.support.yum import small_repository

PACKAGES = {"Packages/ant.rpm": "ant", "Packages/bee.rpm": "bee"}
NAMESPACE = "http://linux.duke.edu/metadata/repo"
Change = Callable[[bytes], bytes]


def plain_metadata(folder: Path) -> dict[str, bytes]:
    """A small repository in `folder`, and its metadata by type, unpacked."""
    from backports import zstd

    small_repository(folder, PACKAGES)
    assert len(list(RepositoryReader.from_path(str(folder)).iter_packages())) == len(PACKAGES)
    kinds = ("primary", "filelists", "other")
    return {kind: zstd.decompress((folder / "repodata" / f"{kind}.xml.zst").read_bytes()) for kind in kinds}


def entry(kind: str, content: bytes, *hrefs: str) -> str:
    """An entry of repomd.xml with these locations."""
    locations = "".join(f"<location href={quoteattr(href)}/>" for href in hrefs)
    digest = hashlib.sha256(content).hexdigest()
    return (
        f'<data type="{kind}"><checksum type="sha256">{digest}</checksum>{locations}'
        f"<timestamp>1</timestamp><size>{len(content)}</size></data>"
    )


def repomd(*entries: str, doctype: str = "") -> bytes:
    """A whole repomd.xml."""
    return f'<?xml version="1.0"?>{doctype}<repomd xmlns="{NAMESPACE}">{"".join(entries)}</repomd>'.encode()


def hostile(folder: Path, changes: Mapping[str, bytes | Change], *, suffix: str = "") -> None:
    """A repository whose metadata of these types is changed, or replaced, or added."""
    contents: dict[str, bytes] = plain_metadata(folder)
    for kind, change in changes.items():
        contents[kind] = change if isinstance(change, bytes) else change(contents[kind])
    entries = []
    for kind, content in contents.items():
        href = f"repodata/{kind}.xml{suffix}"
        (folder / href).write_bytes(content)
        entries.append(entry(kind, content, href))
    (folder / "repodata" / "repomd.xml").write_bytes(repomd(*entries))


def with_repomd(folder: Path, make: Callable[[Mapping[str, str]], bytes]) -> None:
    """A repository whose repomd.xml is made from the entries by their types."""
    contents = plain_metadata(folder)
    entries = {}
    for kind, content in contents.items():
        (folder / f"repodata/{kind}.xml").write_bytes(content)
        entries[kind] = entry(kind, content, f"repodata/{kind}.xml")
    (folder / "repodata" / "repomd.xml").write_bytes(make(entries))
