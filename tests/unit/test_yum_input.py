"""Input that the yum operations refuse before they touch the network or the store."""

from pathlib import Path
from typing import Any

import pytest
from pulp_operations import sync
from pulp_operations.foreign import is_ordinary, shown_href
from pulp_worker.testing import run_operation

URL = "http://127.0.0.1/"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"feed": URL}, "argument repo_id is required"),
        ({"repo_id": "", "feed": URL}, "argument repo_id: a repository's id is expected"),
        ({"repo_id": "zoo ", "feed": URL}, "argument repo_id: a repository's id is expected"),
        ({"repo_id": "ü" * 100, "feed": URL}, "argument repo_id: the id is too long for the name of a folder"),
        ({"repo_id": "zoo"}, "argument feed is required"),
        ({"repo_id": "zoo", "feed": "ftp://127.0.0.1/"}, "argument feed: an http or https URL"),
        ({"repo_id": "zoo", "feed": "http://me:secret@127.0.0.1/"}, "user name or password is refused"),
        (
            {"repo_id": "zoo", "feed": URL, "concurrency": 0},
            "argument concurrency must be a whole number of at least 1",
        ),
        (
            {"repo_id": "zoo", "feed": URL, "concurrency": True},
            "argument concurrency must be a whole number, not a boolean",
        ),
        ({"repo_id": "zoo", "feed": URL, "verify_tls": "no"}, "argument verify_tls must be true or false"),
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


@pytest.mark.parametrize("text", ["ant-1.0-1.noarch", "bee-2:1.0~rc1^git-1.x86_64", "Packages/c++%20x.rpm", "a/../b"])
def test_a_name_as_repositories_have_it_may_be_told(text: str) -> None:
    assert is_ordinary(text)


@pytest.mark.parametrize(
    "text", ["", "call us: now!", "https://jo:word@x/", "a\nb", "<b>", "ü", "x" * 201, "a?token=b"]
)
def test_any_other_text_of_a_repository_may_not(text: str) -> None:
    assert not is_ordinary(text)
    assert shown_href(text, "12ab") == "the package with checksum 12ab"
