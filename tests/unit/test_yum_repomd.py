"""repomd.xml: read as dnf reads it, refused where two readers would differ."""

import pytest
from pulp_operations.reading import read_repomd
from pulp_operations.records import MetadataFile
from pulp_worker import OperationError

SUM = "ab" * 32
NAMESPACE = 'xmlns="http://linux.duke.edu/metadata/repo"'


def entry(kind: str, inner: str = "", *, href: str = "", digest: str = SUM, size: str = "<size>5</size>") -> str:
    location = f'<location href="{href or f"repodata/{kind}.xml.gz"}"/>'
    return f'<data type="{kind}">\n<checksum type="sha256">{digest}</checksum>{inner or location}{size}</data>\n'


def document(*entries: str, names: str = NAMESPACE) -> bytes:
    return f'<?xml version="1.0"?>\n<repomd {names}><revision>17</revision>\n{"".join(entries)}</repomd>'.encode()


def refused(content: bytes, **more: frozenset[str]) -> str:
    with pytest.raises(OperationError) as raised:
        read_repomd(content, **more)
    assert raised.value.code == "bad-repository"
    return raised.value.description


def test_every_entry_is_read() -> None:
    kinds = ("primary", "filelists", "modules", "productid", "susedata.de", "appstream", "primary_db")
    size = "<size>5</size><open-size>50</open-size><timestamp>1354000000.25</timestamp>"
    told = read_repomd(document(*(entry(kind, size=size) for kind in kinds)))
    assert [found.type for found in told.entries] == list(kinds)
    assert told.entries[0] == MetadataFile(
        type="primary",
        href="repodata/primary.xml.gz",
        algorithm="sha256",
        checksum=SUM,
        size_bytes=5,
        open_size_bytes=50,
    )
    assert (told.revision, told.timestamp_s, told.notes) == ("17", 1354000000, [])


def test_sizes_and_the_revision_need_not_be_told() -> None:
    told = read_repomd(document(entry("primary", size="<size/><open-size>x</open-size>")).replace(b"17", b"a\nb"))
    assert (told.entries[0].size_bytes, told.entries[0].open_size_bytes, told.revision, told.timestamp_s) == (
        None,
        None,
        "",
        0,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(NAMESPACE, ""),
        lambda text: text.replace(NAMESPACE, 'xmlns="http://other.example/"'),
        lambda text: (
            text.replace("<", "<m:").replace("<m:/", "</m:").replace("<m:?", "<?").replace("xmlns=", "xmlns:m=")
        ),
        lambda text: text.replace("<", "<m:").replace("<m:/", "</m:").replace("<m:?", "<?").replace(NAMESPACE, ""),
        lambda text: "\ufeff" + text,
    ],
    ids=["no namespace", "another", "a prefix", "a prefix that nobody declares", "a byte order mark"],
)
def test_a_namespace_of_any_prefix_or_none(change: object) -> None:
    plain = document(entry("primary"), entry("other"))
    text = change(plain.decode())  # type: ignore[operator]
    assert read_repomd(text.encode()) == read_repomd(plain)
    assert len(read_repomd(plain).entries) == 2


def test_a_base_of_an_entry() -> None:
    inner = '<location xml:base="https://cdn.example/x" href="primary.xml"/>'
    [found] = read_repomd(document(entry("primary", inner))).entries
    assert (found.base_url, found.href) == ("https://cdn.example/x", "primary.xml")


@pytest.mark.parametrize(
    "href",
    [
        "../../../blobstore/x.xml",
        "/pool/x.xml",
        "https://cdn.example/x?token=a",
        "c++ ä%20.xml",
        "a/../b",
        "ant-1:1.xml",
    ],
)
def test_a_location_is_a_url_and_no_path(href: str) -> None:
    [found] = read_repomd(document(entry("primary", href=href))).entries
    assert found.href == href
    assert "/" not in found.own_name


@pytest.mark.parametrize(
    "href",
    [
        "",
        " ",
        ".",
        "..",
        "/",
        "file:///dev/zero",
        "file:/dev/zero",
        "ftp://x/y",
        "http://[",
        "http:///x",
        "a&#10;b",
        "x" * 2001,
    ],
)
def test_a_location_that_no_url_can_be_made_of(href: str) -> None:
    inner = f'<location href="{href}"/>'
    assert refused(document(entry("primary", inner))).startswith(
        "the entry of primary metadata in repomd.xml (line 3): "
    )


@pytest.mark.parametrize("base", ["file:///etc/", "media://x/", "http://[", "a&#10;b"])
def test_a_base_that_is_no_http_url(base: str) -> None:
    inner = f'<location xml:base="{base}" href="x"/>'
    assert "(line 3): it" in refused(document(entry("primary", inner)))


def test_of_two_entries_of_a_type_the_first_counts() -> None:
    unusable = entry("other", href="file:///dev/zero")
    told = read_repomd(document(entry("primary"), entry("other"), entry("primary", digest="cd" * 32), unusable))
    assert [(found.type, found.checksum) for found in told.entries] == [("primary", SUM), ("other", SUM)]
    assert [note.text for note in told.notes] == [
        f"{kind} metadata, line {line}: left out: another entry of this type stands before it"
        for kind, line in (("primary", 7), ("other", 9))
    ]


@pytest.mark.parametrize("kind", ["productid", "prestodelta", "call us: now!"])
def test_an_entry_that_no_client_needs_costs_itself(kind: str) -> None:
    broken = f'<data type="{kind}"><location href="x"/></data>'
    told = read_repomd(document(entry("primary"), broken))
    assert [found.type for found in told.entries] == ["primary"]
    assert [(note.line, note.reason.endswith("has no checksum")) for note in told.notes] == [(5, True)]
    assert "call us" not in told.notes[0].text


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo", "group", "modules"])
def test_an_entry_that_a_client_needs_is_an_error(kind: str) -> None:
    words = refused(document(f'<data type="{kind}"><location href="x"/></data>', entry("primary")))
    assert words == f"the entry of {kind} metadata in repomd.xml (line 3) has no checksum"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html/>", "repomd.xml is not a table of contents of a yum repository"),
        (document(entry("other")), "repomd.xml names no primary metadata"),
        (document(), "repomd.xml names no primary metadata"),
        (b"", "repomd.xml is not XML: line 1, column 0"),
        (document(entry("primary"))[:-4], "repomd.xml is not XML: line 5"),
        (document(entry("primary", '<location href="a"/><location href="b"/>')), "(line 3) has more than one location"),
        (document(entry("primary")).replace(b"<size>", b"<checksum/><size>"), "(line 3) has more than one checksum"),
        (
            document(entry("primary", digest="12")),
            "(line 3): its checksum is invalid: sha256 has 64 hexadecimal digits",
        ),
        (document(entry("primary")).replace(b"sha256", b"crc"), "(line 3): its checksum type is none of md5, sha,"),
        (b"<!DOCTYPE x>" + document(entry("primary"))[22:], "repomd.xml has a document type declaration"),
        (document("<a>" * 40 + "</a>" * 40), "repomd.xml is nested more than 32 elements deep"),
        (document(*(entry(f"x{number}") for number in range(1001))), "repomd.xml has over 1000 entries"),
    ],
)
def test_what_is_no_table_of_contents(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_a_checksum_that_the_settings_refuse() -> None:
    with pytest.raises(OperationError, match="the entry of primary metadata in") as raised:
        read_repomd(document(entry("primary")), frozenset({"sha512"}))
    assert raised.value.code == "checksum-refused"
