"""Which names a reason is searched for: runs of whole words, compared with another calculation over small texts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_api.v3.subjects import MAX_REASON
from pulp_projections.personal.naming import possible_names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("jo", "asked by jo"),
        ("Jo", "asked by jo, by mail"),
        ("jo", "JO ASKED"),
        ("jo.bloggs@example.org", "mail from Jo.Bloggs@example.org of today"),
        ("Jo Bloggs", "for jo bloggs"),
        ("4711", "customer 4711"),
        ("zoë", "ZOË asked"),
        ("jo!", "by jo! today"),
        ("Straße 1", "of Straße 1."),
        ("Jose\u0301", "asked by Jos\u00e9"),  # the accent decomposed, then composed
        ("Jos\u00e9", "asked by JOSE\u0301"),
    ],
)
def test_a_name_is_found_as_words_in_any_usual_case(name: str, reason: str) -> None:
    assert name in possible_names(reason)


@pytest.mark.parametrize(("name", "reason"), [("jo", "job 4711"), ("McLeod", "mcleod"), ("jo bloggs", "jo  bloggs")])
def test_what_the_page_says_is_not_found(name: str, reason: str) -> None:
    assert name not in possible_names(reason)


@given(st.text(st.sampled_from("ab. -"), max_size=12))
def test_every_run_of_words_is_tried(text: str) -> None:
    edges = {index for index in range(len(text) + 1) if not re.fullmatch(r"\w\w", text[max(index - 1, 0) : index + 1])}
    runs = {text[first:last] for first in edges for last in edges if first < last}
    assert {run for run in runs if run == run.strip()} <= possible_names(text)


def test_the_longest_reason_is_searched_in_a_moment() -> None:
    reason = ".".join(f"{number:x}" for number in range(1000))[:MAX_REASON]
    assert len(reason) == MAX_REASON
    assert len(possible_names(reason)) < MAX_REASON**2
