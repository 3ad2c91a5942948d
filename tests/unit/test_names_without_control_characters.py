"""No name that a user chooses holds a control character: it would break the lines of logs and listings."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pulp_api.schedules import parse_change
from pulp_api.submitting import rerun, submission
from pulp_api.submitting.repository_bodies import BadRepository, change_of
from pulp_api.subscriptions import parse_new
from pulp_api.v3.parameters import NAMED, PRINTED
from pulp_events.errors import BadInput

CONTROL = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
SUBMISSION = {"operation": "sync", "arguments": {}}
RESOURCE = {"type": "repository", "id": "zoo"}
BODIES: list[tuple[Callable[[bytes], object], dict[str, Any], str]] = [
    (parse_new, {"name": "a{}b", "url": "https://example.org/"}, "name"),
    (parse_change, {"name": "a{}b"}, "name"),
    (parse_change, {"queue": "a{}b"}, "queue"),
    (parse_change, {"tags": ["right", "a{}b"]}, "tags[1]"),
    (parse_change, {"resources": [{**RESOURCE, "id": "a{}b"}]}, "resources[0].id"),
    (submission.parse, {**SUBMISSION, "queue": "a{}b"}, "queue"),
    (submission.parse, {**SUBMISSION, "tags": ["a{}b"]}, "tags[0]"),
    (submission.parse, {**SUBMISSION, "resources": [RESOURCE, {**RESOURCE, "type": "a{}b"}]}, "resources[1].type"),
    (rerun.parse, {"queue": "a{}b"}, "queue"),
]


def filled(template: Any, inserted: str) -> bytes:
    quoted = msgspec.json.encode(f"a{inserted}b")
    return msgspec.json.encode(template).replace(b'"a{}b"', quoted)


@pytest.mark.parametrize("character", CONTROL, ids=ascii)
@pytest.mark.parametrize(("parse", "template", "place"), BODIES)
def test_a_control_character_is_refused(
    parse: Callable[[bytes], object], template: dict[str, Any], place: str, character: str
) -> None:
    with pytest.raises(BadInput) as refused:
        parse(filled(template, character))
    assert f"{place} has a control character" in str(refused.value)
    assert character not in str(refused.value)


@pytest.mark.parametrize("name", [" ", " a", "a ", "\u3000a"])
@pytest.mark.parametrize(("parse", "template", "place"), BODIES)
def test_a_blank_at_an_end_is_refused(
    parse: Callable[[bytes], object], template: dict[str, Any], place: str, name: str
) -> None:
    body = msgspec.json.encode(template).replace(b"a{}b", name.encode())
    with pytest.raises(BadInput) as refused:
        parse(body)
    assert f"{place} begins or ends with a blank" in str(refused.value)
    assert re.search(NAMED, name) is None


@pytest.mark.parametrize("inserted", ["", " ", "-", "é", "動", "👩‍🔧", "\u00a0"])
@pytest.mark.parametrize(("parse", "template", "place"), BODIES)
def test_other_characters_are_taken(
    parse: Callable[[bytes], object], template: dict[str, Any], place: str, inserted: str
) -> None:
    parse(filled(template, inserted))


@pytest.mark.parametrize("character", CONTROL, ids=ascii)
def test_nor_is_one_in_the_name_that_a_repository_shows(character: str) -> None:
    with pytest.raises(BadRepository, match="display_name"):
        change_of({"display_name": f"Zoo{character}"})
    if character != "\0":
        change_of({"description": f"Two{character}lines"})


@pytest.mark.parametrize("character", CONTROL, ids=ascii)
def test_the_document_says_so(character: str) -> None:
    for pattern in (PRINTED, NAMED):
        assert re.search(pattern, "zoo and more") is not None
        assert re.search(pattern, f"a{character}b") is None
