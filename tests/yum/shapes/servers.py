"""repomd.xml in odd forms, and the habits of servers."""

from tests.support.repositories import Repository
from tests.support.repositories.serving import Asked, Reply, RepositoryServer, busy, changes, resets
from tests.yum.shapes.shape import ANT, BEE, BOTH, CAT, Expect, Shape, cut, swap, then, two

_BAD = "bad-repository"
_REPO = ' xmlns="http://linux.duke.edu/metadata/repo"'
_RPMS = r"\.rpm$"


def _repomd(name: str, what: str, edit: object, expect: Expect | None = None) -> Shape:
    return Shape(name=name, what=what, make=two(edits={"repomd": edit}), expect=expect or Expect())


def _web_page(server: RepositoryServer, asked: Asked) -> Reply:
    return Reply(body=b"<html><body>TOP-SECRET</body></html>")


def _not_found(server: RepositoryServer, asked: Asked) -> Reply:
    return Reply(status=404, body=b"TOP-SECRET")


_AFTER = Repository(rpms=[ANT, BEE, CAT]).tree()

REPOMD = (
    _repomd("repomd-without-namespace", "repomd.xml without a namespace", swap(_REPO, "")),
    _repomd(
        "repomd-with-prefix",
        "repomd.xml with a prefix for its namespace",
        then(
            swap("xmlns=", "xmlns:r="),
            *(swap(f"<{tag}", f"<r:{tag}") for tag in ("repomd", "revision", "data", "checksum", "open-checksum")),
            *(swap(f"<{tag}", f"<r:{tag}") for tag in ("location", "timestamp", "size", "open-size")),
            *(swap(f"</{tag}", f"</r:{tag}") for tag in ("repomd", "revision", "data", "checksum", "open-checksum")),
            *(swap(f"</{tag}", f"</r:{tag}") for tag in ("timestamp", "size", "open-size")),
        ),
        Expect(packages=BOTH, unlike_dnf="it is the same document; dnf does not support prefixes"),
    ),
    Shape(
        name="primary-with-other-prefix",
        what="primary with another prefix for rpm's namespace",
        make=two(edits={"primary": then(swap("xmlns:rpm", "xmlns:r"), swap("<rpm:", "<r:"), swap("</rpm:", "</r:"))}),
    ),
    Shape(
        name="primary-with-prefix",
        what="primary with a prefix for its own namespace",
        make=two(
            edits={
                "primary": then(
                    swap("xmlns=", "xmlns:c="),
                    lambda content: content.replace(b"<rpm:", b"\0").replace(b"</rpm:", b"\1"),
                    lambda content: content.replace(b"</", b"\2").replace(b"<?", b"\3").replace(b"<", b"<c:"),
                    lambda content: content.replace(b"\2", b"</c:").replace(b"\3", b"<?"),
                    lambda content: content.replace(b"\0", b"<rpm:").replace(b"\1", b"</rpm:"),
                )
            }
        ),
        expect=Expect(packages=BOTH, unlike_dnf="it is the same document; dnf finds no package in it"),
    ),
    Shape(
        name="primary-without-namespace",
        what="only repomd.xml has a namespace",
        make=two(
            edits={
                "primary": swap(' xmlns="http://linux.duke.edu/metadata/common"', ""),
                "filelists": swap(' xmlns="http://linux.duke.edu/metadata/filelists"', ""),
                "other": swap(' xmlns="http://linux.duke.edu/metadata/other"', ""),
            }
        ),
    ),
    _repomd("repomd-without-revision", "repomd.xml without a revision", swap("<revision>1354000000</revision>", "")),
    _repomd(
        "repomd-with-tags",
        "repomd.xml with tags",
        swap("</revision>", "</revision><tags><content>c</content><distro cpeid='x'>d</distro></tags>"),
    ),
    _repomd("repomd-with-mark", "repomd.xml with a byte order mark", lambda content: b"\xef\xbb\xbf" + content),
    _repomd(
        "repomd-with-doctype",
        "repomd.xml with a document type",
        swap("?>\n", "?>\n<!DOCTYPE repomd>\n"),
        Expect(code=_BAD, unlike_dnf="a document type declaration is refused"),
    ),
    _repomd(
        "repomd-without-primary",
        "repomd.xml without primary",
        swap('type="primary"', 'type="zoo"'),
        Expect(code=_BAD, words=("primary",)),
    ),
    _repomd("repomd-empty", "an empty repomd.xml", lambda content: b"", Expect(code=_BAD, words=("repomd.xml",))),
    _repomd("repomd-not-closed", "repomd.xml is cut off", cut("</repomd>"), Expect(code=_BAD, words=("repomd.xml",))),
    _repomd(
        "repomd-timestamp-odd", "timestamps that are not numbers", swap("<timestamp>1354000000<", "<timestamp>today<")
    ),
    _repomd("repomd-timestamp-missing", "no timestamps", swap("<timestamp>1354000000</timestamp>", "")),
    _repomd(
        "repomd-entry-without-location",
        "an entry of an unknown type without location",
        swap("</repomd>", '<data type="zoo"><checksum type="sha256">00</checksum></data></repomd>'),
        Expect(packages=BOTH, notes=("no location",), unlike_dnf="an entry that no client needs is left out"),
    ),
)

SERVERS = (
    Shape(
        name="server-busy-429",
        what="429 with Retry-After before each package",
        make=two(),
        manner=busy(_RPMS, times=1, status=429, retry_after_s=1),
        on_disk=False,
    ),
    Shape(
        name="server-busy-503",
        what="503 before each file",
        make=two(),
        manner=busy(".", times=1, status=503, retry_after_s=0),
        on_disk=False,
    ),
    Shape(
        name="server-resets-once",
        what="the connection is reset in the middle of each package",
        make=two(),
        manner=resets(_RPMS, times=1, part_bytes=2000),
        on_disk=False,
    ),
    Shape(
        name="server-resets-often",
        what="the connection is reset after each 1,000 bytes of a package",
        make=two(),
        manner=resets(_RPMS, times=100, part_bytes=1000),
        expect=Expect(packages=BOTH, unlike_dnf="progress counts, not the number of attempts; dnf gives up"),
        on_disk=False,
    ),
    Shape(
        name="server-without-repository",
        what="a server that has nothing",
        make=two(),
        manner=_not_found,
        expect=Expect(code="fetch-failed", words=("404",), untold=("TOP-SECRET",)),
        on_disk=False,
    ),
    Shape(
        name="server-shows-a-page",
        what="a server that answers everything with a web page",
        make=two(),
        manner=_web_page,
        expect=Expect(code=_BAD, words=("repomd.xml",), untold=("TOP-SECRET",)),
        on_disk=False,
    ),
    Shape(
        name="changed-meanwhile",
        what="the repository changes after repomd.xml was read",
        make=two(),
        manner=changes(_AFTER),
        expect=Expect(packages=(*BOTH, CAT.nevra), unlike_dnf="a sync starts over; dnf fails and is run again"),
        on_disk=False,
    ),
)

SHAPES = (*REPOMD, *SERVERS)
