"""The places of metadata and packages, and how the feed names the repository."""

from tests.support.repositories import Repository, Rpm
from tests.support.repositories.model import digest
from tests.support.repositories.serving import Manner, moved, plus_is_a_blank, wants_query
from tests.support.repositories.writing import packed
from tests.yum.shapes.shape import ANT, BEE, BOTH, Expect, Shape

_BAD = "bad-repository"
_TRIED = Expect(packages=BOTH, unlike_dnf="dnf tries one interpretation; ours tries the other as well")
_UNREAD = Expect(unlike_details="dnf does not read the lists of files: their name does not say how they are packed")
_CRASH = Expect(packages=BOTH, unlike_dnf="dnf crashes: it keeps the file under that name")
_STRAY = "blobstore/" + "a" * 64 + "/ant-1.0-1.noarch.rpm"


def _at(name: str, what: str, href: str, path: str, expect: Expect | None = None, *, folder: str = "") -> Shape:
    """Package ant is at the path in the server's tree, and the metadata gives its href."""
    return Shape(
        name=name,
        what=what,
        make=lambda url: Repository(rpms=[Rpm("ant", href=href), BEE], package_paths={href: path}, folder=folder),
        feed=folder,
        expect=expect or Expect(),
        on_disk=not folder,
    )


def _named(
    name: str,
    what: str,
    href: str,
    path: str | None = None,
    manner: Manner | None = None,
    expect: Expect | None = None,
) -> Shape:
    """Package ant's file has an odd name."""
    return Shape(
        name=name,
        what=what,
        make=lambda url: Repository(rpms=[Rpm("ant", href=href), BEE], package_paths={href: path or href}),
        manner=manner,
        expect=expect or Expect(),
    )


def _based(name: str, what: str, base: str, path: str, expect: Expect | None = None) -> Shape:
    """Package ant has an xml:base, in which {url} stands for the server's URL."""

    def make(url: str) -> Repository:
        rpm = Rpm("ant", href="ant.rpm", base_url=base.format(url=url))
        return Repository(rpms=[rpm, BEE], package_paths={"ant.rpm": path}, folder="zoo/")

    return Shape(name=name, what=what, make=make, feed="zoo/", on_disk=False, expect=expect or Expect())


def _metadata_at(name: str, what: str, href: str, path: str, expect: Expect | None = None, base: str = "") -> Shape:
    """Filelists is at the path in the server's tree; {url} in href and base stands for the server's URL."""

    def make(url: str) -> Repository:
        made = Repository(
            rpms=[ANT, BEE],
            hrefs={"filelists": href.format(url=url)},
            bases={"filelists": base.format(url=url)} if base else {},
            folder="zoo/",
        )
        body = packed(made.documents()["filelists"], "gz")
        return Repository(rpms=made.rpms, hrefs=made.hrefs, bases=made.bases, folder="zoo/", files={path: body})

    return Shape(name=name, what=what, make=make, feed="zoo/", expect=expect or Expect(), on_disk=False)


def _mirrorlist(url: str, text: str) -> Repository:
    return Repository(rpms=[ANT, BEE], folder="zoo/", files={"mirrors": text.format(url=url).encode()})


def _metalink(url: str, *, first: str = "", wrong: bool = False, alternates: str = "") -> Repository:
    made = Repository(rpms=[ANT, BEE], folder="zoo/")
    repomd = made.tree()["zoo/repodata/repomd.xml"]
    checksum = digest(b"another" if wrong else repomd, "sha256")
    mirrors = (
        f'{first}<url protocol="http" type="http" location="DE" preference="90">{url}zoo/repodata/repomd.xml</url>'
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<metalink version="3.0" xmlns="http://www.metalinker.org/"'
        ' xmlns:mm0="http://fedorahosted.org/mirrormanager"><files><file name="repomd.xml">'
        f"<mm0:timestamp>1354000000</mm0:timestamp><size>{len(repomd)}</size>"
        f'<verification><hash type="sha256">{checksum}</hash></verification>{alternates}'
        f'<resources maxconnections="1">{mirrors}</resources></file></files></metalink>'
    )
    return Repository(rpms=[ANT, BEE], folder="zoo/", files={"metalink": text.encode()})


_DEAD = '<url protocol="http" type="http" location="DE" preference="100">{url}dead/repodata/repomd.xml</url>'
_RSYNC = (
    '<url protocol="rsync" type="rsync" location="DE" preference="100">rsync://127.0.0.1/zoo/repodata/repomd.xml</url>'
)

