"""What the operations on yum repositories refuse before they touch the network or the store."""

from pathlib import Path
from typing import Any

import pytest
from pulp_operations import sync
from pulp_operations.repomd import known_checksum, parse_repomd, safe_href
from pulp_worker import OperationError
from pulp_worker.testing import run_operation

URL = "http://127.0.0.1/"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"feed": URL}, "missing required field `repo_id`"),
        ({"repo_id": "", "feed": URL}, "argument repo_id: a repository's id is expected"),
        ({"repo_id": "zoo ", "feed": URL}, "argument repo_id: a repository's id is expected"),
        ({"repo_id": "ü" * 100, "feed": URL}, "argument repo_id: the id is too long for the name of a folder"),
        ({"repo_id": "zoo"}, "missing required field `feed`"),
        ({"repo_id": "zoo", "feed": "ftp://127.0.0.1/"}, "argument feed: an http or https URL"),
        ({"repo_id": "zoo", "feed": "http://me:secret@127.0.0.1/"}, "user name or password is refused"),
        ({"repo_id": "zoo", "feed": URL, "concurrency": 0}, "argument concurrency: Expected `int` >= 1"),
        ({"repo_id": "zoo", "feed": URL, "concurrency": True}, "argument concurrency: Expected `int`, got `bool`"),
        ({"repo_id": "zoo", "feed": URL, "verify_tls": "no"}, "argument verify_tls: Expected `bool`"),
        (
            {"repo_id": "zoo", "fed": URL},
            "unknown argument 'fed'; it takes: repo_id, feed, concurrency, verify_tls, ",
        ),
    ],
)
async def test_a_bad_argument_is_named_and_ends_the_task_at_once(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    outcome = await run_operation(sync, arguments, storage=tmp_path)
    assert (outcome.state, outcome.error_code, outcome.traceback) == ("failed", "bad-arguments", None)
    assert words in str(outcome.error_description)
    assert "secret@" not in str(outcome.error_description)


@pytest.mark.parametrize(
    "href",
    ["../x", "/etc/passwd", "//host/x", "http://127.0.0.1/x", "a/../../b", "", ".", "..", "a/", "..\\x", "%2e%2e/x"],
)
def test_a_file_outside_of_the_repository_is_refused(href: str) -> None:
    with pytest.raises(OperationError, match="a file that is not its own"):
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
