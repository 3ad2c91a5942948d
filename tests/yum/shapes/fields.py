"""Fields of packages, changelogs and advisories that are unusual, missing or wrong."""

from tests.support.repositories import Advisory, Changelog, Dependency, Rpm
from tests.yum.shapes.shape import ANT, BEE, BOTH, Expect, Shape, one, swap, two

_BAD = "bad-repository"
_TIME = '<time file="1354000000" build="1354000000"/>'
_SIZE = ' installed="500" archive="800"/>'


def _primary(name: str, what: str, old: str, new: str, expect: Expect | None = None, times: int = 1) -> Shape:
    return Shape(name=name, what=what, make=two(edits={"primary": swap(old, new, times)}), expect=expect or Expect())


def _advised(name: str, what: str, old: str, new: str, expect: Expect | None = None) -> Shape:
    """The first of two advisories is odd; the second one is fine."""
    advisories = [Advisory(id="A-1", packages=(ANT,)), Advisory(id="A-2", packages=(BEE,))]
    edits = {"updateinfo": swap(old, new, 1)}
    return Shape(name=name, what=what, make=two(advisories=advisories, edits=edits), expect=expect or Expect())


def _changelog(name: str, what: str, old: str, new: str | bytes, expect: Expect | None = None) -> Shape:
    return Shape(name=name, what=what, make=two(edits={"other": swap(old, new, 1)}), expect=expect or Expect())


