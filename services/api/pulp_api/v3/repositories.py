"""Repositories in the v3 dialect: Pulp 3's RPM repositories, with additional fields."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, LiteralString, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.task import State
from pulp_projections.repositories import Repository, RepositoryRun, Version

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import json_object
from pulp_api.repositories import NoRepository, ShownRepository
from pulp_api.respond import instant, json, position_header
from pulp_api.submitting.arguments import Problem
from pulp_api.submitting.repository_bodies import BadRepository, change_of, check_id
from pulp_api.submitting.submitter import Submitted
from pulp_api.v3.answers import AcceptedResponse, JsonObject, Time
from pulp_api.v3.asked import asked
from pulp_api.v3.declared_filters import DeclaredFilters, column
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.identity import identity
from pulp_api.v3.ordering import order_by, ordering
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import TEXT, QueryParameter, controls
from pulp_api.v3.picking import picker
from pulp_api.v3.references import Kind
from pulp_api.v3.tasks import WORDS, href_of

router = APIRouter(prefix=ROOT)
_ORDERS: Final[Mapping[str, LiteralString]] = {
    "name": "r.repo_id",
    "pulp_created": "r.created_at",
    "pulp_last_updated": "r.updated_at",
}
REPOSITORY_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields"), ordering(_ORDERS), QueryParameter("q", TEXT)],
    column("name", "r.repo_id", "exact in contains icontains startswith"),
    identity(Kind.REPOSITORY, "r.pulp_id"),
)
_RPM: Final = "/repositories/rpm/rpm"
_MAX_LIMIT: Final = 250
"""The most repositories of a page: one may take 20 KiB."""
_COUNTS: Final = {
    "packages": "rpm.package",
    "errata": "rpm.advisory",
    "package_groups": "rpm.packagegroup",
    "modules": "rpm.modulemd",
}
"""The count that a sync reports → Pulp 3's content type."""
_CONTENT: Final = (*_COUNTS, "tree_files")


class RepositoryRunErrorResponse(TypedDict):
    """Why a run did not succeed."""

    code: str | None
    description: str | None


class RepositoryRunResponse(TypedDict):
    """The newest sync or publish of a repository."""

    task: Annotated[str, Meta(description="The href of the task.")]
    state: str
    submitted_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: RepositoryRunErrorResponse | None


