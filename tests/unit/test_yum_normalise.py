"""Packages come from primary; the other documents are joined, and everything is counted."""

from pathlib import Path

import pytest
from backports import zstd
from msgspec.structs import replace
from pulp_operations.reading import UnpackLimits, documents
from pulp_operations.reading import primary as of_primary
from pulp_worker import LimitExceeded, OperationError

from tests.support import metadata
from tests.support.metadata import FILELISTS, HEAD, OTHER, Rpm, advisory, normalised, of, refused, updateinfo

ANT, BEE, CAT = Rpm("ant"), Rpm("bee", files=("/usr/bin/bee", "/etc/bee & co")), Rpm("cat", files=())
EMPTY = {
    "filelists": f'{HEAD}<filelists {FILELISTS} packages="2"></filelists>'.encode(),
    "other": f'{HEAD}<otherdata {OTHER} packages="2"/>'.encode(),
}


def names(made: metadata.Made) -> list[str]:
    return [package.name for package in made.packages]


def test_what_was_written_is_read_by_others_as_it_was(tmp_path: Path) -> None:
    given = of(ANT, BEE, CAT)
    made = normalised(tmp_path, given)
    assert made.read() == metadata.read_by_createrepo(tmp_path, given)
    assert (made.told.counts.packages, made.notes) == (3, [])
    assert [package.location for package in made.packages] == [rpm.location for rpm in (ANT, BEE, CAT)]


def test_empty_filelists_and_other_lose_no_package(tmp_path: Path) -> None:
    made = normalised(tmp_path, of(ANT, BEE, **EMPTY))
    assert names(made) == ["ant-1.0-1.noarch", "bee-1.0-1.noarch"]
    assert [(each["name"], each["files"], each["changelogs"]) for each in made.read()] == [
        ("ant", [], []),
        ("bee", [], []),
    ]
    assert made.notes == [f"{kind} metadata: it says nothing of 2 of the 2 packages" for kind in ("filelists", "other")]


@pytest.mark.parametrize("missing", [("filelists",), ("other",), ("filelists", "other")])
def test_a_repository_without_filelists_or_other(tmp_path: Path, missing: tuple[str, ...]) -> None:
    given = {kind: content for kind, content in of(ANT, BEE).items() if kind not in missing}
    made = normalised(tmp_path, given)
    assert [each["name"] for each in made.read()] == ["ant", "bee"]
    assert [note.what for note in made.told.notes] == [f"{kind} metadata" for kind in missing]


def test_what_says_more_than_primary_says_it_of_nobody(tmp_path: Path) -> None:
    given = of(ANT, filelists=metadata.filelists(BEE, ANT), other=metadata.other(CAT, ANT, BEE))
    made = normalised(tmp_path, given)
    assert [(each["name"], len(each["files"]), len(each["changelogs"])) for each in made.read()] == [("ant", 1, 1)]
    assert made.notes == [
        "filelists metadata: 1 of the 2 packages in it are not in primary: left out",
        "other metadata: 2 of the 3 packages in it are not in primary: left out",
    ]


def test_filelists_and_other_are_joined_in_any_order(tmp_path: Path) -> None:
    given = of(ANT, BEE, CAT, filelists=metadata.filelists(CAT, ANT, BEE), other=metadata.other(BEE, CAT, ANT))
    made = normalised(tmp_path / "a", given)
    assert made.read() == normalised(tmp_path / "b", of(ANT, BEE, CAT)).read()
    assert made.notes == []


def test_a_package_that_is_named_twice_is_there_once(tmp_path: Path) -> None:
    again = Rpm("ant", href="again/ant.rpm")
    made = normalised(tmp_path, of(ANT, again, BEE))
    assert [package.location for package in made.packages] == [ANT.location, BEE.location]
    assert [each["name"] for each in made.read()] == ["ant", "bee"]


@pytest.mark.parametrize("promised", ["", 'packages="many"', 'packages="-1"'])
def test_a_number_of_packages_need_not_be_told(tmp_path: Path, promised: str) -> None:
    text = metadata.primary(ANT, BEE).replace('packages="2"', promised)
    assert names(normalised(tmp_path, of(ANT, BEE, primary=text))) == ["ant-1.0-1.noarch", "bee-1.0-1.noarch"]


def test_fewer_packages_than_promised_are_an_error(tmp_path: Path) -> None:
    error = refused(tmp_path, of(ANT, BEE, primary=metadata.primary(ANT, BEE, promised=3)))
    assert (error.code, error.description) == ("bad-repository", "primary metadata promises 3 packages and has 2")


def test_more_packages_than_promised_are_taken_and_told(tmp_path: Path) -> None:
    made = normalised(tmp_path, of(ANT, BEE, primary=metadata.primary(ANT, BEE, promised=1)))
    assert len(made.read()) == 2
    assert made.notes == ["primary metadata: it promises 1 packages and has 2: all are taken"]


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo"])
@pytest.mark.parametrize("end", ["</", ""])
def test_a_document_that_is_not_closed_is_an_error(tmp_path: Path, kind: str, end: str) -> None:
    whole = {**of(ANT, BEE), "updateinfo": updateinfo(advisory("A")).encode()}
    whole[kind] = whole[kind][: whole[kind].rindex(b"</")] + end.encode()
    error = refused(tmp_path, whole)
    line = whole[kind].count(b"\n") + 1
    assert (error.code, error.description) == ("bad-repository", f"{kind} metadata, line {line}: it is cut off")


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo"])
def test_a_document_that_is_another_one_is_an_error(tmp_path: Path, kind: str) -> None:
    error = refused(tmp_path, of(ANT, **{kind: "<html><p>Not here</p></html>"}))
    assert (error.code, "is another document: its root is not <" in error.description) == ("bad-repository", True)


