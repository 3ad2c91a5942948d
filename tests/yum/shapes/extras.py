"""What repositories have besides packages: comps, modules, vendors' metadata, trees, signatures."""

import hashlib

from tests.support.repositories import Group, Repository
from tests.yum.shapes.shape import ANT, BEE, BOTH, Expect, Shape, two

MODULES = b"""---
document: modulemd
version: 2
data:
  name: zoo
  stream: "1"
  version: 20200101
  context: deadbeef
  arch: x86_64
  summary: s
  description: d
  license: {module: [MIT]}
  artifacts: {rpms: ["ant-0:1.0-1.noarch"]}
...
---
document: modulemd-defaults
version: 1
data: {module: zoo, stream: "1", profiles: {"1": [default]}}
...
"""
_GROUPS = [Group(id="zoo", packages=("ant", "bee")), Group(id="empty")]
_TREE = {
    "images/boot.iso": b"boot" * 100,
    "images/pxeboot/vmlinuz": b"kernel" * 100,
    "images/pxeboot/initrd.img": b"initrd" * 100,
}


def _sum(path: str) -> str:
    return hashlib.sha256(_TREE[path]).hexdigest()


def treeinfo(*, checksums: bool = True, kernel: str = "images/pxeboot/vmlinuz", more: str = "") -> bytes:
    """A .treeinfo as productmd writes it, which includes the older form as well."""
    sums = "".join(f"{path} = sha256:{_sum(path)}\n" for path in _TREE) if checksums else ""
    return (
        "[header]\ntype = productmd.treeinfo\nversion = 1.2\n\n"
        f"[checksums]\n{sums}{more}\n"
        f"[images-x86_64]\nboot.iso = images/boot.iso\nkernel = {kernel}\ninitrd = images/pxeboot/initrd.img\n\n"
        "[release]\nname = Zoo\nshort = Zoo\nversion = 1\n\n"
        "[tree]\narch = x86_64\nbuild_timestamp = 1354000000\nplatforms = x86_64\nvariants = Zoo\n\n"
        "[variant-Zoo]\nid = Zoo\nname = Zoo\npackages = Packages\nrepository = .\ntype = variant\nuid = Zoo\n\n"
        "[general]\narch = x86_64\nfamily = Zoo\nname = Zoo 1\nplatforms = x86_64\ntimestamp = 1354000000\nversion = 1\n"
    ).encode()


OLD_TREEINFO = (
    b"[general]\nfamily = Zoo\ntimestamp = 1354000000.12\nversion = 5\narch = x86_64\n\n"
    b"[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\nboot.iso = images/boot.iso\n"
)


def _comps(name: str, what: str, kind: str, compression: str, unlike: str = "") -> Shape:
    made = Repository(rpms=[ANT], groups=_GROUPS).documents()["group"]
    return Shape(
        name=name,
        what=what,
        make=two(extra={kind: made}, compressions={kind: compression}),
        expect=Expect(result={"package_groups": 2}, unlike_details=unlike),
    )


def _vendor(kind: str, what: str, content: bytes, compression: str = "gz") -> Shape:
    return Shape(name=f"vendor-{kind}", what=what, make=two(extra={kind: content}, compressions={kind: compression}))


def _dropped(kind: str, what: str) -> Shape:
    return Shape(
        name=f"dropped-{kind}",
        what=what,
        make=two(extra={kind: b"<any/>"}),
        expect=Expect(dropped=(kind,)),
    )


def _tree(name: str, what: str, text: bytes, expect: Expect, path: str = ".treeinfo", **files: bytes) -> Shape:
    return Shape(name=name, what=what, make=two(files={path: text, **_TREE, **files}), expect=expect)


COMPS = (
    _comps("comps-plain", "comps as it is", "group", ""),
    _comps("comps-gz", "comps as group_gz alone", "group_gz", "gz"),
    _comps("comps-xz", "comps as group_xz alone", "group_xz", "xz", "dnf does not know this form"),
    _comps("comps-zst", "comps as group_zst alone", "group_zst", "zst", "dnf does not know this form"),
    _comps("comps-packed-group", "comps of the type group, packed", "group", "gz"),
    Shape(
        name="comps-twice",
        what="comps as it is, and as group_gz",
        make=lambda url: Repository(
            rpms=[ANT, BEE],
            groups=_GROUPS,
            extra={"group_gz": Repository(rpms=[ANT], groups=_GROUPS).documents()["group"]},
        ),
        expect=Expect(result={"package_groups": 2}),
    ),
    Shape(
        name="comps-without-groups",
        what="comps without a group",
        make=two(extra={"group": b'<?xml version="1.0"?>\n<comps>\n</comps>\n'}),
        expect=Expect(result={"package_groups": 0}),
    ),
    Shape(
        name="comps-no-xml",
        what="comps that is not XML",
        make=two(extra={"group": b"no groups today"}),
        expect=Expect(packages=BOTH, notes=("group metadata",), dropped=("group",)),
    ),
)

