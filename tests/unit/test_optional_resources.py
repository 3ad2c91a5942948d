"""A resource or tag that names an argument which is left out: its default counts, and without one it is left out too."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct
from pulp_api.submitting.submission import accepted, drafted, parse
from pulp_events.errors import BadInput
from pulp_operations import repair
from pulp_worker import Context, Operation, Resource, operation
from pulp_worker.arguments import RepositoryId

from tests.support.declared import row_of


class Loose(Struct, kw_only=True):
    repo_id: RepositoryId | None = None
    zone: str = "eu"
    count: Annotated[int, Meta(ge=1)]


@operation(
    "loose",
    arguments=Loose,
    resources=[
        Resource("repository", "{repo_id}"),
        Resource("counter", "{count}"),
        Resource("pair", "{repo_id}-{count}"),
    ],
    tags=["pulp:repository:{repo_id}", "count:{count}"],
)
def loose(context: Context[Loose]) -> None: ...


def submitted(of: Operation, arguments: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """The resources and tags of the task."""
    body = msgspec.json.encode({"operation": of.name, "arguments": arguments})
    draft = drafted(parse(body), row_of(of))
    data = accepted(draft)
    assert draft.resource in (*(item.key for item in data.resources), None)
    return [f"{item.key}:{item.access.value}" for item in data.resources], data.tags


def test_a_repair_of_one_repository_holds_it() -> None:
    resources, tags = submitted(repair, {"repo_id": "zoo"})
    assert resources == ["repository:zoo:exclusive", "content_unit:orphans:shared"]
    assert tags == ("pulp:repository:zoo", "pulp:action:repair")


@pytest.mark.parametrize("arguments", [{}, {"repo_id": None}])
def test_a_repair_of_all_holds_none_and_keeps_orphan_removal_away(arguments: Mapping[str, Any]) -> None:
    resources, tags = submitted(repair, arguments)
    assert resources == ["content_unit:orphans:shared"]
    assert tags == ("pulp:action:repair",)


def test_only_what_names_the_missing_argument_is_left_out() -> None:
    assert submitted(loose, {"count": 3}) == (["counter:3:exclusive"], ("count:3",))
    resources, tags = submitted(loose, {"count": 3, "repo_id": "zoo"})
    assert resources == ["repository:zoo:exclusive", "counter:3:exclusive", "pair:zoo-3:exclusive"]
    assert tags == ("pulp:repository:zoo", "count:3")


def test_a_required_argument_that_is_missing_is_still_refused() -> None:
    with pytest.raises(BadInput, match="count"):
        submitted(loose, {"repo_id": "zoo"})


class Zoned(Struct, kw_only=True):
    zone: str = "eu"
    rack: int = 7
    shelf: str | None = None


@operation(
    "zoned",
    arguments=Zoned,
    resources=[Resource("zone", "{zone}"), Resource("rack", "{zone}-{rack}"), Resource("shelf", "{rack}-{shelf}")],
    tags=["zone:{zone}", "shelf:{shelf}"],
)
def zoned(context: Context[Zoned]) -> None: ...


def test_an_argument_that_is_left_out_has_its_default() -> None:
    assert submitted(zoned, {}) == (["zone:eu:exclusive", "rack:eu-7:exclusive"], ("zone:eu",))
    assert submitted(zoned, {"rack": 0})[0] == ["zone:eu:exclusive", "rack:eu-0:exclusive"]
    assert submitted(zoned, {"zone": "us", "shelf": "top"}) == (
        ["zone:us:exclusive", "rack:us-7:exclusive", "shelf:7-top:exclusive"],
        ("zone:us", "shelf:top"),
    )


def test_the_arguments_of_the_task_stay_as_they_were_sent() -> None:
    data = accepted(drafted(parse(b'{"operation": "zoned", "arguments": {}}'), row_of(zoned)))
    assert bytes(data.arguments) == b"{}"
