"""Repositories in the v2 dialect, as Pulp 2's `rpm repo` commands read and change them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from msgspec import Raw
from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import json_object
from pulp_api.errors import BadProperty, NoSuch, NotServed
from pulp_api.repositories import Repositories, ShownRepository
from pulp_api.respond import json, position_header
from pulp_api.submitting.repository_bodies import check_id
from pulp_api.submitting.submission import Submission
from pulp_api.v2.dialect import ROOT, decoded
from pulp_api.v2.filters import CRITERIA, CriteriaInUrl, no_others
from pulp_api.v2.report import accepted, in_group
from pulp_api.v2.repository_bodies import created, run_arguments, updated
from pulp_api.v2.repository_search import RepositorySearch, repository_search_of
from pulp_api.v2.repository_shapes import Parts, distributor, href_of_repository, importer, shape

_ROOT: Final = f"{ROOT}/repositories"
router = APIRouter(prefix=_ROOT)
_PART_NAMES: Final = ("details", "importers", "distributors")
MOST_FOUND: Final = 10_000
"""The most repositories of one search."""
CHUNK_SIZE = 250
"""How many repositories a list reads with one query."""
RepositoryId = Annotated[str, decoded("repo_id")]
ImporterId = Annotated[str, decoded("importer_id")]
DistributorId = Annotated[str, decoded("distributor_id")]
Action = Annotated[str, decoded("action")]
_ACTIONS: Final = ("sync", "publish")
_OTHER_ACTIONS: Final = ("associate", "unassociate", "import_upload", "download", "export", "copy")
"""Those of Pulp 2 that are not served."""


@router.get("/", dependencies=[no_others(*_PART_NAMES, "limit", "skip")])
async def list_repositories(
    call: Authenticated,
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
    parts = Parts(importers or details, distributors or details)
    first = await _chunk(call.repositories, [], limit, skip)
    if len(first) < CHUNK_SIZE:
        return json([shape(row) | parts.of(row) for row in first])
    chunks = _chunks(call.repositories, first, limit)
    return StreamingResponse(_array(chunks, parts), media_type="application/json")


async def _chunk(
    repositories: Repositories, conditions: Sequence[Condition], limit: int | None, skip: int = 0
) -> list[ShownRepository]:
    most = CHUNK_SIZE if limit is None else min(CHUNK_SIZE, limit)
    return await repositories.search(conditions, order="r.repo_id", limit=most, offset=skip)


async def _chunks(
    repositories: Repositories, rows: list[ShownRepository], limit: int | None
) -> AsyncIterator[list[ShownRepository]]:
    """The chunks of a list; the first is `rows`."""
    left = limit
    while rows:
        yield rows
        left = None if left is None else left - len(rows)
        if left == 0:
            return
        behind = Condition("r.repo_id > %(last)s", {"last": rows[-1].record.repo_id})
        # A client that disconnects cancels this; cancelling a running query would cost the pool its connection.
        rows = await asyncio.shield(_chunk(repositories, [behind], left))


async def _array(chunks: AsyncIterator[list[ShownRepository]], parts: Parts) -> AsyncIterator[bytes]:
    """Encode the chunks as one JSON array, without holding all of them in memory."""
    before = b"["
    async for rows in chunks:
        yield before + msgspec.json.encode([shape(row) | parts.of(row) for row in rows])[1:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


@router.post("/")
async def create_repository(call: Authenticated, request: Request) -> Response:
    """Create a repository: 201."""
    call.need_submitter()
    body = json_object(await request.body())
    repo_id = check_id("id", body.get("id"))
    await call.change_repository()
    await call.repositories.create(repo_id, created(repo_id, body), call.editor)
    href = href_of_repository(repo_id)
    return json(shape(await call.repositories.get(repo_id)), 201, {"Location": href})


@router.post("/search/")
async def search_repositories(call: Authenticated, request: Request) -> Response:
    """`{"criteria": {...}, "importers": true, "distributors": true}`, in the language of the searches for tasks."""
    await call.quotas.search(call.asking)
    body = json_object(await request.body())
    details = body.get("details") is True
    parts = Parts(body.get("importers") is True or details, body.get("distributors") is True or details)
    return await _found(call, repository_search_of(body), parts)


@router.get("/search/", dependencies=[no_others(*CRITERIA, *_PART_NAMES)])
async def search_repositories_by_url(
    call: Authenticated,
    criteria: CriteriaInUrl,
    details: bool = False,
    importers: bool = False,
    distributors: bool = False,
) -> Response:
    """The same, with `filters` and `sort` as JSON texts, and `field` repeated."""
    await call.quotas.search(call.asking)
    search = repository_search_of(criteria)
    return await _found(call, search, Parts(importers or details, distributors or details))


async def _found(call: AuthenticatedCall, search: RepositorySearch, parts: Parts) -> Response:
    await call.at_least_positions()
    limit = MOST_FOUND + 1 if search.limit is None else min(search.limit, MOST_FOUND + 1)
    rows = await call.repositories.search(
        [search.condition], order=search.order, limit=limit, offset=search.skip, has_patterns=search.has_patterns
    )
    if len(rows) > MOST_FOUND:
        raise BadProperty("limit", f"more than {MOST_FOUND} repositories match: page by 'limit' and 'skip'")
    return json([search.pick(shape(row) | parts.of(row)) for row in rows])


@router.get("/{repo_id}/")
async def read_repository(
    call: Authenticated,
    repo_id: RepositoryId,
    details: bool = False,
    importers: bool = False,
    distributors: bool = False,
) -> Response:
    """One repository."""
    await call.at_least_positions()
    found = await call.repositories.get(repo_id)
    return json(shape(found) | Parts(importers or details, distributors or details).of(found))


@router.put("/{repo_id}/")
async def update_repository(call: Authenticated, request: Request, repo_id: RepositoryId) -> Response:
    """`{"delta": {...}, "importer_config": {...}}` changes the named fields; a null removes a note."""
    call.need_submitter()
    body = json_object(await request.body())
    change = updated(repo_id, body)
    await call.change_repository()
    await call.repositories.update(repo_id, change, call.editor)
    shown = shape(await call.repositories.get(repo_id))
    # The answer of 2.0, and around it the call report of 2.21.
    return json({**shown, "result": shown, "error": None, "spawned_tasks": []})


@router.delete("/{repo_id}/")
async def delete_repository(call: Authenticated, repo_id: RepositoryId) -> Response:
    """Remove a repository: its record now, its content by a task that waits for those still running."""
    submitted = await call.remove_repository(repo_id)
    return json(accepted(submitted.task), 202, position_header(submitted.position))


@router.get("/{repo_id}/importers/")
async def list_importers(call: Authenticated, repo_id: RepositoryId) -> Response:
    """The repository's importer."""
    return json([importer(await call.repositories.get(repo_id))])