PACKAGES = (
    _primary("time-float", "times with a fraction", _TIME, '<time file="1354000000.5" build="1354000000.5"/>'),
    _primary("time-negative", "negative times", _TIME, '<time file="-1" build="-1"/>'),
    _primary("time-no-number", "times that are not numbers", _TIME, '<time file="now" build=""/>'),
    _primary("time-missing", "no times", _TIME, ""),
    _primary("time-huge", "times beyond the range of any clock", _TIME, f'<time file="{10**30}" build="{10**18}"/>'),
    _primary("size-without-archive", "no size of the archive", ' archive="800"/>', "/>"),
    _primary("size-without-installed", "no installed size", _SIZE, "/>"),
    _primary("size-installed-negative", "a negative installed size", ' installed="500"', ' installed="-5"'),
    _primary("size-installed-float", "an installed size with a fraction", ' installed="500"', ' installed="5.5"'),
    _primary(
        "size-missing",
        "no size at all",
        f'<size package="{len(ANT.content)}" installed="500" archive="800"/>',
        "",
        Expect(code=_BAD, words=(ANT.name,), unlike_dnf="the size limits the download"),
    ),
    _primary(
        "size-zero",
        "a package of zero bytes",
        f'<size package="{len(ANT.content)}"',
        '<size package="0"',
        Expect(code=_BAD, words=(ANT.name,), unlike_dnf="the size limits the download"),
    ),
    _primary("no-header-range", "no range of the header", '<rpm:header-range start="280" end="2000"/>', ""),
    _primary("no-license", "no license", "<rpm:license>Public Domain</rpm:license>", ""),
    _primary("no-summary", "no summary and no description", "<summary>A package of a test</summary>", "", times=-1),
    _primary("no-sourcerpm", "no source package", "<rpm:sourcerpm>ant-1.0-1.src.rpm</rpm:sourcerpm>", ""),
    _primary("no-type", "a package without a type", '<package type="rpm">', "<package>"),
    _primary("type-of-another-kind", "an entry that is not an rpm", '<package type="rpm">', '<package type="deb">'),
    _primary("epoch-missing", "no epoch", '<version epoch="0" ver', "<version ver"),
    _primary("epoch-empty", "an empty epoch", '<version epoch="0" ver', '<version epoch="" ver'),
    _primary(
        "epoch-none",
        "an epoch of (none)",
        '<version epoch="0" ver',
        '<version epoch="(none)" ver',
        Expect(packages=BOTH, unlike_dnf="dnf crashes; createrepo_c once wrote this for a missing epoch"),
    ),
    _primary(
        "no-name",
        "a package without a name",
        "<name>ant</name>",
        "",
        Expect(code=_BAD, unlike_dnf="a package without a name cannot be published"),
    ),
    _primary(
        "no-arch",
        "a package without an architecture",
        "<arch>noarch</arch>",
        "",
        Expect(packages=BOTH, notes=("no architecture",)),
    ),
    _primary(
        "no-version",
        "a package without a version",
        '<version epoch="0" ver="1.0" rel="1"/>',
        "",
        Expect(code=_BAD, words=(ANT.name,), unlike_dnf="a package without a version cannot be published"),
    ),
    _primary(
        "no-checksum",
        "a package without a checksum",
        f'<checksum type="sha256" pkgid="YES">{ANT.checksum}</checksum>',
        "",
        Expect(code=_BAD),
    ),
    _primary(
        "checksum-no-digest",
        "a checksum that is not one",
        f'pkgid="YES">{ANT.checksum}',
        'pkgid="YES">../../etc/passwd',
        Expect(code=_BAD, untold=("etc/passwd",)),
    ),
    _primary(
        "no-location",
        "a package without a location",
        '<location href="Packages/ant-1.0-1.noarch.rpm"/>',
        "",
        Expect(code=_BAD),
    ),
    Shape(
        name="requirement-flags",
        what="requirements with every comparison",
        make=one(
            Rpm(
                "ant",
                requires=(
                    *(Dependency("bee", flag, "1.0", "1") for flag in ("LT", "LE", "EQ", "GE", "GT")),
                    Dependency("(bee if cat)"),
                    Dependency("bee"),
                ),
            )
        ),
    ),
    _primary(
        "flags-empty",
        "a requirement with empty flags",
        "<rpm:requires>",
        '<rpm:requires><rpm:entry name="x" flags=""/>',
    ),
    _primary(
        "flags-unknown",
        "a requirement with unknown flags",
        "<rpm:requires>",
        '<rpm:requires><rpm:entry name="x" flags="SOMEHOW" epoch="0" ver="1"/>',
    ),
    _primary(
        "flags-without-version",
        "a requirement with flags and no version",
        "<rpm:requires>",
        '<rpm:requires><rpm:entry name="x" flags="GE"/>',
    ),
    _primary(
        "requirement-without-name",
        "a requirement without a name",
        "<rpm:requires>",
        '<rpm:requires><rpm:entry flags="GE" ver="1"/>',
    ),
    _primary("unknown-elements", "unknown elements", "<format>", '<zoo a="b"><c/></zoo><format>'),
    _primary(
        "comments-and-cdata",
        "comments, instructions and CDATA",
        "<description>It is small.",
        "<!-- c --><?p i?><description><![CDATA[It is <small>.]]>",
    ),
    Shape(
        name="latin-1-declared",
        what="primary in Latin-1, and it says so",
        make=two(
            edits={"primary": lambda content: content.replace(b"UTF-8", b"ISO-8859-1").replace(b"small", b"sm\xe4ll")}
        ),
    ),
    Shape(
        name="latin-1-in-primary",
        what="a Latin-1 byte in a summary",
        make=two(edits={"primary": swap(b"A package of", b"A p\xe4ckage of", 1)}),
        expect=Expect(packages=BOTH, notes=("UTF-8",), unlike_dnf="only that byte is lost"),
    ),
    Shape(
        name="latin-1-in-filelists",
        what="a Latin-1 byte in the name of a file",
        make=two(edits={"filelists": swap(b"/usr/share/ant", b"/usr/share/\xe4nt", 1)}),
        expect=Expect(notes=("UTF-8",), unlike_details="dnf loses all lists of files; only that byte is lost"),
    ),
    Shape(
        name="control-character",
        what="a control character in a summary",
        make=two(edits={"primary": swap(b"A package of", b"A \x01 package of", 1)}),
        expect=Expect(packages=BOTH, notes=("UTF-8",), unlike_dnf="only that character is lost"),
    ),
    Shape(
        name="long-texts",
        what="a description of a million characters",
        make=one(Rpm("ant", description="long " * 200_000)),
    ),
)

CHANGELOGS = (
    _changelog("changelog-date-negative", "a changelog from before 1970", 'date="1354000000"', 'date="-1"'),
    _changelog(
        "changelog-date-float", "a changelog's date with a fraction", 'date="1354000000"', 'date="1354000000.9"'
    ),
    _changelog(
        "changelog-date-no-number", "a changelog's date that is not a number", 'date="1354000000"', 'date="today"'
    ),
    _changelog("changelog-date-missing", "a changelog without a date", ' date="1354000000"', ""),
    _changelog(
        "changelog-date-huge",
        "a changelog's date beyond the range of any clock",
        'date="1354000000"',
        f'date="{10**30}"',
        Expect(notes=("no number for its date",), unlike_details="dnf takes the second before 1970, ours 1970"),
    ),
    _changelog(
        "changelog-without-author",
        "a changelog without an author",
        ' author="Ann Author &lt;ann@example.org&gt; - 1.0-1"',
        "",
        Expect(unlike_details="dnf does not show it"),
    ),
    _changelog(
        "changelog-latin-1",
        "a Latin-1 byte in a changelog",
        "- built",
        b"- b\xfcilt",
        Expect(notes=("UTF-8",), unlike_details="dnf loses all changelogs; only that byte is lost"),
    ),
    Shape(
        name="changelogs-many",
        what="three changelogs of one day, with markup and line ends",
        make=one(Rpm("ant", changelogs=tuple(Changelog(text=f"- <{text}> & more\n- again") for text in "abc"))),
    ),
)


