"""A filter of the v3 dialect is declared once: the list takes it, and the OpenAPI document describes it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pulp_api.openapi.calls import call
from pulp_api.openapi.document import document
from pulp_api.v3.declared_filters import EVERYTHING, TIMES, DeclaredFilters, choices, column, where
from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.filters import TASK_FILTERS
from pulp_api.v3.parameters import CONTROLS, controls
from pulp_api.v3.repositories import REPOSITORY_FILTERS
from pulp_api.v3.task_groups import GROUP_FILTERS
from pulp_api.v3.users import ROLE_FILTERS, USER_FILTERS
from pulp_api.v3.workers import WORKER_FILTERS
from starlette.datastructures import QueryParams

MADE_UP = DeclaredFilters(
    controls("limit fields"),
    column("colour", "t.colour", "exact ne in contains", is_counted=True),
    column("mood", "t.mood", "exact in", choices({"glad": 1, "sad": 2})),
    column("baked_at", "t.baked_at", "lt gte range isnull", TIMES, not_before="t.mixed_at"),
    where("has_icing", "exists (select from icings i where i.cake = {value})"),
)
DESCRIBED = {
    "limit": ({"type": "integer"}, {}),
    "fields": ({"type": "array", "items": {"type": "string"}}, {}),
    "colour": ({"type": "string"}, {}),
    "colour__ne": ({"type": "string"}, {}),
    "colour__in": ({"type": "array", "items": {"type": "string"}}, {"explode": False, "style": "form"}),
    "colour__contains": ({"type": "string"}, {}),
    "mood": ({"type": "string", "enum": ["glad", "sad"]}, {}),
    "mood__in": (
        {"type": "array", "items": {"type": "string", "enum": ["glad", "sad"]}},
        {"explode": False, "style": "form"},
    ),
    "baked_at__lt": ({"type": "string", "format": "date-time"}, {}),
    "baked_at__gte": ({"type": "string", "format": "date-time"}, {}),
    "baked_at__range": (
        {"type": "array", "items": {"type": "string", "format": "date-time"}, "minItems": 2, "maxItems": 2},
        {"explode": False, "style": "form"},
    ),
    "baked_at__isnull": ({"type": "boolean"}, {}),
    "has_icing": ({"type": "string"}, {}),
}
"""Parameter → its schema, and how its items are joined, by the OpenAPI specification 3.0.3 (Parameter Object)."""
MONDAY, TUESDAY = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)


def test_a_made_up_filter_is_described_as_it_is_declared() -> None:
    described = call("tasks_list", query=MADE_UP.parameters)["parameters"]
    assert {each.pop("name"): (each.pop("schema"), each) for each in described} == {
        name: (schema, {"in": "query", **joined}) for name, (schema, joined) in DESCRIBED.items()
    }


@pytest.mark.parametrize(
    ("name", "texts", "sql", "parameters"),
    [
        ("colour", ["red"], "t.colour = %(colour)s", {"colour": "red"}),
        ("colour", ["red", "blue"], "t.colour = %(colour)s", {"colour": "blue"}),
        ("colour__ne", ["red"], "t.colour <> %(colour__ne)s", {"colour__ne": "red"}),
        ("colour__in", ["a, b", "c"], "t.colour = any (%(colour__in)s)", {"colour__in": ["a", "b", "c"]}),
        (
            "colour__contains",
            ["'; --"],
            "position(%(colour__contains)s in t.colour) > 0",
            {"colour__contains": "'; --"},
        ),
        ("mood", ["sad"], "t.mood = %(mood)s", {"mood": 2}),
        ("mood__in", ["sad,odd,glad"], "t.mood = any (%(mood__in)s)", {"mood__in": [2, 1]}),
        (
            "baked_at__lt",
            ["2026-11-24"],
            "t.baked_at < %(baked_at__lt)s and t.mixed_at <= %(baked_at__lt)s + interval '1 hour'",
            {"baked_at__lt": TUESDAY},
        ),
        ("baked_at__gte", ["2026-11-24"], "t.baked_at >= %(baked_at__gte)s", {"baked_at__gte": TUESDAY}),
        (
            "baked_at__range",
            ["2026-11-23,2026-11-24"],
            "t.baked_at between %(baked_at__range_from)s and %(baked_at__range_to)s",
            {"baked_at__range_from": MONDAY, "baked_at__range_to": TUESDAY},
        ),
        ("baked_at__isnull", ["true"], "t.baked_at is null", {}),
        ("baked_at__isnull", ["false"], "t.baked_at is not null", {}),
        (
            "has_icing",
            ["tart"],
            "exists (select from icings i where i.cake = %(has_icing)s)",
            {"has_icing": "tart"},
        ),
    ],
)
def test_a_made_up_filter_selects_by_bound_values(
    name: str, texts: list[str], sql: str, parameters: dict[str, Any]
) -> None:
    found = MADE_UP.condition(name, texts)
    assert (found.sql, found.parameters) == (sql, parameters)
    assert found.is_counted == name.startswith("colour")


@pytest.mark.parametrize("name", ["taste", "colour__", "colour__exact", "baked_at", "baked_at__", "limit"])
def test_what_is_not_declared_is_refused(name: str) -> None:
    assert name not in MADE_UP
    with pytest.raises(FieldErrors) as caught:
        MADE_UP.condition(name, ["x"])
    assert caught.value.errors == {"errors": [f"Invalid Filter: '{name}'"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mood", "odd", "Select a valid choice. odd is not one of the available choices."),
        ("baked_at__lt", "soon", "Enter a valid date/time."),
        ("baked_at__range", "2026-11-24", "Range query expects two values."),
    ],
)
def test_a_bad_value_is_refused_in_the_words_of_pulp_3(name: str, text: str, message: str) -> None:
    with pytest.raises(FieldErrors) as caught:
        MADE_UP.condition(name, [text])
    assert caught.value.errors == {name: [message]}


@pytest.mark.parametrize("name", ["colour", "colour__in", "mood", "baked_at__lt", "baked_at__range", "has_icing"])
def test_a_filter_without_a_value_selects_everything(name: str) -> None:
    assert MADE_UP.condition(name, [""]) is EVERYTHING
    assert MADE_UP.conditions(QueryParams({name: ""})) == []


def test_a_flag_that_is_none_selects_everything() -> None:
    assert MADE_UP.condition("baked_at__isnull", ["garbage"]) is EVERYTHING


@pytest.mark.parametrize("pattern", ["x" * 201, r"(a)\1"])
def test_a_pattern_that_may_take_long_is_refused(pattern: str) -> None:
    with pytest.raises(FieldErrors):
        WORKER_FILTERS.condition("name__regex", [pattern])


@pytest.mark.parametrize("text", ["[1]", "{", '{"a":' * 2000, '{"a":' * 2000 + "1" + "}" * 2000])
def test_arguments_are_looked_for_by_an_object_that_is_not_endless(text: str) -> None:
    """A URL has room for objects nested more deeply than a parser takes; that was once an internal error."""
    with pytest.raises(FieldErrors) as caught:
        TASK_FILTERS.condition("arguments__contains", [text])
    assert caught.value.errors == {"arguments__contains": ['Enter a JSON object, such as {"feed": "URL"}.']}


def test_a_name_cannot_be_declared_twice() -> None:
    with pytest.raises(AssertionError, match="twice"):
        DeclaredFilters(controls("limit"), column("limit", "t.most", "exact"))


@pytest.mark.parametrize(
    ("path", "filters"),
    [
        ("tasks", TASK_FILTERS),
        ("workers", WORKER_FILTERS),
        ("task-groups", GROUP_FILTERS),
        ("users", USER_FILTERS),
        ("groups", ROLE_FILTERS),
        ("repositories", REPOSITORY_FILTERS),
        ("repositories/rpm/rpm", REPOSITORY_FILTERS),
    ],
)
def test_the_document_describes_what_the_list_takes(path: str, filters: DeclaredFilters) -> None:
    described = [each["name"] for each in document()["paths"][f"/pulp/api/v3/{path}/"]["get"]["parameters"]]
    moments = ["as_of"] if path == "tasks" else []  # no filter: which moment is shown
    assert described == [*(parameter.name for parameter in filters.parameters), *moments]
    assert {name for name in described if name not in filters} <= {*CONTROLS, "q", *moments}


def test_a_time_with_an_empty_lookup_is_an_unknown_filter() -> None:
    with pytest.raises(FieldErrors, match="Invalid Filter"):
        TASK_FILTERS.condition("pulp_created__", ["2026-11-24"])
