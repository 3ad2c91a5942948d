"""A new member of a closed set is missing nowhere: one test a table, so that a failure names the table."""

from typing import get_args

from pulp_admin.words import STATES
from pulp_api.v2 import search
from pulp_api.v3 import tasks, waiting
from pulp_events import audit, codec
from pulp_events.events import Data
from pulp_events.task import State


def test_the_codec_has_a_wire_type_for_every_kind_of_event() -> None:
    assert set(codec.TYPES) == set(get_args(Data))


def test_v2_has_a_word_for_every_state_but_cancelling() -> None:
    assert set(search.WORDS) == set(State) - {State.CANCELLING}  # which v2 shows as waiting or running


def test_v3_has_a_word_for_every_state() -> None:
    assert set(tasks.WORDS) == set(State)


def test_the_reasons_for_waiting_have_words_for_every_state() -> None:
    assert set(waiting._IS) == {*State, None}


def test_the_client_knows_every_word_of_v3() -> None:
    assert {state.pulp3 for state in STATES} == set(tasks.WORDS.values())


def test_every_kind_of_audit_record_has_an_outcome() -> None:
    assert set(audit.OUTCOMES) == set(audit.What)
