"""Messages about invalid documents are in plain words: where the fault is and what is expected, without msgspec's
terms."""

import ast
import enum
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType
from pulp_api.bodies import BadBody, decoded
from pulp_api.schedules import ScheduleChange
from pulp_api.submitting.rerun import Rerun
from pulp_api.submitting.submission import Submission
from pulp_api.subscriptions import NewSubscription, Redelivery, Rotation
from pulp_api.v3.object_roles import RoleBody
from pulp_api.v3.tokens import NewToken
from pulp_events.errors import BadInput
from pulp_events.plain_words import REFUSALS, misfit_of

ROOT = Path(__file__).parents[2]
BODIES = (Submission, Rerun, ScheduleChange, NewSubscription, Redelivery, Rotation, RoleBody, NewToken)


class Mood(enum.StrEnum):
    GLAD = "glad"
    SAD = "sad"


class Inner(Struct, forbid_unknown_fields=True):
    retries: Annotated[int, Meta(ge=0, le=100)]


class Even(Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("an even number is expected")


class Document(Struct, forbid_unknown_fields=True, rename={"kind": "type"}):
    count: Annotated[int, Meta(ge=10, le=20)] | None = None
    above: Annotated[int, Meta(gt=10, lt=20)] = 11
    fives: Annotated[int, Meta(multiple_of=5)] = 10
    share: Annotated[float, Meta(ge=0, le=0.5)] = 0
    name: Annotated[str, Meta(min_length=1, max_length=5)] = "a"
    word: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"
    inner: Annotated[tuple[Inner, ...], Meta(max_length=1)] | None = None
    names: Annotated[tuple[str, ...], Meta(min_length=1)] = ("a",)
    pair: tuple[str, int] = ("a", 1)
    is_on: bool = True
    at: Annotated[datetime, Meta(tz=True)] | None = None
    local: Annotated[datetime, Meta(tz=False)] | None = None
    day: date | None = None
    span: timedelta | None = None
    group: UUID | UnsetType | None = UNSET
    mood: Mood | UnsetType = UNSET
    way: Literal["up", "down"] = "up"
    by_name: dict[str, Inner] | None = None
    few: Annotated[dict[str, int], Meta(max_length=1)] | None = None
    even: Even | None = None
    blob: bytes = b""
    kind: str = ""


ZONED = "must be a time with its zone, such as 2026-11-24T12:00:00Z"
TABLE = [
    ('{"count": "x"}', "count must be a whole number or null, not a text"),
    ('{"count": 10.5}', "count must be a whole number or null, not a number with a fraction"),
    ('{"count": true}', "count must be a whole number or null, not a boolean"),
    ('{"count": 9}', "count must be a whole number of at least 10"),
    ('{"count": 21}', "count must be a whole number of at most 20"),
    ('{"above": 10}', "above must be a whole number of at least 11"),
    ('{"above": null}', "above must be a whole number, not null"),
    ('{"fives": 3}', "fives must be a whole number that is a multiple of 5"),
    ('{"share": -1}', "share must be a number of at least 0"),
    ('{"share": 0.75}', "share must be a number of at most 0.5"),
    ('{"share": 1e999}', "share is a number that is out of range"),
    ('{"name": ""}', "name must be a text of at least 1 character"),
    ('{"name": "abcdef"}', "name must be a text of at most 5 characters"),
    ('{"name": []}', "name must be a text, not a list"),
    ('{"word": "A"}', "word must be a text that matches ^[a-z]+$"),
    ('{"inner": {}}', "inner must be a list or null, not an object"),
    ('{"inner": [{"retries": 1}, {"retries": 1}]}', "inner must be a list of at most 1 item"),
    ('{"inner": [{}]}', "inner[0].retries is required"),
    (
        '{"inner": [{"retries": 1, "retry": 2}]}',
        "inner[0].retry is not a known field, did you mean 'retries'? (known are: retries)",
    ),
    ('{"inner": [{"retries": 101}]}', "inner[0].retries must be a whole number of at most 100"),
    ('{"names": []}', "names must be a list of at least 1 item"),
    ('{"names": ["a", 1]}', "names[1] must be a text, not a number"),
    ('{"pair": ["a"]}', "pair must be a list of 2 items"),
    ('{"is_on": 1}', "is_on must be true or false, not a number"),
    ('{"at": "soon"}', f"at {ZONED}"),
    ('{"at": "2026-11-24T12:00:00"}', f"at {ZONED}"),
    ('{"local": "2026-11-24T12:00:00Z"}', "local must be a time without a zone, such as 2026-11-24T12:00:00"),
    ('{"day": "x"}', "day must be a date, such as 2026-11-24"),
    ('{"span": "x"}', "span must be a duration, such as PT30S"),
    ('{"group": "x"}', "group must be a UUID"),
    ('{"group": 5}', "group must be a UUID or null, not a number"),
    ('{"mood": "sadd"}', "mood cannot be 'sadd', did you mean 'sad'? (known are: glad, sad)"),
    ('{"way": "left"}', "way cannot be 'left' (known are: down, up)"),
    ('{"by_name": {"a": {"retries": "x"}}}', "by_name[...].retries must be a whole number, not a text"),
    ('{"few": {"a": 1, "b": 2}}', "few must be an object of at most 1 field"),
    ('{"even": {"number": 3}}', "even: an even number is expected"),
    ('{"blob": "?"}', "blob must be a text in Base64"),
    ('{"type": 1}', "type must be a text, not a number"),
    ("[]", "it must be an object, not a list"),
    ("null", "it must be an object, not null"),
    ("", "it is not JSON: it is empty, or ends too early"),
    ('{"count": ', "it is not JSON: it is empty, or ends too early"),
    ("{count: 1}", "it is not JSON: object keys must be strings at byte 1"),
    ('{"count": 12_0}', "it is not JSON: expected ',' or '}' at byte 12"),
]


def told(text: str | bytes, kind: Any = Document) -> str:
    with pytest.raises(REFUSALS) as raised:
        msgspec.json.decode(text, type=kind)
    return misfit_of(raised.value, kind).of("it")


@pytest.mark.parametrize(("text", "words"), TABLE)
def test_what_is_wrong_is_told_with_the_place_and_what_is_expected(text: str, words: str) -> None:
    assert told(text) == words


def test_an_unknown_field_is_told_with_those_that_are_known() -> None:
    known = ", ".join("type" if name == "kind" else name for name in Document.__struct_fields__)
    assert told('{"counts": 1}') == f"counts is not a known field, did you mean 'count'? (known are: {known})"
    assert told('{"": 1}') == f"... is not a known field (known are: {known})"
    assert told('{"a\\u0007": 1}').startswith("... is not")


def test_bytes_that_are_no_text_and_what_is_nested_too_deep() -> None:
    assert told(b'{"name": "\xff"}') == "it is not JSON: a text is not UTF-8"
    assert told("[" * 100_000, Any) == "it is not JSON: objects and lists are nested too deep"


@pytest.mark.parametrize(
    ("text", "path", "sentence"),
    [
        ('{"count": 9}', "count", "This field must be a whole number of at least 10."),
        ('{"even": {"number": 3}}', "even", "An even number is expected."),
        ("[]", "", "It must be an object, not a list."),
    ],
)
def test_an_answer_by_field_has_a_sentence_for_each(text: str, path: str, sentence: str) -> None:
    with pytest.raises(REFUSALS) as raised:
        msgspec.json.decode(text, type=Document)
    misfit = misfit_of(raised.value, Document)
    assert (misfit.path, misfit.sentence) == (path, sentence)


WRONG: list[Any] = [None, True, -(10**6), 10**12, 0.5, -0.5, "", "x" * 5000, "\x00", [], [[]], [{}], {}, {"x": 1}]
"""Something that fits no field, of each kind of JSON."""


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_no_body_of_the_api_is_refused_in_the_words_of_a_library(kind: Any) -> None:
    fields = kind.__struct_encode_fields__
    bodies = chain(({name: value} for name in fields for value in WRONG), WRONG, [{"colour": 1}, {}])
    refused = []
    for body in bodies:
        try:
            decoded(msgspec.json.encode(body), kind, "the body")
        except BadBody as error:
            refused.append(str(error))
        except BadInput as error:  # from a filter, which has its own words
            refused.append(f"the body cannot be used: {error}")
    assert len(refused) > len(fields)
    assert [text for text in refused if not text.startswith("the body cannot be used: ")] == []
    assert [text for text in refused if "`" in text or "$" in text or "Expected" in text or "Invalid" in text] == []


def test_only_one_module_reads_what_the_library_says() -> None:
    told = []
    # Not `events`: the reason why a record of the log is not an event is for the author of its writer, who may know the
    # library.
    for folder in ("projections", "services", "operations", "cli", "deploy"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            told += [f"{file.relative_to(ROOT)}:{line}" for line in shown_errors(ast.parse(file.read_text()))]
    assert told == []


def shown_errors(tree: ast.AST) -> list[int]:
    """The lines that copy a decoding error into a text."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and "msgspec." in ast.unparse(node.type or node):
            texts = [each.value for each in ast.walk(node) if isinstance(each, ast.FormattedValue)]
            texts += [each.args[0] for each in ast.walk(node) if isinstance(each, ast.Call) and is_str(each)]
            found += [text.lineno for text in texts if isinstance(text, ast.Name) and text.id == node.name]
    return found


def is_str(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "str" and bool(call.args)


def test_such_a_line_is_found() -> None:
    text = 'try:\n    f()\nexcept msgspec.ValidationError as error:\n    raise BadInput(f"bad: {error}")\n'
    assert shown_errors(ast.parse(text)) == [4]