@router.get("/{repo_id}/importers/{importer_id}/")
async def read_importer(call: Authenticated, repo_id: RepositoryId, importer_id: ImporterId) -> Response:
    """The repository's importer, by its id."""
    found = importer(await call.repositories.get(repo_id))
    if importer_id != found["id"]:
        raise NoSuch("importer", importer_id)
    return json(found)


@router.get("/{repo_id}/distributors/")
async def list_distributors(call: Authenticated, repo_id: RepositoryId) -> Response:
    """The repository's distributor."""
    return json([distributor(await call.repositories.get(repo_id))])


@router.get("/{repo_id}/distributors/{distributor_id}/")
async def read_distributor(call: Authenticated, repo_id: RepositoryId, distributor_id: DistributorId) -> Response:
    """The repository's distributor, by its id."""
    found = distributor(await call.repositories.get(repo_id))
    if distributor_id != found["id"]:
        raise NoSuch("distributor", distributor_id)
    return json(found)


@router.post("/{repo_id}/actions/{action}/")
async def act(call: Authenticated, request: Request, repo_id: RepositoryId, action: Action) -> Response:
    """Start a `sync` or a `publish`; `override_config` in the body has arguments for this run only."""
    submitted = await _start(call, request, repo_id, action)
    return json(accepted(submitted.task), 202, position_header(submitted.position))


@router.post("/{repo_id}/actions//{action}/")
async def act_in_a_group(call: Authenticated, request: Request, repo_id: RepositoryId, action: Action) -> Response:
    """The same for Pulp 2.0's client, which sends two slashes and expects a list of call reports of one group."""
    submitted = await _start(call, request, repo_id, action)
    return json([in_group(accepted(submitted.task))], 202, position_header(submitted.position))


async def _start(call: AuthenticatedCall, request: Request, repo_id: str, action: str) -> Any:
    call.need_submitter()
    if action in _OTHER_ACTIONS:
        raise NotServed(f"Not implemented: {action}. Content is managed by whole repositories: sync and publish them.")
    if action not in _ACTIONS:
        raise BadInput(f"unknown action {action!r}; known are: {', '.join(_ACTIONS)}")
    body = json_object(await request.body() or b"{}")
    further = body.get("override_config") or {}
    if not isinstance(further, dict):
        raise BadInput("override_config must be an object")
    if action == "publish":
        await call.at_least_positions()
        await call.repositories.get(repo_id)
    arguments = Raw(msgspec.json.encode({**run_arguments(action, further), "repo_id": repo_id}))
    return await call.submit(Submission(operation=action, arguments=arguments))
