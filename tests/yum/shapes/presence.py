"""Which documents exist, what they list, and in what order."""

from tests.support.repositories import Repository, Rpm
from tests.yum.shapes.shape import ANT, BEE, BOTH, CAT, Expect, Shape, cut, doubled, one, swap, two

_CUT_OFF = "dnf continues with what it has read; a mirror would lack files"
_NO_COUNT = swap(' packages="2"', "")

SHAPES = (
    Shape(name="plain", what="two packages, as createrepo_c writes them", make=two(), expect=Expect(packages=BOTH)),
    Shape(
        name="nothing",
        what="no packages at all",
        make=lambda url: Repository(),
        expect=Expect(packages=()),
    ),
    Shape(
        name="filelists-and-other-empty",
        what="filelists and other list no package",
        make=two(listed={"filelists": [], "other": []}),
    ),
    Shape(name="filelists-empty", what="filelists lists no package", make=two(listed={"filelists": []})),
    Shape(name="other-empty", what="other lists no package", make=two(listed={"other": []})),
    Shape(name="no-filelists", what="no filelists", make=two(without=frozenset({"filelists"}))),
    Shape(name="no-other", what="no other", make=two(without=frozenset({"other"}))),
    Shape(name="only-primary", what="primary alone", make=two(without=frozenset({"filelists", "other"}))),
    Shape(
        name="filelists-in-other-order",
        what="filelists lists the packages in another order",
        make=lambda url: Repository(rpms=[ANT, BEE, CAT], listed={"filelists": [BEE, CAT, ANT]}),
    ),
    Shape(
        name="other-in-other-order",
        what="other lists the packages in another order",
        make=lambda url: Repository(rpms=[ANT, BEE, CAT], listed={"other": [CAT, ANT, BEE]}),
    ),
    Shape(
        name="three-orders",
        what="each document has a different order",
        make=lambda url: Repository(
            rpms=[ANT, BEE, CAT], listed={"filelists": [BEE, CAT, ANT], "other": [CAT, BEE, ANT]}
        ),
    ),
    Shape(
        name="filelists-has-one-less",
        what="filelists lacks a package",
        make=two(listed={"filelists": [BEE]}),
    ),
    Shape(
        name="filelists-has-one-more",
        what="filelists lists a package that primary does not",
        make=lambda url: Repository(rpms=[ANT, BEE], listed={"filelists": [CAT, ANT, BEE]}),
    ),
    Shape(
        name="filelists-of-others",
        what="filelists and other list other packages only",
        make=lambda url: Repository(rpms=[ANT, BEE], listed={"filelists": [CAT], "other": [CAT]}),
    ),
    Shape(
        name="no-packages-attribute",
        what="no document states its number of packages",
        make=two(edits=dict.fromkeys(("primary", "filelists", "other"), _NO_COUNT)),
    ),
    Shape(
        name="primary-without-packages-attribute",
        what="primary does not state its number of packages",
        make=two(edits={"primary": _NO_COUNT}),
    ),
    Shape(
        name="packages-attribute-is-no-number",
        what="the number of packages is not a number",
        make=two(edits={"primary": swap('packages="2"', 'packages="lots"')}),
    ),
    Shape(
        name="fewer-packages-than-told",
        what="primary states five packages and has two",
        make=two(edits={"primary": swap('packages="2"', 'packages="5"')}),
        expect=Expect(
            code="bad-repository",
            words=("primary", "5", "2"),
            unlike_dnf="a sync never succeeds with less than the metadata promises",
        ),
    ),
    Shape(
        name="more-packages-than-told",
        what="primary states one package and has two",
        make=two(edits={"primary": swap('packages="2"', 'packages="1"')}),
    ),
    Shape(
        name="primary-not-closed",
        what="primary ends before its root element does",
        make=two(edits={"primary": cut("</metadata>")}),
        expect=Expect(code="bad-repository", words=("primary",)),
    ),
    Shape(
        name="primary-ends-amid-a-package",
        what="primary ends in the middle of a package",
        make=two(edits={"primary": cut("<format>")}),
        expect=Expect(code="bad-repository", words=("primary",)),
    ),
    Shape(
        name="filelists-not-closed",
        what="filelists ends before its root element does",
        make=two(edits={"filelists": cut("</filelists>")}),
        expect=Expect(code="bad-repository", words=("filelists",), unlike_dnf=_CUT_OFF),
    ),
    Shape(
        name="filelists-ends-amid-a-package",
        what="filelists ends after its first package",
        make=two(edits={"filelists": cut("<package")}),
        expect=Expect(code="bad-repository", words=("filelists",), unlike_dnf=_CUT_OFF),
    ),
    Shape(
        name="other-not-closed",
        what="other ends before its root element does",
        make=two(edits={"other": cut("</otherdata>")}),
        expect=Expect(code="bad-repository", words=("other",), unlike_dnf=_CUT_OFF),
    ),
    Shape(
        name="primary-is-empty",
        what="primary is empty",
        make=two(edits={"primary": lambda content: b""}),
        expect=Expect(code="bad-repository", words=("primary",)),
    ),
    Shape(
        name="primary-is-html",
        what="primary is a web page",
        make=two(edits={"primary": lambda content: b"<html><body>TOP-SECRET</body></html>"}),
        expect=Expect(
            code="bad-repository",
            words=("primary",),
            untold=("TOP-SECRET",),
            unlike_dnf="dnf reads it as an empty repository",
        ),
    ),
    Shape(
        name="a-package-twice",
        what="primary lists a package twice",
        make=lambda url: Repository(rpms=[ANT, BEE, ANT]),
        expect=Expect(unlike_details="dnf loses the files and changelogs of the package"),
    ),
    Shape(
        name="a-package-at-two-places",
        what="primary lists a package at two hrefs",
        make=lambda url: Repository(rpms=[ANT, BEE, Rpm("ant", href="Other/ant.rpm")]),
        expect=Expect(unlike_details="dnf loses the files and changelogs of the package"),
    ),
    Shape(
        name="twins",
        what="two packages with the same name and version but different bytes",
        make=lambda url: Repository(rpms=[ANT, Rpm("ant", build="another", href="Other/ant-1.0-1.noarch.rpm"), BEE]),
        expect=Expect(result={"packages": 3}),
    ),
    Shape(
        name="twins-of-one-file-name",
        what="two packages whose files have the same name in two folders",
        make=lambda url: Repository(
            rpms=[Rpm("ant", href="a/same.rpm"), Rpm("bee", href="b/same.rpm"), Rpm("cat", href="c/same.rpm")]
        ),
    ),
    Shape(
        name="epochs",
        what="one version with three epochs",
        make=lambda url: Repository(
            rpms=[
                Rpm("ant", epoch=epoch, build=epoch, href=f"{epoch}/ant-1.0-1.noarch.rpm") for epoch in ("0", "1", "2")
            ]
        ),
    ),
    Shape(
        name="many-versions",
        what="eleven versions of a package",
        make=lambda url: Repository(rpms=[Rpm("ant", version=f"1.{minor}~rc1^git") for minor in range(11)]),
    ),
    Shape(
        name="architectures",
        what="noarch, i686, x86_64 and source packages",
        make=lambda url: Repository(rpms=[Rpm("ant", arch=arch) for arch in ("noarch", "i686", "x86_64", "src")]),
    ),
    Shape(
        name="other-architecture",
        what="a package for another processor",
        make=one(Rpm("ant", arch="s390x")),
        expect=Expect(packages=("ant-0:1.0-1.s390x", BEE.nevra)),
    ),
    Shape(
        name="folders-and-ghosts",
        what="files, folders and ghosts; names with blanks, umlauts and markup",
        make=one(
            Rpm(
                "ant",
                files=("/etc/ant.conf", "/usr/bin/ant", "/usr/share/a b/ä<&>'\""),
                folders=("/usr/share/a b",),
                ghosts=("/var/log/ant",),
            )
        ),
    ),
    Shape(name="no-files", what="a package without files", make=one(Rpm("ant", files=(), changelogs=()))),
    Shape(
        name="filelists-ext",
        what="filelists of the extended form beside the usual one",
        make=two(
            extra={
                "filelists-ext": b'<?xml version="1.0"?><filelists-ext'
                b' xmlns="http://linux.duke.edu/metadata/filelists-ext" packages="0"></filelists-ext>'
            }
        ),
    ),
    Shape(
        name="primary-twice-in-repomd",
        what="repomd.xml names primary twice",
        make=two(edits={"repomd": doubled("primary")}),
    ),
)