def test_the_number_of_packages_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_primary, "MOST_PACKAGES", 1)
    with pytest.raises(LimitExceeded, match="has over 1 packages"):
        normalised(tmp_path, of(ANT, BEE))


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    given = of(ANT, BEE, updateinfo=updateinfo(advisory("A")))
    first, second = (normalised(tmp_path / name, given).folder for name in "ab")
    paths = sorted(path.relative_to(first) for path in first.rglob("*.zst"))
    assert len(paths) == 5
    assert [(first / path).read_bytes() for path in paths] == [(second / path).read_bytes() for path in paths]


def test_packages_of_the_version_before_follow(tmp_path: Path) -> None:
    other_bee = Rpm("bee2", href="x/bee-1.0-1.noarch.rpm")
    before = normalised(tmp_path / "1", of(ANT, BEE, CAT, updateinfo=updateinfo(advisory("A"), advisory("B"))))
    given = of(other_bee, CAT, Rpm("dog"), updateinfo=updateinfo(advisory("B"), advisory("C")))
    made = normalised(tmp_path / "2", given, base=before.folder)
    assert [(each["name"], each["location_href"]) for each in made.read()] == [
        ("bee2", "Packages/bee-1.0-1.noarch.rpm"),
        ("cat", CAT.location),
        ("dog", "Packages/dog-1.0-1.noarch.rpm"),
        ("ant", ANT.location),
        ("bee", f"Packages/{BEE.checksum}/bee-1.0-1.noarch.rpm"),
    ]
    by_name = {each["name"]: each for each in made.read()}
    assert by_name["bee"]["files"] == [(None, "/usr/bin/", "bee"), (None, "/etc/", "bee & co")]
    assert [package.location for package in made.packages] == [each["location_href"] for each in made.read()]
    assert (made.advisories(), made.told.counts.errata, made.told.counts.packages) == (["B", "C", "A"], 3, 5)
    assert made.notes == []


def test_a_version_before_whose_files_do_not_belong_together(tmp_path: Path) -> None:
    before = normalised(tmp_path / "1", of(ANT, BEE))
    (before.folder / "packages.jsonl.zst").write_bytes(zstd.compress(b""))
    with pytest.raises(OperationError) as raised:
        normalised(tmp_path / "2", of(CAT), base=before.folder)
    assert raised.value.code == "damaged-version"


def test_more_than_repomd_promises_is_refused(tmp_path: Path) -> None:
    big = Rpm("ant", summary="x" * (20 << 20))
    with pytest.raises(LimitExceeded, match=r"primary metadata becomes larger than .* \(open-size in repomd.xml\)"):
        normalised(tmp_path / "a", of(big), change=lambda entry: replace(entry, open_size_bytes=1000))
    made = normalised(tmp_path / "b", of(ANT), change=lambda entry: replace(entry, open_size_bytes=10))
    assert made.told.counts.packages == 1  # a small size that is wrong does no harm


def test_one_text_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_ELEMENT_BYTES", 1 << 20)
    for number, text in enumerate(
        ("<summary>{}</summary>", '<summary x="{}"/>', "<summary/><!--{}-->", "<a>" * 9 + "{}" + "</a>" * 9)
    ):
        package = Rpm("ant", parts={"summary": text.format("x" * (4 << 20))})
        with pytest.raises(LimitExceeded, match=r"primary metadata, line .*: one part of it has over 1 MiB"):
            normalised(tmp_path / str(number), of(package))


def test_a_bomb_ends_before_it_is_written(tmp_path: Path) -> None:
    bomb = zstd.compress(metadata.primary(Rpm("ant", summary="x" * (40 << 20))).encode())
    with pytest.raises(LimitExceeded, match="PULP_FETCH_UNPACKED_RATIO"):
        normalised(tmp_path, of(ANT, primary=bomb), limits=UnpackLimits(1 << 32, 10))
    assert not list((tmp_path / "version").glob("unpacked"))


@pytest.mark.parametrize("kind", ["primary", "filelists", "other"])
def test_a_closing_tag_is_bounded(tmp_path: Path, kind: str) -> None:
    given = of(ANT)
    given[kind] = given[kind].replace(b"</package>", b"</package" + b" " * 5000 + b">")
    assert refused(tmp_path, given).description.endswith("line 3: its closing tag has no end")


def test_a_closing_tag_and_an_empty_element_end_where_they_end(tmp_path: Path) -> None:
    text = (
        f'<r x=">">\n<p a="1>2" b=\'"/>\'/><p>é</p \n>\n<q c="{"y" * 9000}"/><!-- <p/> --><p><![CDATA[</p>]]></p></r>'
    )
    path = tmp_path / "x.xml"
    path.write_text(text)
    with documents.Document(path, "it", "r") as document:
        found = [(element.line, document.read(element).decode()) for element in document]
    assert found == [
        (2, '<p a="1>2" b=\'"/>\'/>'),
        (2, "<p>é</p \n>"),
        (4, f'<q c="{"y" * 9000}"/>'),
        (4, "<p><![CDATA[</p>]]></p>"),
    ]
