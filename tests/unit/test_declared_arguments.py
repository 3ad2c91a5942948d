"""Operations that declare their arguments: what they get, what they refuse, and the registered schema."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import Context, operation
from pulp_worker.arguments import REMEMBERED, HttpUrl, RepositoryId
from pulp_worker.testing import run_operation


class Mirror(Struct, kw_only=True):
    repo_id: RepositoryId
    feed: Annotated[HttpUrl, Meta(description="Where from."), REMEMBERED]
    depth: int | None = None


@dataclass
class Copy:
    source: HttpUrl
    names: list[str] = field(default_factory=list)


class Look(TypedDict, total=False):
    where: str


class Tree(Struct):
    left: "Tree | None" = None


@operation("mirror", arguments=Mirror)
async def mirror(context: Context[Mirror]) -> object:
    context.report({"feed": context.arguments.feed})
    return [type(context.arguments).__name__, context.arguments.feed, context.arguments.depth]


@operation("copy", arguments=Copy)
def copy(context: Context[Copy]) -> object:
    return [context.arguments.source, context.arguments.names]


@operation("look", arguments=Look)
async def look(context: Context[Look]) -> object:
    return context.arguments.get("where")


@operation("anything")
async def anything(context: Context) -> object:
    return dict(context.arguments)


async def test_an_operation_gets_the_type_that_it_declares(tmp_path: Path) -> None:
    given = {"repo_id": "zoo", "feed": "https://example.org/"}
    assert (await run_operation(mirror, given, storage=tmp_path)).result == ["Mirror", "https://example.org/", None]
    given = {"source": "https://example.org/"}
    assert (await run_operation(copy, given, storage=tmp_path)).result == ["https://example.org/", []]
    assert (await run_operation(look, {"where": "here"}, storage=tmp_path)).result == "here"


async def test_without_a_declaration_anything_is_taken(tmp_path: Path) -> None:
    given = {"feed": "http://me:secret@example.org/", "x": [1, None]}
    assert (await run_operation(anything, given, storage=tmp_path)).result == given
    assert anything.schema is None


@pytest.mark.parametrize(
    ("of", "given", "told"),
    [
        (mirror, {"repo_id": "zoo"}, "operation mirror: argument feed is required"),
        (mirror, {"feeds": 1}, "operation mirror: unknown argument 'feeds'; it takes: repo_id, feed, depth"),
        (copy, {"source": "zoo"}, "operation copy: argument source: an http or https URL with a host is expected"),
        (copy, {"source": 1}, "operation copy: argument source must be a text, not a number"),
        (copy, {"source": "http://h/", "names": [1]}, "argument names[0] must be a text, not a number"),
        (look, {"where": 1}, "argument where must be a text"),
        (look, {"were": "x"}, "unknown argument 'were'"),
        (remove_orphans, {"all": True}, "unknown argument 'all'; it takes: content_type"),
    ],
)
async def test_what_does_not_fit_fails_the_task_with_a_message_and_no_traceback(
    tmp_path: Path, of: Any, given: dict[str, Any], told: str
) -> None:
    outcome = await run_operation(of, given, storage=tmp_path)
    assert (outcome.state, outcome.error_code, outcome.traceback) == ("failed", "bad-arguments", None)
    assert told in str(outcome.error_description)


@pytest.mark.parametrize("of", [mirror, copy, look, sync, publish, remove_orphans])
def test_the_schema_is_one_of_draft_2020_12_with_the_fields_on_top(of: Any) -> None:
    Draft202012Validator.check_schema(of.schema)
    assert of.schema["type"] == "object"
    assert of.schema["additionalProperties"] is False


def test_what_the_schema_says() -> None:
    assert mirror.schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mirror",
        "type": "object",
        "properties": {
            "repo_id": {"type": "string", "format": "repository-id", "minLength": 1, "maxLength": 200},
            "feed": {
                "description": "Where from.",
                "type": "string",
                "format": "http-url",
                "minLength": 1,
                "maxLength": 2000,
                "x-pulp-remembered": True,
            },
            "depth": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["repo_id", "feed"],
        "additionalProperties": False,
    }


def test_a_declaration_may_hold_itself() -> None:
    schema = operation("tree", arguments=Tree)(lambda context: None).schema
    assert schema is not None
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"left": {"left": None}})
    assert not validator.is_valid({"left": {"left": 1}})


@pytest.mark.parametrize("kind", [int, dict, list[int], object])
def test_what_is_no_declaration_is_refused_where_it_is_made(kind: Any) -> None:
    with pytest.raises(ValueError, match="operation 'x': "):
        operation("x", arguments=kind)


def test_shipped_operations_declare_what_they_take() -> None:
    taken = {of.name: list((of.schema or {})["properties"]) for of in (sync, publish, remove_orphans)}
    assert taken == {
        "sync": [
            *("repo_id", "feed", "concurrency", "verify_tls", "credential", "mode", "metadata"),
            *("retention", "most_removed_percent", "allow_shrink"),
        ],
        "publish": ["repo_id", "packages_url", "compression", "metadata", "verify_tls"],
        "remove-orphans": ["content_type"],
    }
    assert all("description" in each for of in (sync, publish) for each in (of.schema or {})["properties"].values())
