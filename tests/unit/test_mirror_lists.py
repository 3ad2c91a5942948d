"""Lists of mirrors and metalinks, as they are read."""

import pytest
from pulp_operations.feeds.lists import Digest, MirrorList, read_list

SHA = "a" * 64
OLD = "b" * 64
METALINK = f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files><file name="repomd.xml">
  <mm0:timestamp>1700000000</mm0:timestamp><size>4000</size>
  <verification><hash type="md5">{"c" * 32}</hash><hash type="sha256">{SHA}</hash></verification>
  <mm0:alternates><mm0:alternate><mm0:timestamp>1690000000</mm0:timestamp>
   <verification><hash type="sha256">{OLD}</hash></verification></mm0:alternate></mm0:alternates>
  <resources maxconnections="1">
   <url protocol="rsync" type="rsync" preference="100">rsync://one.example/zoo/repodata/repomd.xml</url>
   <url protocol="http" type="http" preference="90">http://two.example/zoo/repodata/repomd.xml</url>
   <url protocol="https" type="https" preference="100">https://one.example/zoo/repodata/repomd.xml</url>
  </resources>
 </file></files>
</metalink>""".encode()
META4 = f"""<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="repomd.xml">
 <hash type="sha-256">{SHA.upper()}</hash>
 <url priority="2">https://two.example/zoo/repodata/repomd.xml</url>
 <url priority="1">https://one.example/zoo/repodata/repomd.xml</url>
</file></metalink>""".encode()


def test_a_text_of_urls() -> None:
    content = (
        b"\xef\xbb\xbf# mirrors\r\n\r\nhttps://one.example/zoo\r\nftp://old.example/zoo\nhttp://two.example/zoo/ \n"
    )
    assert read_list(content) == MirrorList(bases=["https://one.example/zoo", "http://two.example/zoo/"])


def test_a_metalink_of_mirrormanager() -> None:
    found = read_list(METALINK)
    assert found is not None
    assert found.bases == ["https://one.example/zoo/", "http://two.example/zoo/"]
    assert found.current == [Digest("md5", "c" * 32), Digest("sha256", SHA)]
    assert found.older == [[Digest("sha256", OLD)]]


def test_a_metalink_of_rfc_5854() -> None:
    found = read_list(META4)
    assert found == MirrorList(
        bases=["https://one.example/zoo/", "https://two.example/zoo/"], current=[Digest("sha256", SHA)]
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"<html><body>https://one.example/</body></html>",
        b"https://one.example/\nSECRET = 5\n",
        b"ftp://one.example/\n",
        METALINK.replace(b"</metalink>", b""),
        METALINK.replace(b"repomd.xml", b"other.xml"),
        METALINK.replace(b"http", b"gopher"),
        METALINK.replace(b"<metalink ", b'<!DOCTYPE a [<!ENTITY b "c">]><metalink ', 1),
        b"<metalink>" + b"<a>" * 1000,
        b'<?xml version="1.0" encoding="klingon"?><metalink/>',
    ],
)
def test_what_is_no_list(content: bytes) -> None:
    assert read_list(content) is None


def test_the_number_of_mirrors_is_bounded() -> None:
    found = read_list(b"".join(b"https://m%d.example/\n" % number for number in range(10_000)))
    assert found is not None
    assert len(found.bases) == 50