CARRIED = (
    Shape(name="modules", what="modules", make=two(extra={"modules": MODULES}), expect=Expect(packages=BOTH)),
    Shape(
        name="modules-zst",
        what="modules packed with zstd",
        make=two(extra={"modules": MODULES}, compressions={"modules": "zst"}),
        expect=Expect(packages=BOTH),
    ),
    Shape(
        name="modules-no-yaml",
        what="modules that are not YAML",
        make=two(extra={"modules": b"{[ no yaml"}),
        expect=Expect(packages=BOTH, unlike_dnf="dnf crashes; ours publishes them unchanged"),
    ),
    _vendor(
        "productid", "a product's certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""
    ),
    _vendor("susedata", "SUSE's data of packages", b"<susedata/>"),
    _vendor("appstream", "appstream's components", b"<components/>"),
    _vendor("appstream-icons", "appstream's icons", bytes(range(256)) * 10),
    _vendor("zoo_of.tomorrow", "metadata of an unknown type", b"\x00\x01tomorrow"),
    Shape(
        name="type-that-is-a-path",
        what="metadata whose type is a path",
        make=two(extra={"../../../tmp/x": b"<any/>"}, hrefs={"../../../tmp/x": "repodata/x.xml.gz"}),
    ),
    _dropped("primary_db", "a database of the packages"),
    _dropped("filelists_db", "a database of the files"),
    _dropped("other_db", "a database of the changelogs"),
    _dropped("primary_zck", "metadata in zchunk's form"),
    _dropped("prestodelta", "deltas of packages"),
    _dropped("deltainfo", "SUSE's deltas of packages"),
)

TREES = (
    _tree(
        "treeinfo",
        "a .treeinfo, with checksums",
        treeinfo(),
        Expect(result={"tree_files": 3}, published=(".treeinfo", *_TREE)),
    ),
    _tree(
        "treeinfo-without-dot",
        "the same, named treeinfo",
        treeinfo(),
        Expect(result={"tree_files": 3}, published=("treeinfo", *_TREE)),
        path="treeinfo",
    ),
    _tree(
        "treeinfo-without-checksums",
        "a .treeinfo without checksums",
        treeinfo(checksums=False),
        Expect(result={"tree_files": 3}, published=(".treeinfo", *_TREE)),
    ),
    _tree(
        "treeinfo-old",
        "a .treeinfo in the format of EL 5",
        OLD_TREEINFO,
        Expect(result={"tree_files": 3}, published=(".treeinfo", *_TREE)),
    ),
    _tree(
        "treeinfo-checksum-wrong",
        "a file of the tree differs from .treeinfo",
        treeinfo().replace(_sum("images/boot.iso").encode(), b"0" * 64),
        Expect(
            code="fetch-failed",
            words=("1 of 3 files of the installable tree",),
            told=("images/boot.iso",),
            unlike_dnf="dnf does not look at trees",
        ),
    ),
    _tree(
        "treeinfo-file-missing",
        "a file of the tree is not on the server",
        treeinfo(more=f"images/gone.img = sha256:{'0' * 64}\n"),
        Expect(result={"tree_files": 3}, notes=("images/gone.img",), published=(".treeinfo", *_TREE)),
    ),
    _tree(
        "treeinfo-outside",
        "a .treeinfo that names a file outside of the repository",
        treeinfo(more=f"../../../etc/TOP-SECRET = sha256:{'0' * 64}\n"),
        Expect(result={"tree_files": 0}, notes=("installable tree",), untold=("TOP-SECRET",)),
    ),
    _tree(
        "treeinfo-none",
        "a .treeinfo that is not one",
        b"<html>TOP-SECRET</html>",
        Expect(notes=("installable tree",), untold=("TOP-SECRET",), result={"tree_files": 0}),
    ),
)

SIGNED = (
    Shape(
        name="signed-mirrored",
        what="a signature and a key beside repomd.xml, with metadata kept as it is",
        make=two(
            files={"repodata/repomd.xml.asc": b"-----BEGIN PGP SIGNATURE-----\n", "repodata/repomd.xml.key": b"key"}
        ),
        expect=Expect(published=("repodata/repomd.xml", "repodata/repomd.xml.asc", "repodata/repomd.xml.key")),
        publish_options={"metadata": "mirror"},
    ),
)

SHAPES = (*COMPS, *CARRIED, *TREES, *SIGNED)
