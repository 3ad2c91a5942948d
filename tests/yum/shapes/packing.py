"""How metadata is compressed, and what repomd.xml promises about it."""

import gzip

from tests.support.repositories import Advisory, Group, Repository, Rpm
from tests.support.repositories.serving import Reply
from tests.support.repositories.writing import packed
from tests.yum.shapes.shape import ANT, BOTH, Expect, Shape, swap, two

_EVERYTHING = {
    "advisories": [Advisory(id="A-1", packages=(ANT,))],
    "groups": [Group(id="zoo", packages=("ant", "bee"))],
}
_BAD = "bad-repository"
_CUT_OFF = "dnf continues with what it has read; a mirror would lack something"
_WHOLE = "a mirror has all packages or names the missing ones; dnf notices when a package is installed"


def _in_two_members(body: bytes) -> bytes:
    content = gzip.decompress(body)
    return packed(content[:300], "gz") + packed(content[300:], "gz")


def _flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def _compressions() -> list[Shape]:
    names = {"": "nothing", "gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
    return [
        Shape(
            name=f"packed-{name}", what=f"all metadata packed with {name}", make=two(compression=suffix, **_EVERYTHING)
        )
        for suffix, name in names.items()
    ]


def _checksum_types() -> list[Shape]:
    made = []
    for kind in ("md5", "sha", "sha1", "sha224", "sha256", "sha384", "sha512"):
        rpms = [Rpm(name, checksum_type=kind) for name in ("ant", "bee")]
        made.append(
            Shape(
                name=f"checksums-{kind}",
                what=f"all checksums are of the type {kind}",
                make=lambda url, rpms=rpms, kind=kind: Repository(rpms=rpms, checksum_type=kind),  # type: ignore[misc]
                expect=Expect(packages=BOTH, unlike_dnf="dnf crashes") if kind == "sha224" else Expect(),
            )
        )
    return made


SHAPES = (
    *_compressions(),
    *_checksum_types(),
    Shape(
        name="checksums-mixed",
        what="each package has another type of checksum",
        make=lambda url: Repository(rpms=[Rpm("ant", checksum_type="sha512"), Rpm("bee", checksum_type="sha256")]),
    ),
    Shape(
        name="checksums-unknown",
        what="a package's type of checksum is unknown",
        make=two(edits={"primary": swap('type="sha256"', 'type="crc32"', 1)}),
        expect=Expect(code=_BAD),
    ),
    Shape(
        name="checksums-with-blanks",
        what="blanks around the checksums in repomd.xml",
        make=two(edits={"repomd": swap('sha256">', 'sha256">\n ')}),
        expect=Expect(packages=BOTH, unlike_dnf="the checksum is unambiguous"),
    ),
    Shape(
        name="checksums-in-capitals",
        what="checksums of packages in capitals",
        make=two(edits=dict.fromkeys(("primary", "filelists", "other"), swap(ANT.checksum, ANT.checksum.upper()))),
    ),
    Shape(
        name="two-members",
        what="primary is packed with gzip in two pieces",
        make=two(packed_edits={"primary": _in_two_members}),
    ),
    Shape(
        name="zeros-at-the-end",
        what="zeros after the end of a gzip file",
        make=two(packed_edits={"primary": lambda body: body + b"\0" * 512}),
    ),
    Shape(
        name="suffix-lies",
        what="primary.xml.gz is packed with zstd",
        make=two(packed_edits={"primary": lambda body: packed(gzip.decompress(body), "zst")}),
        expect=Expect(packages=BOTH, unlike_dnf="the first bytes show how it is packed"),
    ),
    Shape(
        name="truncated-gzip",
        what="primary's gzip file is cut off, though its checksum is right",
        make=two(packed_edits={"primary": lambda body: body[: len(body) // 2]}),
        expect=Expect(code=_BAD, words=("primary",)),
    ),
    Shape(
        name="truncated-filelists",
        what="filelists' gzip file is cut off, though its checksum is right",
        make=two(packed_edits={"filelists": lambda body: body[: len(body) // 2]}),
        expect=Expect(code=_BAD, words=("filelists",), unlike_dnf=_CUT_OFF),
    ),
    Shape(
        name="gzip-without-end",
        what="the last bytes of primary's gzip file, its own checksum, are missing",
        make=two(packed_edits={"primary": lambda body: body[:-6]}),
        expect=Expect(code=_BAD, words=("primary",), unlike_dnf=_CUT_OFF),
    ),
    Shape(
        name="gzip-of-noise",
        what="primary is neither XML nor packed",
        make=two(packed_edits={"primary": lambda body: b"TOP-SECRET " * 20}),
        expect=Expect(code=_BAD, words=("primary",), untold=("TOP-SECRET",)),
    ),
    Shape(name="no-sizes-in-repomd", what="repomd.xml states no sizes", make=two(has_sizes=False)),
    Shape(
        name="metadata-checksum-wrong",
        what="primary is not what repomd.xml says",
        make=two(damage={"primary": _flipped}),
        expect=Expect(code="fetch-failed", words=("primary",)),
    ),
    Shape(
        name="metadata-size-wrong",
        what="primary is larger than repomd.xml says",
        make=two(edits={"repomd": swap("<size>", "<size>1")}),
        expect=Expect(code="fetch-failed", unlike_dnf="ours compares the size too; dnf compares only the checksum"),
    ),
    Shape(
        name="open-size-wrong",
        what="repomd.xml states another unpacked size",
        make=two(edits={"repomd": swap("<open-size>", "<open-size>1")}),
    ),
    Shape(
        name="open-checksum-wrong",
        what="repomd.xml states another checksum of the unpacked document",
        make=two(edits={"repomd": swap('<open-checksum type="sha256">', '<open-checksum type="sha256">00')}),
        expect=Expect(
            packages=BOTH, unlike_dnf="the bytes that were sent are verified; a second checksum gains nothing"
        ),
    ),
    Shape(
        name="filelists-missing-on-the-server",
        what="filelists is in repomd.xml but not on the server",
        make=two(hrefs={"filelists": "repodata/gone.xml.gz"}),
        expect=Expect(code="fetch-failed", words=("gone.xml.gz", "404")),
        manner=lambda server, asked: Reply(status=404) if "gone" in asked.path else None,
        on_disk=False,
    ),
    Shape(
        name="package-missing-on-the-server",
        what="a package is not on the server",
        make=two(package_paths={ANT.location: "elsewhere.rpm"}),
        expect=Expect(
            code="fetch-failed",
            words=("1 of 2 packages",),
            told=("Packages/ant-1.0-1.noarch.rpm",),
            unlike_dnf=_WHOLE,
        ),
        on_disk=False,
    ),
    Shape(
        name="package-of-other-bytes",
        what="a package's bytes differ from the metadata",
        make=two(damage={"ant": lambda body: body[:-1] + b"x"}),
        expect=Expect(
            code="fetch-failed",
            words=("1 of 2 packages",),
            told=("Packages/ant-1.0-1.noarch.rpm",),
            unlike_dnf=_WHOLE,
        ),
        on_disk=False,
    ),
    Shape(
        name="package-cut-off",
        what="a package is shorter than the metadata says",
        make=two(damage={"ant": lambda body: body[:-100]}),
        expect=Expect(
            code="fetch-failed", words=("1 of 2 packages",), told=("Packages/ant-1.0-1.noarch.rpm",), unlike_dnf=_WHOLE
        ),
        on_disk=False,
    ),
    Shape(
        name="package-longer",
        what="a package is longer than the metadata says",
        make=two(damage={"ant": lambda body: body + b"more"}),
        expect=Expect(
            code="fetch-failed", words=("1 of 2 packages",), told=("Packages/ant-1.0-1.noarch.rpm",), unlike_dnf=_WHOLE
        ),
        on_disk=False,
    ),
)
