"""A filter of the v2 list is declared once: FastAPI reads its parameter, and the list takes its condition."""

from collections.abc import Mapping
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Query
from pulp_api.v2.filters import FILTERS, TaskListFilter, TaskListFilters
from pulp_projections.reading.queries import Condition

MADE_UP = TaskListFilters(
    TaskListFilter("colour", Annotated[list[str] | None, Query()], lambda texts: Condition("c", {"colour": texts})),
    TaskListFilter("is_iced", bool | None, lambda flag: Condition("i" if flag else "not i")),
)
APP = FastAPI()


@APP.get("/")
async def cakes(values: Annotated[Mapping[str, Any], Depends(MADE_UP)]) -> list[tuple[str, dict[str, Any]]]:
    return [(each.sql, dict(each.parameters)) for each in MADE_UP.conditions(values)]


async def ask(query: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://test") as client:
        return await client.get(f"/?{query}")


async def test_a_made_up_filter_is_read_and_selects() -> None:
    found = (await ask("colour=red&colour=blue&is_iced=false")).json()
    assert found == [["c", {"colour": ["red", "blue"]}], ["not i", {}]]


async def test_a_filter_that_is_not_given_selects_nothing_out() -> None:
    assert (await ask("")).json() == []
    assert (await ask("other=1")).json() == []


async def test_a_value_of_the_wrong_type_is_refused() -> None:
    assert (await ask("is_iced=perhaps")).status_code == 422


def test_the_filters_of_the_list_are_those_that_are_promised() -> None:
    promised = {"operation", "queue", "worker", "user", "resource", "since", "until", "has_reruns", "purged"}
    assert set(FILTERS.names) == promised  # as docs/reference/http.md has them
