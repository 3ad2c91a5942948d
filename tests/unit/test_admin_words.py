"""One table of the words for states: every spelling is read, the guide's words are printed."""

from pathlib import Path

import httpx
import pytest
from pulp_admin.words import STATES, UnknownState, spellings, state_of, state_of_report, states_in
from pulp_api.v2.words import WORDS as PULP2
from pulp_api.v3.tasks import WORDS as PULP3
from pulp_events.task import State

from tests.support.admin import admin


def test_the_table_has_the_words_of_both_dialects_of_the_server() -> None:
    for state in State:
        row = state_of(PULP3[state])
        assert row.pulp2 == PULP2.get(state, "cancelling"), state
        assert state_of(state.value) is row, "the events' own word"


def test_no_word_means_two_states() -> None:
    words = [word.lower() for row in STATES for word in {row.guide.lower(), row.pulp2, row.pulp3, *row.synonyms}]
    assert sorted(words) == sorted(set(words))
    assert sorted(words) == sorted(spellings())


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["completed"], ["Successful"]),
        (["successful"], ["Successful"]),
        (["finished"], ["Successful"]),
        (["Error"], ["Error"]),
        (["FAILED"], ["Error"]),
        (["cancelled", "canceled"], ["Cancelled"]),
        (["running,waiting"], ["Running", "Waiting"]),
        ([" Running , waiting,", "skipped"], ["Running", "Waiting", "Skipped"]),
        (["canceling"], ["Cancelling"]),
        ([], []),
    ],
)
def test_every_spelling_is_read(texts: list[str], expected: list[str]) -> None:
    assert [state.guide for state in states_in(texts)] == expected


def test_what_is_no_state_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownState) as raised:
        states_in(["runing"])
    assert str(raised.value).startswith(
        "'runing' is not a state; they are Waiting, Running, Cancelling, Successful, Error, Cancelled, Skipped. Did"
        " you mean 'running'"
    )


def test_a_word_of_a_newer_server_is_unknown() -> None:
    assert state_of("suspended").guide == "Unknown"
    assert state_of_report({"state": "suspended"}).exit_code is None


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ([], ["waiting", "running", "cancelling"]),
        (["--all"], ["waiting", "running", "cancelling", "finished", "error", "canceled", "skipped"]),
        (["--all", "--who", "jo"], []),
        (["--state", "completed"], ["finished"]),
        (["--state", "Running,waiting", "-s", "failed"], ["running", "waiting", "error"]),
    ],
)
def test_the_server_is_asked_in_its_own_words(tmp_path: Path, arguments: list[str], sent: list[str]) -> None:
    asked: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get_list("state"))
        return httpx.Response(200, json=[])

    assert admin(tmp_path, answer, "tasks", "list", *arguments) == 0
    assert asked == [sent]
