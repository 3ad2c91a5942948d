"""Records of a repository: converted from untrusted documents once, and kept in the store."""

import re
from typing import Final, Literal, Protocol

from msgspec import Struct

Mode = Literal["mirror", "additive"]

_PLAIN_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,30}")
_SUFFIX: Final = re.compile(r"(?:\.[a-z][a-z0-9]{0,7}){1,2}$")


class Content(Protocol):
    """A file of known content. `algorithm` is hashlib's name."""

    @property
    def algorithm(self) -> str: ...
    @property
    def checksum(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


class Package(Struct, frozen=True, kw_only=True):
    """A package: where the feed has it, what it must be, and where our publications have it.

    `name` is for people: `ant-1.0-1.noarch`. `href` is as the feed writes it, relative to `base_url`, which is relative
    to the repository. `algorithm` is hashlib's name.
    """

    name: str
    href: str
    base_url: str = ""
    algorithm: str
    checksum: str
    size_bytes: int
    location: str


class MetadataFile(Struct, frozen=True, kw_only=True):
    """An entry of repomd.xml. Sizes are None if the repository does not state them."""

    type: str
    href: str
    base_url: str = ""
    algorithm: str
    checksum: str
    size_bytes: int | None = None
    open_size_bytes: int | None = None

    @property
    def own_name(self) -> str:
        """The name of the file in the store: `modules-CHECKSUM.yaml.gz`. No text of the repository decides a path."""
        plain = self.type if self._is_plain else "metadata"
        suffix = _SUFFIX.search(self.href)
        return f"{plain}-{self.checksum}{suffix.group() if suffix else ''}"

    @property
    def shown_type(self) -> str:
        """The type in a form that messages may show."""
        return self.type if self._is_plain else "unknown"

    @property
    def _is_plain(self) -> bool:
        return bool(_PLAIN_TYPE.fullmatch(self.type))


class Note(Struct, frozen=True, kw_only=True):
    """A part that was mended or left out, and that no client needs. `line` counts from 1 in the document."""

    what: str
    reason: str
    line: int | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        where = "" if self.line is None else f", line {self.line}"
        return f"{self.what}{where}: {self.reason}"


class Repomd(Struct, frozen=True, kw_only=True):
    """The contents of repomd.xml. `timestamp_s` is the newest timestamp of its entries, 0 if it has none."""

    revision: str
    entries: list[MetadataFile]
    notes: list[Note] = []
    timestamp_s: int = 0


class TreeFile(Struct, frozen=True, kw_only=True):
    """A file of an installable tree, as `.treeinfo` names it. `path` is relative to the tree."""

    path: str
    algorithm: str | None = None
    checksum: str | None = None
    size_bytes: int | None = None


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of an installable tree, as a version holds it."""

    path: str
    algorithm: str
    checksum: str
    size_bytes: int


class ContentCounts(Struct, frozen=True, kw_only=True):
    """The contents of a repository."""

    packages: int = 0
    errata: int = 0
    package_groups: int = 0
    package_categories: int = 0
    package_environments: int = 0
    modules: int = 0
    tree_files: int = 0


class Validators(Struct, frozen=True, kw_only=True):
    """The validators by which a server recognizes an unchanged file."""

    etag: str | None = None
    last_modified: str | None = None


class FeedSource(Struct, frozen=True, kw_only=True):
    """Where a version came from, so that a repair can fetch from there again.

    The arguments of a sync refuse a feed with secrets, and a credential is only named, so nothing here is secret.
    """

    feed: str
    credential: str | None = None
    verify_tls: bool = True


class VersionRecord(Struct, frozen=True, kw_only=True):
    """One version of a repository, as `version.json` keeps it.

    `feed_key` is a hash of the feed and the options. `source` is None where a release before wrote the version.
    `entries` are the files in `received/`.
    `treeinfo` is the name that the feed gives to the description of its tree; the store keeps it as
    `received/treeinfo`. `timestamp_s` is the repository's own time, so that the same input makes the same publication.
    `notes` are the first ones, `notes_total` counts all. `is_complete` is false where a part was left out that may be
    there the next time: then the next sync does not rest on an unchanged repomd.xml. `files` are the sha256 of our own
    files by their paths. `format` is 0 for a version that a release before wrote.
    """

    number: int
    token: int
    feed_key: str
    source: FeedSource | None = None
    mode: Mode = "mirror"
    repomd_checksum: str = ""
    revision: str = ""
    timestamp_s: int = 0
    validators: Validators = Validators()
    counts: ContentCounts = ContentCounts()
    entries: list[MetadataFile] = []
    treeinfo: str | None = None
    tree: list[StoredFile] = []
    notes: list[Note] = []
    notes_total: int = 0
    is_complete: bool = True
    files: dict[str, str] = {}
    format: int = 1
