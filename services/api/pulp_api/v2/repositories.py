"""Repositories in the Pulp 2 dialect, as its `rpm repo` commands read and change them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from msgspec import Raw
from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition
from pulp_projections.repositories import Run

from pulp_api.bodies import json_object
from pulp_api.context import Call, Calling
from pulp_api.repositories import Repositories, Shown
from pulp_api.respond import API, json, position_header, second
from pulp_api.submitting.repository_bodies import check_id
from pulp_api.submitting.submission import Submission
from pulp_api.v2.filters import no_others
from pulp_api.v2.repository_bodies import DISTRIBUTOR, IMPORTER, KIND, created, updated
from pulp_api.v2.routes import report

router = APIRouter(prefix=f"{API}/v2/repositories")
_ROOT: Final = f"{API}/v2/repositories"
PIECE = 250
"""Repositories that a list reads at once."""
_UNITS: Final = {
    "packages": "rpm",
    "errata": "erratum",
    "package_groups": "package_group",
    "modules": "modulemd",
}
"""What a sync counts → Pulp 2's type of unit."""
_ACTIONS: Final = ("sync", "publish")


@router.get("/", dependencies=[no_others("details", "importers", "distributors", "limit", "skip")])
async def list_repositories(
    call: Calling,
    details: bool = False,
    importers: bool = False,
    distributors: bool = False,
    limit: Annotated[int | None, Query(ge=1)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """All repositories by id, with the counts of their newest successful sync.

    With `details` also how they are fetched and published.
    """
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    parts = _Parts(importers or details, distributors or details)
    first = await _piece(call.repositories, [], limit, skip)
    if len(first) < PIECE:
        return json([_shape(row) | parts.of(row) for row in first])
    pieces = _pieces(call.repositories, first, limit)
    return StreamingResponse(_array(pieces, parts), media_type="application/json")


async def _piece(
    repositories: Repositories, conditions: Sequence[Condition], limit: int | None, skip: int = 0
) -> list[Shown]:
    most = PIECE if limit is None else min(PIECE, limit)
    return (await repositories.page(conditions, order="r.repo_id", limit=most, offset=skip)).rows


async def _pieces(repositories: Repositories, rows: list[Shown], limit: int | None) -> AsyncIterator[list[Shown]]:
    """The pieces of a list, begun with `rows`."""
    left = limit
    while rows:
        yield rows
        left = None if left is None else left - len(rows)
        if left == 0:
            return
        behind = Condition("r.repo_id > %(last)s", {"last": rows[-1].record.repo_id})
        # A client that goes away cancels this; a statement that is broken off would cost the pool its connection.
        rows = await asyncio.shield(_piece(repositories, [behind], left))


async def _array(pieces: AsyncIterator[list[Shown]], parts: "_Parts") -> AsyncIterator[bytes]:
    """One list of all pieces; it must not take the memory of the process."""
    before = b"["
    async for rows in pieces:
        yield before + msgspec.json.encode([_shape(row) | parts.of(row) for row in rows])[1:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


@router.post("/")
async def create_repository(call: Calling, request: Request) -> Response:
    """Make a repository: 201."""
    call.need_submitter()
    body = json_object(await request.body())
    repo_id = check_id("id", body.get("id"))
    await call.change_repository()
    await call.repositories.create(repo_id, created(repo_id, body), call.author)
    href = _href(repo_id)
    return json(_shape(await call.repositories.get(repo_id)), 201, {"Location": href})


@router.get("/{repo_id}/")
async def read_repository(
    call: Calling, repo_id: str, details: bool = False, importers: bool = False, distributors: bool = False
) -> Response:
    """One repository."""
    await call.at_least_positions()
    found = await call.repositories.get(repo_id)
    return json(_shape(found) | _Parts(importers or details, distributors or details).of(found))


@router.put("/{repo_id}/")
async def update_repository(call: Calling, request: Request, repo_id: str) -> Response:
    """`{"delta": {...}, "importer_config": {...}}` changes what is named; a note that is null goes away."""
    call.need_submitter()
    body = json_object(await request.body())
    change = updated(repo_id, body)
    await call.change_repository()
    await call.repositories.update(repo_id, change, call.author)
    shown = _shape(await call.repositories.get(repo_id))
    # What 2.0 answers, and around it the call report of 2.21.
    return json({**shown, "result": shown, "error": None, "spawned_tasks": []})


@router.delete("/{repo_id}/")
async def delete_repository(call: Calling, repo_id: str) -> Response:
    """Remove a repository: its record now, and what it holds by a task behind those that still run."""
    submitted = await call.remove_repository(repo_id)
    return json(report(submitted.task), 202, position_header(submitted.position))


@router.get("/{repo_id}/importers/")
async def list_importers(call: Calling, repo_id: str) -> Response:
    """How the repository is fetched."""
    return json([_importer(await call.repositories.get(repo_id))])


@router.get("/{repo_id}/distributors/")
async def list_distributors(call: Calling, repo_id: str) -> Response:
    """How the repository is published."""
    return json([_distributor(await call.repositories.get(repo_id))])


@router.post("/{repo_id}/actions/{action}/")
async def act(call: Calling, request: Request, repo_id: str, action: str) -> Response:
    """Start a `sync` or a `publish`; the body's `override_config` has further arguments, for this once."""
    submitted = await _start(call, request, repo_id, action)
    return json(report(submitted.task), 202, position_header(submitted.position))


@router.post("/{repo_id}/actions//{action}/")
async def act_in_a_group(call: Calling, request: Request, repo_id: str, action: str) -> Response:
    """The same, as Pulp 2.0's client asks for it, with two slashes: it reads a list of call reports of one group."""
    submitted = await _start(call, request, repo_id, action)
    told = report(submitted.task) | {"_href": f"{API}/v2/task_groups/{submitted.task.group_id}/"}
    return json([told], 202, position_header(submitted.position))


async def _start(call: Call, request: Request, repo_id: str, action: str) -> Any:
    call.need_submitter()
    if action not in _ACTIONS:
        raise BadInput(f"unknown action {action!r}; known are: {', '.join(_ACTIONS)}")
    body = json_object(await request.body() or b"{}")
    further = body.get("override_config") or {}
    if not isinstance(further, dict):
        raise BadInput("override_config must be an object")
    if action == "publish":
        await call.at_least_positions()
        await call.repositories.get(repo_id)
    arguments = Raw(msgspec.json.encode({**further, "repo_id": repo_id}))
    return await call.submit(Submission(operation=action, arguments=arguments, group_id=call.group()))


def _href(repo_id: str) -> str:
    return f"{_ROOT}/{quote(repo_id, safe='')}/"


class _Parts(NamedTuple):
    """Which of its parts are shown with a repository."""

    importers: bool
    distributors: bool

    def of(self, shown: Shown) -> dict[str, Any]:
        """Those parts, by name."""
        importers = {"importers": [_importer(shown)]} if self.importers else {}
        return importers | ({"distributors": [_distributor(shown)]} if self.distributors else {})


def _shape(shown: Shown) -> dict[str, Any]:
    record, runs = shown
    units = {kind: shown.counts[name] for name, kind in _UNITS.items() if shown.counts.get(name)}
    total = sum(units.values())
    return {
        "_href": _href(record.repo_id),
        "_id": {"$oid": record.pulp_id.hex[:24]},
        "_ns": "repos",
        "id": record.repo_id,
        "display_name": record.display_name or record.repo_id,
        "description": record.description,
        "notes": {**record.notes, **KIND},
        "content_unit_counts": units,
        "content_unit_count": total,
        "total_repository_units": total,
        "locally_stored_units": total,
        "last_unit_added": _finished(runs.synced),
        "last_unit_removed": None,
        "scratchpad": {},
    }


def _importer(shown: Shown) -> dict[str, Any]:
    record, runs = shown
    return {
        "id": IMPORTER,
        "repo_id": record.repo_id,
        "importer_type_id": IMPORTER,
        "config": {**({} if shown.feed is None else {"feed": shown.feed}), **record.sync_options},
        "last_sync": _finished(runs.sync),
        "scratchpad": None,
        "_href": f"{_href(record.repo_id)}importers/{IMPORTER}/",
        "_ns": "repo_importers",
    }


def _distributor(shown: Shown) -> dict[str, Any]:
    record, runs = shown
    return {
        "id": DISTRIBUTOR,
        "repo_id": record.repo_id,
        "distributor_type_id": DISTRIBUTOR,
        "auto_publish": False,
        "config": {"relative_url": record.repo_id, **record.publish_options},
        "last_publish": _finished(runs.published),
        "scratchpad": None,
        "_href": f"{_href(record.repo_id)}distributors/{DISTRIBUTOR}/",
        "_ns": "repo_distributors",
    }


def _finished(run: Run | None) -> str | None:
    return None if run is None else second(run.finished_at)
