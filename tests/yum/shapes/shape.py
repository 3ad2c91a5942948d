"""A shape: a repository as somebody serves it, and how our sync and publish of it must end."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.repositories import Repository, Rpm
from tests.support.repositories.serving import Manner
from tests.support.repositories.writing import Edit

ANT, BEE, CAT = Rpm("ant"), Rpm("bee"), Rpm("cat")
BOTH = (ANT.nevra, BEE.nevra)


@dataclass(frozen=True, kw_only=True)
class Expect:
    """How a sync and a publish end. The packages, and what belongs to them, are those that dnf sees, unless stated."""

    code: str | None = None
    """The code of the error; None: successful."""
    words: tuple[str, ...] = ()
    """Each is in the error's description."""
    told: tuple[str, ...] = ()
    """Each appears somewhere in what a user sees: the error, the result, the progress."""
    untold: tuple[str, ...] = ()
    """None of these texts of the repository is in anything that a user sees."""
    packages: tuple[str, ...] | None = None
    """The published packages, if they differ from those that dnf sees."""
    advisories: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    """Each is in a note of the result."""
    result: Mapping[str, object] = field(default_factory=dict)
    """Members of the result of the sync."""
    published: tuple[str, ...] = ()
    """Further files of the publication, the same as the source's."""
    dropped: tuple[str, ...] = ()
    """Types of metadata that a publication does not carry, on purpose."""
    unlike_dnf: str = ""
    """Why it ends otherwise than for dnf."""
    unlike_details: str = ""
    """Why files, changelogs, advisories or groups are not those that dnf sees, though the packages are."""
    publishes: bool = True


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`make` gets the server's URL; `feed` is what follows it in the feed's URL."""

    name: str
    what: str
    make: Callable[[str], Repository]
    expect: Expect = Expect()
    feed: str = ""
    url_kind: str = "baseurl"
    """What dnf calls the URL: baseurl, mirrorlist, metalink."""
    manner: Manner | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of sync."""
    publish_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of publish."""
    on_disk: bool = True
    """Whether createrepo_c, which reads from disk, is a reference."""
    by_dnf: bool = True
    """Whether dnf is a reference: not for what would take all memory of the machine."""
    wrong: str = ""
    """What our operations do wrongly, which is known and stays to be mended."""


def two(**more: Any) -> Callable[[str], Repository]:
    """A repository with two packages, ant and bee."""
    return lambda url: Repository(rpms=[ANT, BEE], **more)


def one(rpm: Rpm, **more: Any) -> Callable[[str], Repository]:
    """A repository with this package and bee."""
    return lambda url: Repository(rpms=[rpm, BEE], **more)


def swap(old: str | bytes, new: str | bytes, count: int = -1) -> Edit:
    """A change that replaces a text, which must be there."""
    before, after = (text if isinstance(text, bytes) else text.encode() for text in (old, new))

    def edit(content: bytes) -> bytes:
        assert before in content, f"the document has no {before!r}"
        return content.replace(before, after, count)

    return edit


def then(*edits: Edit) -> Edit:
    """These changes, one after the other."""

    def edit(content: bytes) -> bytes:
        for each in edits:
            content = each(content)
        return content

    return edit


def cut(marker: str) -> Edit:
    """The document up to the last place where it has this text."""
    return lambda content: content[: content.rindex(marker.encode())]


def doubled(kind: str) -> Edit:
    """The repomd.xml with the entry of this type twice."""

    def edit(content: bytes) -> bytes:
        found = re.search(rb'<data type="' + kind.encode() + rb'">.*?</data>', content, re.DOTALL)
        assert found is not None
        return content.replace(found[0], found[0] * 2)

    return edit
