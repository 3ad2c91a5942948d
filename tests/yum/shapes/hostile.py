"""Malicious repositories: each ends only its own task, and none of their text is repeated."""

from tests.support.repositories import Advisory, Repository, Rpm
from tests.yum.shapes.shape import ANT, BEE, BOTH, Expect, Shape, one, swap, two

_BAD = "bad-repository"
_LAUGHS = (
    '<!DOCTYPE lol [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>\n"
)
_OUTSIDE = '<!DOCTYPE lol [<!ENTITY i SYSTEM "file:///etc/hostname">]>\n'
_ATTRIBUTES = " ".join(f"a{number}='1'" for number in range(100_000))


def _bomb(kind: str, compression: str) -> Shape:
    """One text of 96 MB in a document that is otherwise right."""
    marker = {"primary": "<summary>", "filelists": "<file>", "other": "- built", "updateinfo": "<description>"}[kind]

    def grown(content: bytes) -> bytes:
        return swap(marker, marker.encode() + b" " * (96 << 20), 1)(content)

    return Shape(
        name=f"bomb-{kind}-{compression}",
        what=f"{kind} of a few KB that unpacks to 96 MB, packed with {compression}",
        make=two(
            advisories=[Advisory(id="A-1", packages=(ANT,))],
            compressions={kind: compression},
            edits={kind: grown},
        ),
        expect=Expect(code="limit-exceeded", words=(kind,), unlike_dnf="unpacking is limited"),
        by_dnf=False,
        on_disk=False,
    )


def _entities(kind: str, doctype: str, what: str, code: str | None = _BAD) -> Shape:
    name = "entity-bomb" if "lol" in doctype and "SYSTEM" not in doctype else "entity-file"
    return Shape(
        name=f"{name}-{kind}",
        what=f"{what} in {kind}",
        make=two(
            advisories=[Advisory(id="A-1", packages=(ANT,))],
            edits={
                kind: lambda content: content.replace(b"?>\n", b"?>\n" + doctype.encode(), 1).replace(
                    b"<summary>", b"<summary>&i;", 1
                )
            },
        ),
        expect=Expect(code=code, unlike_dnf="a document type declaration is refused"),
        by_dnf=False,
        on_disk=False,
    )


SHAPES = (
    _bomb("primary", "zst"),
    _bomb("filelists", "gz"),
    _bomb("other", "xz"),
    _bomb("updateinfo", "bz2"),
    _entities("primary", _LAUGHS, "entities that make a gigabyte"),
    _entities("repomd", _LAUGHS, "entities that make a gigabyte"),
    _entities("updateinfo", _LAUGHS, "entities that make a gigabyte"),
    _entities("primary", _OUTSIDE, "an entity that refers to a file of the worker"),
    Shape(
        name="deep",
        what="elements 100,000 deep in primary",
        make=two(edits={"primary": swap("<format>", "<a>" * 100_000 + "</a>" * 100_000 + "<format>", 1)}),
        expect=Expect(packages=BOTH),
        by_dnf=False,
        on_disk=False,
    ),
    Shape(
        name="many-attributes",
        what="an element of 100,000 attributes in primary",
        make=two(edits={"primary": swap("<format>", f"<a {_ATTRIBUTES}/><format>", 1)}),
        expect=Expect(packages=BOTH),
        by_dnf=False,
        on_disk=False,
    ),
    Shape(
        name="file-names-with-dotdot",
        what="a package whose installed files have .. in their paths",
        make=one(Rpm("ant", files=("/usr/../../etc/passwd", "relative/path"))),
        expect=Expect(unlike_details="dnf shows a relative path with a slash before it"),
    ),
    Shape(
        name="href-null",
        what="a package at an href with a percent-encoded null",
        make=lambda url: Repository(rpms=[Rpm("ant", href="Packages/TOP-SECRET%00.rpm"), BEE]),
        on_disk=False,
    ),
    Shape(
        name="encoded-dotdot",
        what="a package whose encoded href climbs out of the server",
        make=lambda url: Repository(
            rpms=[Rpm("ant", href="%2e%2e/%2e%2e/ant.rpm"), BEE], package_paths={"%2e%2e/%2e%2e/ant.rpm": "ant.rpm"}
        ),
        expect=Expect(code="fetch-failed", unlike_dnf="dnf does not download it either"),
        on_disk=False,
    ),
    Shape(
        name="name-of-a-package-is-a-path",
        what="a package whose name is a path",
        make=one(ANT, edits={"primary": swap("<name>ant</name>", "<name>../../../TOP-SECRET</name>")}),
    ),
    Shape(
        name="two-locations-in-repomd",
        what="an entry of repomd.xml with two locations",
        make=two(edits={"repomd": swap("<location ", '<location href="/dev/zero"/><location ', 1)}),
        expect=Expect(code=_BAD, words=("more than one location",), unlike_dnf="readers differ on which one counts"),
        on_disk=False,
    ),
    Shape(
        name="two-checksums-in-repomd",
        what="an entry of repomd.xml with two checksums",
        make=two(edits={"repomd": swap("<checksum ", '<checksum type="sha256">00</checksum><checksum ', 1)}),
        expect=Expect(code=_BAD, words=("more than one checksum",)),
        on_disk=False,
    ),
)