PLACES = (
    Shape(
        name="blobstore",
        what="packages at ../../../blobstore/",
        make=lambda url: Repository(
            rpms=[Rpm("ant", href=f"../../../{_STRAY}")],
            package_paths={f"../../../{_STRAY}": _STRAY},
            folder="al/guid/x86_64/",
        ),
        feed="al/guid/x86_64/",
        on_disk=False,
    ),
    _at("sibling-folder", "a package at ../pool/", "../pool/ant.rpm", "pool/ant.rpm", folder="zoo/"),
    _at("dotdot-above-the-server", "more ../ than there are folders", "../../../ant.rpm", "ant.rpm", folder="zoo/"),
    _at("absolute-path", "a package at /pool/", "/pool/ant.rpm", "pool/ant.rpm", _TRIED, folder="zoo/"),
    _at("dot-segments", "a package at ./a/../b/", "./a/../b/ant.rpm", "b/ant.rpm"),
    _at("double-slash-inside", "a package at Packages//a/", "Packages//a/ant.rpm", "Packages//a/ant.rpm"),
    _at("beside-repodata", "a package in the repository's own folder", "ant.rpm", "ant.rpm"),
    Shape(
        name="absolute-url",
        what="a package's href is a complete URL",
        make=lambda url: Repository(
            rpms=[Rpm("ant", href=f"{url}pool/ant.rpm"), BEE],
            package_paths={f"{url}pool/ant.rpm": "pool/ant.rpm"},
            folder="zoo/",
        ),
        feed="zoo/",
        on_disk=False,
    ),
    _based("base-with-slash", "a package with an xml:base", "{url}pool/", "pool/ant.rpm"),
    _based("base-without-slash", "an xml:base without a slash at its end", "{url}pool", "pool/ant.rpm"),
    _based("base-empty", "an empty xml:base", "", "zoo/ant.rpm", _TRIED),
    _metadata_at(
        "metadata-absolute-url", "metadata whose href is a complete URL", "{url}pool/f.xml.gz", "pool/f.xml.gz", _CRASH
    ),
    _metadata_at("metadata-dotdot", "metadata at ../", "../pool/f.xml.gz", "pool/f.xml.gz", _CRASH),
    _metadata_at("metadata-base", "metadata with an xml:base", "f.xml.gz", "pool/f.xml.gz", base="{url}pool/"),
    _metadata_at("metadata-base-no-slash", "the same without a slash", "f.xml.gz", "pool/f.xml.gz", base="{url}pool"),
    _metadata_at("metadata-named-as-ours", "metadata named version.json", "version.json", "zoo/version.json", _UNREAD),
    _metadata_at(
        "metadata-named-repomd",
        "metadata named repodata/repomd.xml.x",
        "repodata/repomd.xml.x",
        "zoo/repodata/repomd.xml.x",
        _UNREAD,
    ),
)

NAMES = (
    _named("name-plus", "a plus in a file's name", "Packages/ant-c++-1.0.rpm"),
    _named(
        "name-plus-object-store",
        "the same from a server that reads + as a blank",
        "Packages/ant-c++-1.0.rpm",
        manner=plus_is_a_blank,
    ),
    _named("name-tilde-caret", "tilde and caret in a file's name", "Packages/ant-1.0~rc1^git.rpm"),
    _named("name-blank", "a blank in a file's name", "Packages/ant one.rpm"),
    _named("name-umlaut", "a letter outside ASCII in a file's name", "Packages/änt.rpm"),
    _named(
        "name-percent-encoded",
        "a name that is percent-encoded",
        "Packages/ant%20one.rpm",
        "Packages/ant one.rpm",
        expect=_TRIED,
    ),
    _named("name-hash", "a # in a file's name", "Packages/ant#1.rpm"),
    _named("name-question-mark", "a ? in a file's name", "Packages/ant?1.rpm", "Packages/ant", expect=_TRIED),
    _named("name-colon", "a colon in a file's name", "ant:1.rpm"),
    _named("name-markup", "markup in a file's name", "Packages/<ant>&'1'.rpm"),
    _named("name-brackets", "brackets, commas, quotes in a file's name", "Packages/ant[1],(2)=3;@!$.rpm"),
    _named("name-long", "a name of 250 characters", f"Packages/{'a' * 246}.rpm"),
)