ADVISORIES = (
    Shape(
        name="advisories",
        what="two advisories",
        make=two(advisories=[Advisory(id="A-1", packages=(ANT,)), Advisory(id="A-2", packages=(BEE,))]),
        expect=Expect(result={"errata": 2}),
    ),
    _advised("advisory-without-epoch", "a package of an advisory has no epoch", ' epoch="0" arch', " arch"),
    _advised("advisory-without-from", "an advisory does not say who issued it", ' from="security@example.org"', ""),
    _advised(
        "advisory-without-version", "an advisory has no version", ' type="security" version="1"', ' type="security"'
    ),
    _advised("advisory-without-status", "an advisory has no status", ' status="final"', ""),
    _advised("advisory-without-type", "an advisory has no type", ' type="security"', ""),
    _advised("advisory-of-unknown-type", "an advisory of an unknown type", 'type="security"', 'type="zoo"'),
    _advised("advisory-without-dates", "an advisory has no dates", '<issued date="2020-01-01 10:00:00"/>', ""),
    _advised("advisory-date-is-number", "an advisory's date in seconds", "2020-01-01 10:00:00", "1354000000"),
    _advised("advisory-date-is-text", "an advisory's date is not a date", "2020-01-01 10:00:00", "some day"),
    _advised("advisory-without-title", "an advisory has no title", "<title>An advisory</title>", ""),
    _advised("advisory-without-severity", "an advisory has no severity", "<severity>Moderate</severity>", ""),
    _advised(
        "advisory-pushcount-no-number", "a count of pushes that is not a number", "<pushcount>1<", "<pushcount>one<"
    ),
    _advised(
        "advisory-without-id",
        "an advisory has no id",
        "<id>A-1</id>",
        "",
        Expect(packages=BOTH, advisories=("A-2",), notes=("updateinfo",), unlike_dnf="dnf crashes"),
    ),
    _advised("advisory-twice", "two advisories with the same id", "<id>A-2</id>", "<id>A-1</id>"),
    _advised(
        "advisory-without-pkglist",
        "an advisory with an empty list",
        '<collection short="c"><name>c</name>',
        "<collection>",
    ),
    _advised(
        "advisory-package-without-version",
        "a package of an advisory has no version",
        ' version="1.0" release="1"',
        "",
        Expect(unlike_details="dnf does not find the advisory by its package"),
    ),
    _advised("advisory-unknown-element", "an unknown element", "<rights>", "<zoo>z</zoo><rights>"),
    _advised(
        "advisory-of-a-module",
        "an advisory for a module",
        "<name>c</name>",
        '<name>c</name><module name="zoo" stream="1" version="1" context="c" arch="noarch"/>',
        Expect(unlike_details="dnf shows it where the module is enabled"),
    ),
    _advised(
        "advisory-reboot",
        "an advisory that suggests a reboot in three forms",
        "</filename>",
        "</filename><reboot_suggested>True</reboot_suggested><restart_suggested>1</restart_suggested>"
        "<relogin_suggested/>",
    ),
    Shape(
        name="advisory-latin-1",
        what="a Latin-1 byte in an advisory",
        make=two(
            advisories=[Advisory(id="A-1", packages=(ANT,)), Advisory(id="A-2", packages=(BEE,))],
            edits={"updateinfo": swap(b"It mends", b"It m\xe4nds", 1)},
        ),
        expect=Expect(packages=BOTH, notes=("A-1",), unlike_details="dnf loses all advisories; only that byte is lost"),
    ),
    Shape(
        name="updateinfo-not-closed",
        what="updateinfo ends after its first advisory",
        make=two(
            advisories=[Advisory(id="A-1", packages=(ANT,)), Advisory(id="A-2", packages=(BEE,))],
            edits={"updateinfo": lambda content: content[: content.rindex(b"<update ")]},
        ),
        expect=Expect(code=_BAD, words=("updateinfo",), unlike_dnf="dnf continues with what it has read"),
    ),
    Shape(
        name="updateinfo-empty",
        what="an updateinfo without advisories",
        make=two(extra={"updateinfo": b'<?xml version="1.0" encoding="UTF-8"?>\n<updates/>\n'}),
        expect=Expect(result={"errata": 0}),
    ),
)

SHAPES = (*PACKAGES, *CHANGELOGS, *ADVISORIES)
