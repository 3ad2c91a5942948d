"""Metadata in other encodings and under other prefixes; advisories, groups and modules."""

import gzip
import lzma
from pathlib import Path

import pytest
from backports import zstd

from tests.support import metadata
from tests.support.metadata import COMMON, Rpm, advisory, normalised, of, refused, updateinfo

ANT, BEE, CAT = Rpm("ant"), Rpm("bee", files=("/usr/bin/bee", "/etc/bee & co")), Rpm("cat", files=())


def test_a_byte_of_latin_1_costs_nothing_and_is_told(tmp_path: Path) -> None:
    given = of(ANT, Rpm("bee", summary="Caf?", changes=[("Jo", "5", "- na?ve\n- caf?")]), CAT)
    given = {
        kind: content.replace(b"Caf?", b"Caf\xe9").replace(b"na?ve", b"na\xefve") for kind, content in given.items()
    }
    made = normalised(tmp_path, given)
    bee = made.read()[1]
    assert (bee["summary"], bee["changelogs"]) == ("Café", [("Jo", 5, "- naïve\n- caf?")])
    lines = {
        kind: next(n for n, line in enumerate(given[kind].splitlines(), 1) if b"\xe9" in line or b"\xef" in line)
        for kind in ("primary", "other")
    }
    assert made.notes == [
        f"bee-1.0-1.noarch in {kind} metadata, line {line}: a character outside UTF-8, or a control character, was"
        " replaced"
        for kind, line in lines.items()
    ]


def test_a_document_in_latin_1_that_does_not_say_so(tmp_path: Path) -> None:
    packages = [Rpm(f"p{number}", summary="é") for number in range(1100)]
    text = metadata.primary(*packages).encode("latin-1")
    made = normalised(tmp_path, of(*packages, primary=text))
    assert {each["summary"] for each in made.read()} == {"é"}
    assert (len(made.notes), made.told.notes_total) == (100, 1001)


def test_a_control_character_goes_away(tmp_path: Path) -> None:
    given = {kind: content.replace(b"- made", b"- ma\x1b\x00de") for kind, content in of(ANT, BEE).items()}
    made = normalised(tmp_path, given)
    assert [change for each in made.read() for _, _, change in each["changelogs"]] == ["- made", "- made"]
    assert [note.what for note in made.told.notes] == [
        f"{name}-1.0-1.noarch in other metadata" for name in ("ant", "bee")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "iso-8859-15"])
def test_an_encoding_that_is_declared(tmp_path: Path, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    texts = {kind: text.decode() for kind, text in of(Rpm("ant", summary="Café", files=("/usr/é",))).items()}
    given = {kind: text.replace("UTF-8", declared).encode(encoding) for kind, text in texts.items()}
    made = normalised(tmp_path, given)
    assert (made.read()[0]["summary"], made.read()[0]["files"], made.notes) == ("Café", [(None, "/usr/", "é")], [])


def test_an_encoding_that_is_not_known(tmp_path: Path) -> None:
    error = refused(tmp_path, of(ANT, primary=metadata.primary(ANT).replace("UTF-8", "uu_codec")))
    assert (error.code, error.description) == (
        "bad-repository",
        "primary metadata is in an encoding that is not known here",
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("rpm:", "r:").replace("xmlns:rpm", "xmlns:r"),
        lambda text: text.replace(' xmlns="http://linux.duke.edu/metadata/common"', ""),
        lambda text: text.replace(f" {COMMON}", "").replace("rpm:", ""),
        lambda text: text.replace("http://linux.duke.edu/metadata/common", "http://linux.duke.edu/metadata/commom"),
        lambda text: (
            text.replace("<", "<c:")
            .replace("<c:/", "</c:")
            .replace("<c:rpm:", "<rpm:")
            .replace("</c:rpm:", "</rpm:")
            .replace("xmlns=", "xmlns:c=")
            .replace("<c:?", "<?")
        ),
    ],
    ids=["another prefix", "no default", "no namespaces", "a slip", "prefixes"],
)
def test_namespaces_of_any_prefix_or_none(tmp_path: Path, change: object) -> None:
    package = Rpm(
        "ant",
        parts={"format": Rpm("ant").primary().split("\n")[12].replace("</format>", "<file>/usr/bin/x</file></format>")},
    )
    text = change(metadata.primary(package, BEE))  # type: ignore[operator]
    made = normalised(tmp_path / "odd", of(package, BEE, primary=text))
    assert made.read() == normalised(tmp_path / "even", of(package, BEE)).read()
    assert made.read()[0]["provides"] == [("ant", "EQ", "0", "1.0", "1", False)]


def test_filelists_with_prefixes_and_capitals(tmp_path: Path) -> None:
    text = (
        metadata.filelists(BEE, ANT)
        .replace("<", "<f:")
        .replace("<f:/", "</f:")
        .replace("<f:?", "<?")
        .replace("xmlns=", "xmlns:f=")
    )
    upper = metadata.other(ANT, BEE).replace(ANT.checksum, ANT.checksum.upper())
    made = normalised(tmp_path / "odd", of(ANT, BEE, filelists=text, other=upper))
    assert made.read() == normalised(tmp_path / "even", of(ANT, BEE)).read()


def test_what_a_vendor_adds_is_kept(tmp_path: Path) -> None:
    added = '<description>d</description><x:eula xmlns:x="https://vendor.example/">Yes &amp; no</x:eula>'
    made = normalised(tmp_path, of(Rpm("ant", parts={"description": added}), BEE))
    assert added.encode() in made.text("primary")
    outside = metadata.primary(
        Rpm("ant", parts={"description": "<v:eula>Yes</v:eula>"}), names=f'{COMMON} xmlns:v="https://v.example/"'
    )
    made = normalised(tmp_path / "2", of(ANT, primary=outside))
    assert b'<eula xmlns="https://v.example/">Yes</eula>' in made.text("primary")


