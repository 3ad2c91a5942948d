"""`.treeinfo`, in its old form and that of productmd."""

import pytest
from pulp_operations.reading import read_treeinfo
from pulp_operations.records import TreeFile
from pulp_worker import OperationError

SUM = "ab" * 32
PRODUCTMD = f"""\
[checksums]
images/boot.iso = sha256:{SUM}
images/pxeboot/vmlinuz = SHA256:{SUM.upper()}
repodata/repomd.xml = sha256:{SUM}

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
arch = x86_64
family = Zoo
packagedir = Packages
repository = .
variant = BaseOS

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
boot.iso = images/boot.iso
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[images-xen]
initrd = images/pxeboot/initrd.img

[stage2]
mainimage = images/install.img

[tree]
arch = x86_64
platforms = x86_64,xen
variants = AppStream,BaseOS

[variant-AppStream]
id = AppStream
packages = ../../../AppStream/x86_64/os/Packages
repository = ../../../AppStream/x86_64/os/
"""
OLD = f"""\
[general]
family = Zoo
timestamp = 1354000000.5
variant =
version = 5
packagedir = Server

[stage2]
instimage = images/minstg2.img
mainimage = images/stage2.img

[images-i386]
kernel = images/pxeboot/vmlinuz

[checksums]
images/Boot.ISO = sha:{SUM[:40]}
./images/stage2.img = md5:{SUM[:32]}
"""


def test_the_form_of_productmd() -> None:
    assert read_treeinfo(PRODUCTMD.encode()) == [
        TreeFile(path="images/boot.iso", algorithm="sha256", checksum=SUM),
        TreeFile(path="images/install.img"),
        TreeFile(path="images/pxeboot/initrd.img"),
        TreeFile(path="images/pxeboot/vmlinuz", algorithm="sha256", checksum=SUM),
    ]


def test_the_old_form() -> None:
    assert read_treeinfo(b"\xef\xbb\xbf" + OLD.encode()) == [
        TreeFile(path="images/Boot.ISO", algorithm="sha1", checksum=SUM[:40]),
        TreeFile(path="images/minstg2.img"),
        TreeFile(path="images/pxeboot/vmlinuz"),
        TreeFile(path="images/stage2.img", algorithm="md5", checksum=SUM[:32]),
    ]


def test_a_tree_without_files() -> None:
    assert read_treeinfo(b"[general]\nfamily = Zoo\n") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has neither [general] nor [tree]"),
        (b"<html>Not found</html>", "not an INI file"),
        (b"[general]\nfamily = \xff", "not an INI file"),
        (b"[general]\n[checksums]\nimages/x = 12", "its checksum type is none"),
        (b"[general]\n[checksums]\nimages/x = sha256:12", "its checksum is invalid"),
        (b"[general]\n[images-x86_64]\nkernel = ../../etc/passwd", "not in the tree"),
        (b"[general]\n[images-x86_64]\nkernel = a/../../x", "not in the tree"),
        (b"[general]\n[stage2]\nmainimage = /etc/passwd", "not in the tree"),
        (b"[general]\n[stage2]\nmainimage = .", "not in the tree"),
        (b"[general]\n[stage2]\nmainimage = a\\b", "not in the tree"),
        (b"[general]\n[stage2]\nmainimage = " + b"x" * 300, "not in the tree"),
        (b"[general]\n[stage2]\nmainimage = images\ninstimage = images/boot.iso", "the folder of another file"),
        (b"[general]\n[stage2]\n" + b"".join(b"a%d = x%d\n" % (n, n) for n in range(10_001)), "over 10000 files"),
    ],
)
def test_what_is_no_description_of_a_tree(content: bytes, words: str) -> None:
    with pytest.raises(OperationError) as raised:
        read_treeinfo(content)
    assert (raised.value.code, words in raised.value.description) == ("bad-repository", True), raised.value.description


@pytest.mark.parametrize(
    "path", ["repodata", "repodata/repomd.xml", "./repodata/x", "Packages", "Packages/ant.rpm", ".treeinfo", "treeinfo"]
)
def test_no_file_of_a_tree_takes_the_place_of_what_a_publication_has_itself(path: str) -> None:
    tree = (
        f"[general]\n[images-x86_64]\nkernel = {path}\ninitrd = images/initrd.img\n[checksums]\n{path} = sha256:{SUM}\n"
    )
    assert [file.path for file in read_treeinfo(tree.encode())] == ["images/initrd.img"]
