"""Parts of yum repositories that a test adds to one that is served."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from tests.support.hostile_yum import entry
from tests.support.yum import Feed, small_repository

TREEINFO = "[general]\nfamily = Zoo\nversion = 1\narch = x86_64\n\n[checksums]\n"


def add_metadata(folder: Path, kind: str, content: bytes, name: str) -> Path:
    """Make repomd.xml name this file of metadata; returns its place."""
    path = folder / "repodata" / name
    path.write_bytes(content)
    repomd = folder / "repodata" / "repomd.xml"
    data = entry(kind, content, f"repodata/{name}").encode()
    repomd.write_bytes(repomd.read_bytes().replace(b"</repomd>", data + b"</repomd>"))
    return path


def add_tree(folder: Path, files: Mapping[str, bytes], *, name: str = ".treeinfo", more: str = "") -> None:
    """An installable tree of these files; `more` are further lines of its checksums."""
    lines = []
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        lines.append(f"{path} = sha256:{hashlib.sha256(content).hexdigest()}\n")
    (folder / name).write_text(f"{TREEINFO}{''.join(lines)}{more}")


def replace_packages(feed: Feed, *names: str) -> None:
    """Let the feed have these packages and no others; its metadata has other names of files than before."""
    for path in (*(feed.folder / "Packages").glob("*"), *(feed.folder / "repodata").glob("*")):
        path.unlink()
    feed.locations = small_repository(feed.folder, {f"Packages/{name}.rpm": name for name in names})
    repomd = feed.folder / "repodata" / "repomd.xml"
    text = repomd.read_text()
    for href in re.findall(r'href="(repodata/[^"]+)"', text):
        path = feed.folder / href
        renamed = path.with_name(f"{hashlib.sha256(path.read_bytes()).hexdigest()}-{path.name}")
        path.rename(renamed)
        text = text.replace(href, f"repodata/{renamed.name}")
    repomd.write_text(text)