FEEDS = (
    Shape(
        name="feed-without-slash",
        what="a feed without a slash at its end",
        make=lambda url: Repository(rpms=[ANT, BEE], folder="a/zoo/"),
        feed="a/zoo",
        on_disk=False,
    ),
    Shape(
        name="feed-with-query",
        what="a feed with a query",
        make=lambda url: Repository(rpms=[ANT, BEE], folder="a/zoo/"),
        feed="a/zoo/?release=9&arch=x86_64",
        manner=wants_query("release=9&arch=x86_64"),
        on_disk=False,
    ),
    Shape(
        name="feed-with-query-no-slash",
        what="the same without a slash before the query",
        make=lambda url: Repository(rpms=[ANT, BEE], folder="a/zoo/"),
        feed="a/zoo?release=9&arch=x86_64",
        manner=wants_query("release=9&arch=x86_64"),
        on_disk=False,
    ),
    Shape(
        name="feed-with-token",
        what="a feed with a token in its query",
        make=lambda url: Repository(rpms=[ANT, BEE], folder="a/zoo/"),
        feed="a/zoo/?token=0123456789abcdef",
        manner=wants_query("token=0123456789abcdef"),
        expect=Expect(
            code="bad-arguments",
            untold=("0123456789abcdef",),
            unlike_dnf="arguments are kept for ever: a token belongs in a named credential",
        ),
        on_disk=False,
    ),
    Shape(
        name="feed-redirected",
        what="a server that redirects everything",
        make=lambda url: Repository(rpms=[ANT, BEE], folder="there/zoo/"),
        feed="zoo/",
        manner=moved(".", "there/"),
        on_disk=False,
    ),
    Shape(
        name="mirrorlist",
        what="a list of mirrors",
        make=lambda url: _mirrorlist(url, "{url}zoo/\n"),
        feed="mirrors",
        url_kind="mirrorlist",
        on_disk=False,
    ),
    Shape(
        name="mirrorlist-first-dead",
        what="a list whose first mirror has nothing, with comments and blank lines",
        make=lambda url: _mirrorlist(url, "# mirrors\n\n{url}dead/\n{url}zoo/\n"),
        feed="mirrors",
        url_kind="mirrorlist",
        on_disk=False,
    ),
    Shape(
        name="mirrorlist-without-slash",
        what="a mirror without a slash at its end",
        make=lambda url: _mirrorlist(url, "{url}zoo"),
        feed="mirrors",
        url_kind="mirrorlist",
        on_disk=False,
    ),
    Shape(
        name="mirrorlist-of-nothing",
        what="a list without a mirror",
        make=lambda url: _mirrorlist(url, "# sorry\n"),
        feed="mirrors",
        url_kind="mirrorlist",
        expect=Expect(code="fetch-failed"),
        on_disk=False,
    ),
    Shape(
        name="metalink",
        what="a metalink",
        make=_metalink,
        feed="metalink",
        url_kind="metalink",
        on_disk=False,
    ),
    Shape(
        name="metalink-first-dead",
        what="a metalink whose best mirror has nothing",
        make=lambda url: _metalink(url, first=_DEAD.format(url=url)),
        feed="metalink",
        url_kind="metalink",
        on_disk=False,
    ),
    Shape(
        name="metalink-rsync-first",
        what="a metalink whose best mirror is for rsync",
        make=lambda url: _metalink(url, first=_RSYNC),
        feed="metalink",
        url_kind="metalink",
        on_disk=False,
    ),
    Shape(
        name="metalink-checksum-wrong",
        what="a metalink with a wrong checksum of repomd.xml",
        make=lambda url: _metalink(url, wrong=True),
        feed="metalink",
        url_kind="metalink",
        expect=Expect(code="fetch-failed"),
        on_disk=False,
    ),
)

ELSEWHERE = tuple(
    Shape(
        name=f"package-at-{name}",
        what=f"a package at {what}",
        make=lambda url, href=href: Repository(  # type: ignore[misc]
            rpms=[Rpm("ant", href=href), BEE], package_paths={href: "unused.rpm"}
        ),
        expect=Expect(code=code, untold=("TOP-SECRET",), unlike_dnf="dnf reports it when the package is installed"),
    )
    for name, what, href, code, untold in (
        ("file-url", "a file:// URL", "file:///etc/hostname/TOP-SECRET", _BAD, ("TOP-SECRET",)),
        ("ftp-url", "an ftp:// URL", "ftp://127.0.0.1/TOP-SECRET.rpm", _BAD, ("TOP-SECRET",)),
        ("nothing", "an empty href", "", _BAD, ()),
        ("a-folder", "an href that ends with a slash", "Packages/ant/", _BAD, ()),
    )
)

SHAPES = (*PLACES, *NAMES, *FEEDS, *ELSEWHERE)
