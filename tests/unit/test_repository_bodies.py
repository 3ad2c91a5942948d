"""Bodies of requests about repositories: accepted, refused by name, and merged with the existing record."""

from typing import Any

import pytest
from pulp_api.submitting.repository_bodies import MOST_NOTES_BYTES, BadRepository, change_of, check_id, check_said
from pulp_api.v2.repository_bodies import run_arguments
from pulp_operations import publish, sync
from pulp_projections.repositories import Said

from tests.support.declared import row_of

FEED = "https://example.org/repos/zoo/"
DECLARED = {"sync": row_of(sync), "publish": row_of(publish)}


def refused(body: dict[str, Any]) -> dict[str, str]:
    """Field → its fault."""
    with pytest.raises(BadRepository) as caught:
        check_said(change_of(body).on(Said()), DECLARED)
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"display_name": 7}, "display_name", "a text of at most 255 characters"),
        ({"display_name": "x" * 256}, "display_name", "a text of at most 255 characters"),
        ({"description": ["x"]}, "description", "a text of at most 4096 characters"),
        ({"description": "a\0b"}, "description", "a text of at most 4096 characters"),
        ({"notes": "x"}, "notes", "an object is expected"),
        ({"notes": {"": "x"}}, "notes", "an object is expected, with names of 1 to 255 characters"),
        ({"notes": {"x": "y" * MOST_NOTES_BYTES}}, "notes", f"at most {MOST_NOTES_BYTES} bytes"),
        ({"feed": 7}, "feed", "an http or https URL is expected"),
        ({"feed": "ftp://h/"}, "feed", "an http or https URL with a host"),
        ({"feed": "http://me:hunter2@h/"}, "feed", "a user name or password is refused"),
        ({"sync_options": []}, "sync_options", "an object is expected"),
        ({"sync_options": {"concurrency": 65}}, "sync_options.concurrency", "a whole number from 1 to 64 is expected"),
        ({"sync_options": {"concurency": 4}}, "sync_options.concurency", "did you mean 'concurrency'?"),
        ({"sync_options": {"repo_id": "zoo"}}, "sync_options.repo_id", "cannot name a repository"),
        ({"publish_options": {"verify_tls": 1}}, "publish_options.verify_tls", "true or false is expected"),
        ({"descripton": "x"}, "descripton", "unexpected field, did you mean 'description'?"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str, told: str) -> None:
    found = refused(body)
    assert list(found) == [field]
    assert told in found[field]
    assert "hunter2" not in found[field]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert list(refused({"nots": 1, "display_name": 1, "notes": 1})) == ["nots", "display_name", "notes"]


@pytest.mark.parametrize("repo_id", ["", " zoo", "a\nb", "x" * 201, 7, ["zoo"]])
def test_an_id_that_cannot_be_is_refused(repo_id: object) -> None:
    with pytest.raises(BadRepository) as caught:
        check_id("name", repo_id)
    assert [problem.kind for problem in caught.value.problems] == ["invalid"]


def test_an_id_that_is_left_out_is_missing() -> None:
    with pytest.raises(BadRepository) as caught:
        check_id("id", None)
    assert [(problem.path, problem.kind) for problem in caught.value.problems] == [("id", "missing")]


def test_only_what_is_named_changes() -> None:
    said = Said(
        "Zoo", "Animals", {"team": "keepers", "floor": 2}, {"feed": FEED, "concurrency": 2}, {"verify_tls": False}
    )
    change = change_of(
        {"display_name": None, "notes": {"floor": None, "open": True}, "sync_options": {"concurrency": 8}}
    )
    assert change.on(said) == Said(
        None, "Animals", {"team": "keepers", "open": True}, {"feed": FEED, "concurrency": 8}, {"verify_tls": False}
    )


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_feed_is_forgotten(nothing: str | None) -> None:
    said = Said(sync_options={"feed": FEED, "concurrency": 2})
    assert change_of({"feed": nothing}).on(said).sync_options == {"concurrency": 2}


def test_null_forgets_all_notes_and_options() -> None:
    said = Said(notes={"a": 1}, sync_options={"feed": FEED}, publish_options={"verify_tls": False})
    assert change_of({"notes": None, "sync_options": None, "publish_options": None}).on(said) == Said()


@pytest.mark.parametrize(
    ("body", "operations"),
    [
        ({"display_name": "x", "notes": {"a": 1}}, []),
        ({"feed": FEED}, ["sync"]),
        ({"sync_options": {"concurrency": 8}, "publish_options": {"verify_tls": False}}, ["sync", "publish"]),
        ({"feed": None, "sync_options": {"concurrency": None}, "publish_options": None}, []),
    ],
)
def test_only_what_is_set_has_to_be_known_to_an_operation(body: dict[str, Any], operations: list[str]) -> None:
    assert change_of(body).operations == operations


def test_options_may_leave_out_what_a_submission_has() -> None:
    check_said(change_of({"sync_options": {"concurrency": 8}}).on(Said()), DECLARED)


@pytest.mark.parametrize("action", ["sync", "publish"])
def test_force_full_of_pulp_2_is_taken_and_changes_nothing(action: str) -> None:
    """The client of 2.21 sends it for `--force-full`."""
    assert run_arguments(action, {"force_full": True}) == {}
    assert run_arguments(action, {"force_full": True, "verify_tls": False}) == {"verify_tls": False}