class RepositoryResponse(TypedDict):
    """A repository: Pulp 3's fields, then those that only this service has."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    versions_href: str
    pulp_labels: Annotated[dict[str, str], Meta(description="The notes whose values are texts.")]
    latest_version_href: str | None
    name: str
    description: str | None
    retain_repo_versions: int | None
    remote: Annotated[None, Meta(description="Always null: a repository has its own feed.")]
    display_name: str | None
    notes: JsonObject
    feed: str | None
    feed_source: Annotated[
        Literal["repository", "sync"] | None,
        Meta(description="Where the feed comes from: the repository, or else its newest sync."),
    ]
    sync_options: JsonObject
    publish_options: JsonObject
    created_by: str
    updated_by: str
    version: Annotated[int | None, Meta(description="The newest version; null before the first successful sync.")]
    content: Annotated[dict[str, int], Meta(description="What the newest successful sync counted.")]
    last_sync: RepositoryRunResponse | None
    last_publish: RepositoryRunResponse | None


class ContentCountResponse(TypedDict):
    """The amount of one type of content."""

    count: int
    href: Annotated[None, Meta(description="Always null: units are not served one by one.")]


class ContentSummaryResponse(TypedDict):
    """What a version holds, by type of content. What was added or removed is not counted."""

    added: dict[str, ContentCountResponse]
    removed: dict[str, ContentCountResponse]
    present: dict[str, ContentCountResponse]


class RepositoryVersionResponse(TypedDict):
    """A version of a repository, which a sync has made."""

    pulp_href: str
    number: int
    repository: str
    pulp_created: Time | None
    base_version: None
    content_summary: ContentSummaryResponse


@router.get("/repositories/")
@router.get(f"{_RPM}/")
async def list_repositories(call: Authenticated, request: Request) -> Response:
    """A page of the repositories by name.

    Filters: `name` and its lookups, ids, hrefs, PRNs, and `q`; `ordering`, `limit`, `offset`, `fields` as in Pulp 3.
    """
    conditions, order = asked(request.query_params, REPOSITORY_FILTERS, _order_of)
    limit, offset = limit_and_offset(request, _MAX_LIMIT)
    await call.at_least_positions()
    page = await call.repositories.page(conditions, order=order, limit=limit, offset=offset)
    picked = picker(request)
    return json(page_of(request, page.total, [picked(repository(row)) for row in page.rows], _MAX_LIMIT))


def _order_of(texts: Sequence[str]) -> LiteralString:
    return order_by(texts, _ORDERS, "r.repo_id")


@router.post("/repositories/")
@router.post(f"{_RPM}/")
async def create_repository(call: Authenticated, request: Request) -> Response:
    """Create a repository: 201; 409 if the name is taken."""
    call.need_submitter()
    body = json_object(await request.body())
    repo_id = check_id("name", body.get("name"))
    change = change_of(body, "name")
    await call.change_repository()
    record = await call.repositories.create(repo_id, change, call.editor)
    return json(repository(await call.repositories.get(repo_id)), 201, {"Location": _href(record)})


@router.get(f"{_RPM}/{{repository_id}}/")
async def read_repository(call: Authenticated, request: Request, repository_id: str) -> Response:
    """One repository."""
    await call.at_least_positions()
    record = await _existing(call, repository_id)
    return json(picker(request)(repository(await call.repositories.get(record.repo_id))))


@router.patch(f"{_RPM}/{{repository_id}}/")
async def update_repository(call: Authenticated, request: Request, repository_id: str) -> Response:
    """Change what the body names. Notes and options change key by key, and null removes a key (RFC 7396)."""
    call.need_submitter()
    body = json_object(await request.body())
    record = await _existing(call, repository_id)
    if body.get("name", record.repo_id) != record.repo_id:
        message = "a repository keeps its name: make another one, and remove this one"
        raise BadRepository([Problem("name", message, "invalid")])
    change = change_of(body, "name")
    await call.change_repository()
    await call.repositories.update(record.repo_id, change, call.editor)
    return json(repository(await call.repositories.get(record.repo_id)))


@router.delete(f"{_RPM}/{{repository_id}}/")
async def delete_repository(call: Authenticated, repository_id: str) -> Response:
    """Remove a repository: its record now, its content by a task after those still running. 202 with the task."""
    call.need_submitter()
    record = await _existing(call, repository_id)
    return _accepted(await call.remove_repository(record.repo_id))


@router.get(f"{_RPM}/{{repository_id}}/versions/")
async def list_versions(call: Authenticated, request: Request, repository_id: str) -> Response:
    """A page of the versions that syncs have made, newest first. Old ones may be gone from the storage."""
    record = await _existing(call, repository_id)
    limit, offset = limit_and_offset(request)
    found = await call.repositories.versions(record.repo_id)
    shown = [_version(record, version) for version in found[offset : offset + limit]]
    return json(page_of(request, len(found), shown))


@router.get(f"{_RPM}/{{repository_id}}/versions/{{number}}/")
async def read_version(call: Authenticated, repository_id: str, number: str) -> Response:
    """One version."""
    record = await _existing(call, repository_id)
    for version in await call.repositories.versions(record.repo_id):
        if str(version.number) == number:
            return json(_version(record, version))
    return json({"detail": "No RepositoryVersion matches the given query."}, 404)


def repository(shown: ShownRepository) -> RepositoryResponse:
    """A repository in JSON."""
    record, runs = shown
    href = _href(record)
    version = shown.counts.get("version")
    return {
        "pulp_href": href,
        "prn": f"prn:rpm.rpmrepository:{record.pulp_id}",
        "pulp_created": instant(record.created_at),
        "pulp_last_updated": instant(record.updated_at),
        "versions_href": f"{href}versions/",
        "pulp_labels": {name: value for name, value in record.notes.items() if isinstance(value, str)},
        "latest_version_href": None if version is None else f"{href}versions/{version}/",
        "name": record.repo_id,
        "description": record.description,
        "retain_repo_versions": record.sync_options.get("retention"),
        "remote": None,
        "display_name": record.display_name,
        "notes": record.notes,
        "feed": shown.feed,
        "feed_source": shown.feed_source,
        "sync_options": record.sync_options,
        "publish_options": record.publish_options,
        "created_by": record.created_by.removeprefix("user:"),
        "updated_by": record.updated_by.removeprefix("user:"),
        "version": version,
        "content": {name: shown.counts[name] for name in _CONTENT if name in shown.counts},
        "last_sync": _run(runs.sync),
        "last_publish": _run(runs.publish),
    }


def _run(run: RepositoryRun | None) -> RepositoryRunResponse | None:
    if run is None:
        return None
    error: RepositoryRunErrorResponse = {"code": run.error_code, "description": run.error_description}
    return {
        "task": href_of(run.task_id),
        "state": WORDS[State(run.state)],
        "submitted_at": instant(run.accepted_at),
        "started_at": instant(run.started_at),
        "finished_at": instant(run.finished_at),
        "error": None if run.error_code is None else error,
    }


def _version(record: Repository, version: Version) -> RepositoryVersionResponse:
    href = _href(record)
    counts = version.counts
    present: dict[str, ContentCountResponse] = {
        kind: {"count": counts[name], "href": None} for name, kind in _COUNTS.items() if name in counts
    }
    return {
        "pulp_href": f"{href}versions/{version.number}/",
        "number": version.number,
        "repository": href,
        "pulp_created": instant(version.made_at),
        "base_version": None,
        "content_summary": {"added": {}, "removed": {}, "present": present},
    }


def _accepted(submitted: Submitted) -> Response:
    href = href_of(submitted.task.task_id)
    body: AcceptedResponse = {"task": href}
    if submitted.warnings:
        body["warnings"] = [*submitted.warnings]
    return json(body, 202, {"Location": href, **position_header(submitted.position)})


def _href(record: Repository) -> str:
    return f"{ROOT}{_RPM}/{record.pulp_id}/"


async def _existing(call: AuthenticatedCall, text: str) -> Repository:
    try:
        pulp_id = UUID(text)
    except ValueError:
        raise NoRepository(text) from None
    return await call.repositories.by_id(pulp_id)
