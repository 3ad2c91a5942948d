"""What the operations on yum repositories refuse before they touch the network or the store."""

from pathlib import Path
from typing import Any

import pytest
from pulp_operations import sync
from pulp_operations.repomd import known_checksum, parse_repomd, safe_href
from pulp_worker import OperationError

from tests.support.yum import Runner

URL = "http://127.0.0.1/"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"feed": URL}, "'repo_id': a text"),
        ({"repo_id": "", "feed": URL}, "'repo_id': a text"),
        ({"repo_id": "ü" * 100, "feed": URL}, "'repo_id': too long"),
        ({"repo_id": "zoo"}, "'feed': a text"),
        ({"repo_id": "zoo", "feed": "ftp://127.0.0.1/"}, "an http or https URL"),
        ({"repo_id": "zoo", "feed": "http://127.0.0.1:port/"}, "an http or https URL"),
        ({"repo_id": "zoo", "feed": "http://[/"}, "an http or https URL"),
        ({"repo_id": "zoo", "feed": "http://me:secret@127.0.0.1/"}, "user name or password is refused"),
        ({"repo_id": "zoo", "feed": URL, "concurrency": 0}, "from 1 to 64"),
        ({"repo_id": "zoo", "feed": URL, "concurrency": True}, "from 1 to 64"),
        ({"repo_id": "zoo", "feed": URL, "verify_tls": "no"}, "true or false"),
    ],
)
async def test_a_bad_argument_is_named(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    runner = Runner(tmp_path)
    with pytest.raises(OperationError, match=words) as raised:
        await runner.run(sync, **arguments)
    assert raised.value.code == "bad-argument"
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "href",
    ["../x", "/etc/passwd", "//host/x", "http://127.0.0.1/x", "a/../../b", "", ".", "..", "a/", "..\\x", "%2e%2e/x"],
)
def test_a_file_outside_of_the_repository_is_refused(href: str) -> None:
    with pytest.raises(OperationError, match="no file of its own"):
        safe_href(href)


@pytest.mark.parametrize("href", ["x.rpm", "Packages/a/x.rpm", "a/../b", "x%20y", "c++~1^2.rpm"])
def test_a_file_of_the_repository_is_fine(href: str) -> None:
    assert safe_href(href) == href


@pytest.mark.parametrize("checksum", [("crc32", "0" * 32), ("sha256", "../../x"), ("sha256", ""), ("sha256", "g" * 64)])
def test_a_checksum_that_is_none_is_refused(checksum: tuple[str, str]) -> None:
    with pytest.raises(OperationError):
        known_checksum(*checksum)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "no XML"),
        (b'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"/></repomd>', "without location"),
    ],
)
def test_a_repomd_that_is_none_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(OperationError, match=words):
        parse_repomd(content)