@pytest.mark.parametrize(
    "description",
    [
        '<description><![CDATA[<location href="evil.rpm"/>]]></description>',
        '<description>d</description><!-- <location href="evil.rpm"/> -->',
        '<description>d</description><?x <location href="evil.rpm"/> ?>',
        '<description x="a > b">d</description>',
    ],
)
def test_only_the_location_becomes_another(tmp_path: Path, description: str) -> None:
    bee = Rpm("bee", href="a b/bee.rpm", parts={"description": description})
    made = normalised(tmp_path, of(ANT, bee))
    assert [each["location_href"] for each in made.read()] == [ANT.location, "Packages/bee.rpm"]
    assert made.packages[1].href == "a b/bee.rpm"


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo"])
def test_a_document_type_is_refused(tmp_path: Path, kind: str) -> None:
    given = {**of(ANT), "updateinfo": updateinfo(advisory("A")).encode()}
    given[kind] = given[kind].replace(b"?>\n", b'?>\n<!DOCTYPE x [<!ENTITY a "lol">]>\n', 1)
    assert "has a document type declaration, which is refused" in refused(tmp_path, given).description


def test_a_package_within_a_package_is_an_error(tmp_path: Path) -> None:
    for kind in ("primary", "filelists", "other"):
        given = of(ANT, BEE)
        inner = b'<package pkgid="1"/>' if kind != "primary" else b"<package><x/></package>"
        at = given[kind].index(b"<version")
        given[kind] = given[kind][:at] + inner + given[kind][at:]
        error = refused(tmp_path / kind, given)
        assert (error.code, error.description.startswith(f"{kind} metadata, line ")) == ("bad-repository", True)


@pytest.mark.parametrize("attributes", ["", 'from="a"', 'version="x" status=""', 'type="enhancement"'])
def test_advisories_that_lack_something_are_kept(tmp_path: Path, attributes: str) -> None:
    given = of(ANT, updateinfo=updateinfo(advisory("A-1", attributes=attributes), advisory("A-2")))
    made = normalised(tmp_path, given)
    assert (made.advisories(), made.told.counts.errata, made.notes) == (["A-1", "A-2"], 2, [])


def test_an_advisory_without_an_id_costs_itself(tmp_path: Path) -> None:
    made = normalised(tmp_path, of(ANT, updateinfo=updateinfo(advisory("A"), "\n" + advisory(None), advisory("B"))))
    assert (made.advisories(), made.told.counts.errata) == (["A", "B"], 2)
    assert made.notes == ["an advisory in updateinfo metadata, line 3: it has no id: it is left out"]


def test_an_advisory_with_a_byte_of_latin_1_is_named(tmp_path: Path) -> None:
    text = updateinfo(advisory("A"), "\n" + advisory("RHSA-2020:1")).encode()
    made = normalised(tmp_path, of(ANT, updateinfo=text.replace(b"<title>T</title>", b"<title>\xe9</title>")))
    assert made.advisories() == ["A", "RHSA-2020:1"]
    assert [note.what for note in made.told.notes] == [
        "advisory A in updateinfo metadata",
        "advisory RHSA-2020:1 in updateinfo metadata",
    ]


@pytest.mark.parametrize(
    ("kind", "pack"),
    [("group", bytes), ("group_gz", gzip.compress), ("group_xz", lzma.compress), ("group_zst", zstd.compress)],
)
def test_groups_are_counted_in_every_form(tmp_path: Path, kind: str, pack: object) -> None:
    comps = (
        '<?xml version="1.0"?><!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">'
        "<comps><group><id>a</id></group><group><id>b</id></group><category/><environment/></comps>"
    )
    counts = normalised(tmp_path, of(ANT, **{kind: pack(comps.encode())})).told.counts  # type: ignore[operator]
    assert (counts.package_groups, counts.package_categories, counts.package_environments) == (2, 1, 1)


@pytest.mark.parametrize(
    "content", [b"no groups today", b"<comps><group>", b"<html/>", b"", gzip.compress(b"<comps/>")[:-9]]
)
def test_groups_that_no_client_can_read_cost_themselves(tmp_path: Path, content: bytes) -> None:
    made = normalised(tmp_path, of(ANT, group=content, group_gz=gzip.compress(b"<comps><group/></comps>")))
    assert (made.told.left_out, made.told.counts.package_groups, made.told.counts.packages) == (["group"], 1, 1)
    assert [(note.what, note.reason.startswith("left out: group metadata")) for note in made.told.notes] == [
        ("group metadata", True)
    ]


def test_modules_are_counted_and_not_parsed(tmp_path: Path) -> None:
    bomb = "a: &a [x]\nb: &b [*a,*a]\n" + "x" * (1 << 20)
    modules = (
        "---\ndocument: modulemd\nversion: 2\ndata:\n  document: modulemd\n...\n"
        f"---\ndocument: modulemd-defaults\n...\n---\ndocument: 'modulemd' # two\n{bomb}\n...\n---\ndocument: modulemd"
    )
    for number, content in enumerate(
        (modules.encode(), gzip.compress(modules.encode()), zstd.compress(modules.encode()))
    ):
        assert normalised(tmp_path / str(number), of(ANT, modules=content)).told.counts.modules == 3


def test_modules_that_cannot_be_unpacked_are_an_error(tmp_path: Path) -> None:
    error = refused(tmp_path, of(ANT, modules=gzip.compress(b"---\n" * 1000)[:-9]))
    assert (error.code, error.description) == (
        "bad-repository",
        "modules metadata cannot be unpacked: it ends too early",
    )
