"""Unusable packages, and odd fields, names and texts: what is corrected, and how it is reported."""

from pathlib import Path

import pytest
from pulp_worker import OperationError

from tests.support.metadata import Rpm, normalised, of, refused

ANT, BEE, CAT = Rpm("ant"), Rpm("bee", files=("/usr/bin/bee", "/etc/bee & co")), Rpm("cat", files=())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"checksum": ""}, "the package bee in primary metadata (line {line}) has no checksum"),
        ({"version": ""}, "the package bee in primary metadata (line {line}) has no version"),
        ({"version": '<version epoch="0"/>'}, "the package bee in primary metadata (line {line}) has no version"),
        ({"location": '<location href="Packages/"/>'}, "(line {line}): its location names no file"),
        ({"location": ""}, "the package bee in primary metadata (line {line}) has no location"),
        ({"location": "<location/>"}, "the package bee in primary metadata (line {line}): its location names no file"),
        ({"size": ""}, "the package bee in primary metadata (line {line}) has no size"),
        (
            {"size": '<size package="0"/>'},
            "the package bee in primary metadata (line {line}) has no size, or one that no",
        ),
        ({"name": ""}, "a package in primary metadata (line {line}) has no name"),
        ({"name": "<name>no &lt;name></name>", "size": ""}, "a package in primary metadata (line {line}) has no size"),
        ({"arch": "<name>again</name>"}, "a package in primary metadata (line {line}) has more than one name"),
        (
            {"arch": '<location href="x.rpm"/>'},
            "a package in primary metadata (line {line}) has more than one location",
        ),
        (
            {"checksum": '<checksum type="crc">00</checksum>'},
            "(line {line}): its checksum type is none of md5, sha,",
        ),
        (
            {"checksum": '<checksum type="sha256">12</checksum>'},
            "(line {line}): its checksum is invalid: sha256 has 64",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_named(tmp_path: Path, parts: dict[str, str], words: str) -> None:
    given = of(ANT, Rpm("bee", parts=parts), CAT)
    before_bee = given["primary"].split(b"<package ")[:2]
    line = b"<package ".join(before_bee).count(b"\n") + 1
    error = refused(tmp_path, given)
    assert (error.code, words.format(line=line) in error.description) == ("bad-repository", True), error.description


def test_all_packages_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    broken = [Rpm(f"p{number}", parts={"checksum": ""}) for number in range(9)]
    error = refused(tmp_path, of(ANT, *broken))
    assert error.description.count("has no checksum") == 5
    assert error.description.endswith("; and 4 more packages cannot be used")


def test_a_checksum_that_the_settings_refuse(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="the package ant in primary metadata") as raised:
        normalised(tmp_path, of(ANT), algorithms=frozenset({"sha512"}))
    assert raised.value.code == "checksum-refused"


DEPENDENCY = '<format><rpm:requires><rpm:entry name="libx" {}/></rpm:requires></format>'


@pytest.mark.parametrize(
    ("parts", "told", "field", "value"),
    [
        ({"time": '<time file="5.5" build="6"/>'}, "its time has no number for file: 5 is taken", "time_file", 5),
        ({"time": '<time file="x" build="6"/>'}, "its time has no number for file: 0 is taken", "time_file", 0),
        ({"time": '<time build="6"/>'}, "its time has no number for file: 0 is taken", "time_file", 0),
        ({"time": f'<time file="{10**30}" build="6"/>'}, "its time has no number for file: 0 is taken", "time_file", 0),
        ({"time": '<time file="-5" build="-6"/>'}, None, "time_file", -5),
        ({"time": ""}, None, "time_file", 0),
        (
            {"size": '<size package="9" installed="5"/>'},
            "its size has no number for archive: 0 is taken",
            "size_archive",
            0,
        ),
        (
            {"format": DEPENDENCY.format('flags="" epoch="0" ver="1"')},
            "an entry of its requires has empty flags: any version is taken",
            "requires",
            [("libx", None, None, None, None, False)],
        ),
        (
            {"format": DEPENDENCY.replace('name="libx"', "").format("")},
            "an entry of its requires has no name: it is left out",
            "requires",
            [],
        ),
        (
            {"version": '<version ver="1.0" rel="1"/>'},
            "its version has no epoch, or one that is not a number: 0 is used",
            "epoch",
            "0",
        ),
        (
            {"version": '<version epoch="" ver="1.0" rel="1"/>'},
            "its version has no epoch, or one that is not a number: 0 is used",
            "epoch",
            "0",
        ),
        (
            {"version": '<version epoch="(none)" ver="1.0" rel="1"/>'},
            "its version has no epoch, or one that is not a number: 0 is used",
            "epoch",
            "0",
        ),
        (
            {"format": DEPENDENCY.format('flags="EQ" epoch="(none)" ver="1"')},
            "an entry of its requires has an epoch that is not a number: it is left out",
            "requires",
            [("libx", "EQ", None, "1", None, False)],
        ),
        ({"arch": ""}, "it has no architecture: noarch is used", "arch", "noarch"),
        ({"format": ""}, None, "requires", []),
        (
            {"checksum": f'<checksum type="sha256" pkgid="YES">\n{Rpm("bee").checksum.upper()}\n</checksum>'},
            None,
            "pkgId",
            Rpm("bee").checksum,
        ),
    ],
)
def test_an_odd_field_is_mended_and_told(
    tmp_path: Path, parts: dict[str, str], told: str | None, field: str, value: object
) -> None:
    bee = Rpm("bee", parts=parts)
    made = normalised(tmp_path, of(ANT, bee, CAT))
    assert [each[field] for each in made.read() if each["name"] == "bee"] == [value]
    assert [each["files"] for each in made.read()] == [[(None, "/usr/bin/", "x")], [(None, "/usr/bin/", "x")], []]
    shown = ["bee-1.0-1.noarch in primary metadata"] if told else []
    assert ([note.what for note in made.told.notes], [note.reason for note in made.told.notes]) == (
        shown,
        [told] if told else [],
    )
    assert all(note.line and note.line > 3 for note in made.told.notes)


def test_what_is_mended_is_otherwise_what_it_was(tmp_path: Path) -> None:
    odd = Rpm("bee", parts={"time": '<time file="5.5" build="6"/>'}, summary='A <b> & "c"\n é')
    even = Rpm("bee", parts={"time": '<time file="5" build="6"/>'}, summary='A <b> & "c"\n é')
    made = normalised(tmp_path / "odd", of(ANT, odd))
    assert made.read() == normalised(tmp_path / "even", of(ANT, even)).read()


@pytest.mark.parametrize(
    ("attribute", "date"),
    [('date="5.5"', 5), ('date="now"', 0), ("", 0), (f'date="{10**30}"', 0), ('date=""', 0), ("date='7'", 7)],
)
def test_a_date_of_a_change_that_is_no_number_is_mended_and_told(tmp_path: Path, attribute: str, date: int) -> None:
    given = of(ANT, BEE)
    given["other"] = given["other"].replace(b'date="1354000000"', attribute.encode(), 1)
    made = normalised(tmp_path, given)
    assert [change[1] for each in made.read() for change in each["changelogs"]] == [date, 1354000000]
    told = [f"ant-1.0-1.noarch in other metadata, line 3: a change has no number for its date: {date} is taken"]
    assert made.notes == ([] if date == 7 else told)


@pytest.mark.parametrize("date", ["-1", "0", "1354000000"])
def test_a_date_of_a_change_is_what_it_was(tmp_path: Path, date: str) -> None:
    made = normalised(tmp_path, of(Rpm("ant", changes=[("A", date, "- x")]), BEE))
    assert made.read()[0]["changelogs"] == [("A", int(date), "- x")]
    assert made.notes == []


@pytest.mark.parametrize(
    ("href", "location"),
    [
        ("x/ant-1.0-1.noarch.rpm", "Packages/ant-1.0-1.noarch.rpm"),
        ("../../../blobstore/aaaa/ant-1.0-1.noarch.rpm", "Packages/ant-1.0-1.noarch.rpm"),
        ("/pool/c++-1~rc1^git.rpm", "Packages/c++-1~rc1^git.rpm"),
        ("c%2B%2B.rpm", "Packages/c++.rpm"),
        ("https://cdn.example/ant.rpm?token=secret#x", "Packages/ant.rpm"),
        ("download?file=5", "Packages/bee-1.0-1.noarch.rpm"),
        ("b b.rpm", "Packages/bee-1.0-1.noarch.rpm"),
        ("a%2Fb.rpm", "Packages/bee-1.0-1.noarch.rpm"),
        ("ä.rpm", "Packages/bee-1.0-1.noarch.rpm"),
        ("-rf.rpm", "Packages/bee-1.0-1.noarch.rpm"),
        (f"{'x' * 300}.rpm", "Packages/bee-1.0-1.noarch.rpm"),
        ("Packages/ant-1.0-1.noarch.rpm", f"Packages/{Rpm('bee').checksum}/ant-1.0-1.noarch.rpm"),
    ],
)
def test_a_file_has_a_name_that_every_client_finds(tmp_path: Path, href: str, location: str) -> None:
    first = (ANT,) if location.count("/") == 2 else ()
    made = normalised(tmp_path, of(*first, Rpm("bee", href=href)))
    assert (made.packages[-1].href, made.packages[-1].location) == (href, location)
    assert made.read()[-1]["location_href"] == location


def test_a_package_with_an_odd_name_gets_its_checksum_as_name(tmp_path: Path) -> None:
    odd = Rpm("call us: now!", href="x?y")
    [package] = normalised(tmp_path, of(odd)).packages
    assert (package.name, package.location) == (
        f"the package with checksum {odd.checksum}",
        f"Packages/{odd.checksum}.rpm",
    )


def test_a_base_of_a_package(tmp_path: Path) -> None:
    base = Rpm("bee", parts={"location": '<location xml:base="https://cdn.example/b" href="x/bee.rpm"/>'})
    made = normalised(tmp_path, of(ANT, base))
    assert [(package.base_url, package.href) for package in made.packages] == [
        ("", ANT.location),
        ("https://cdn.example/b", "x/bee.rpm"),
    ]
    assert b"cdn.example" not in made.text("primary")


@pytest.mark.parametrize(
    "location",
    [
        'xml:base="file:///etc/" href="x"',
        'href="file:///etc/passwd"',
        'href="ftp://x/y.rpm"',
        'href="a\t.rpm"',
        'href="/"',
        'href="http://["',
    ],
)
def test_a_location_that_no_url_can_be_made_of(tmp_path: Path, location: str) -> None:
    location = location.replace("\t", "&#9;")
    error = refused(tmp_path, of(Rpm("ant", parts={"location": f"<location {location}/>"})))
    assert (error.code, "the package ant in primary metadata (line 3): " in error.description) == (
        "bad-repository",
        True,
    )
