"""Repositories in the v3 dialect: as Pulp 3 shows those of RPMs, and with what only ours have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Raw
from pulp_events.task import State
from pulp_projections.reading.queries import Condition
from pulp_projections.repositories import Repository, Run, Version

from pulp_api.bodies import json_object
from pulp_api.context import Call, Calling
from pulp_api.failures import FieldErrors
from pulp_api.repositories import NoRepository, Shown
from pulp_api.respond import instant, json, position_header
from pulp_api.service import Submitted
from pulp_api.submitting.arguments import Problem
from pulp_api.submitting.repository_bodies import BadRepository, change_of, check_id
from pulp_api.submitting.submission import Submission
from pulp_api.v3.filters import NOT_FILTERS
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.tasks import ROOT, WORDS, href_of, names_of, pick

router = APIRouter(prefix=ROOT)
_RPM: Final = "/repositories/rpm/rpm"
_MOST: Final = 250
"""Of a page, whatever is asked for: what is said of a repository may have 20 KiB."""
_COUNTS: Final = {
    "packages": "rpm.package",
    "errata": "rpm.advisory",
    "package_groups": "rpm.packagegroup",
    "modules": "rpm.modulemd",
}
"""What a sync counts → Pulp 3's type of content."""
_CONTENT: Final = (*_COUNTS, "tree_files")


@router.get("/repositories/")
@router.get(f"{_RPM}/")
async def list_repositories(call: Calling, request: Request) -> Response:
    """A page of the repositories by name.

    Filters: `name` and its lookups; `ordering`, `limit`, `offset`, `fields` as in Pulp 3.
    """
    query = request.query_params
    conditions = [_condition(name, query[name]) for name in query if name not in NOT_FILTERS]
    limit, offset = limit_and_offset(request)
    await call.at_least_positions()
    order = _order(query.getlist("ordering"))
    page = await call.repositories.page(conditions, order=order, limit=min(limit, _MOST), offset=offset)
    picked = _picker(request)
    return json(page_of(request, page.total, [picked(repository(row)) for row in page.rows]))


@router.post("/repositories/")
@router.post(f"{_RPM}/")
async def create_repository(call: Calling, request: Request) -> Response:
    """Make a repository: 201; 409 if there is one of this name."""
    call.need_submitter()
    body = json_object(await request.body())
    repo_id = check_id("name", body.get("name"))
    change = change_of(body, "name")
    await call.change_repository()
    record = await call.repositories.create(repo_id, change, call.author)
    return json(repository(await call.repositories.get(repo_id)), 201, {"Location": _href(record)})


@router.get(f"{_RPM}/{{repository_id}}/")
async def read_repository(call: Calling, request: Request, repository_id: str) -> Response:
    """One repository."""
    await call.at_least_positions()
    record = await _existing(call, repository_id)
    return json(_picker(request)(repository(await call.repositories.get(record.repo_id))))


@router.patch(f"{_RPM}/{{repository_id}}/")
async def update_repository(call: Calling, request: Request, repository_id: str) -> Response:
    """Change what the body names. Notes and options change key by key, and null takes a key away (RFC 7396)."""
    call.need_submitter()
    body = json_object(await request.body())
    record = await _existing(call, repository_id)
    if body.get("name", record.repo_id) != record.repo_id:
        told = "a repository keeps its name: make another one, and remove this one"
        raise BadRepository([Problem("name", told, "invalid")])
    change = change_of(body, "name")
    await call.change_repository()
    await call.repositories.update(record.repo_id, change, call.author)
    return json(repository(await call.repositories.get(record.repo_id)))


@router.delete(f"{_RPM}/{{repository_id}}/")
async def delete_repository(call: Calling, repository_id: str) -> Response:
    """Remove a repository: its record now, what it holds by a task behind those that still run. 202 with the task."""
    call.need_submitter()
    record = await _existing(call, repository_id)
    return _accepted(await call.remove_repository(record.repo_id))


@router.get(f"{_RPM}/{{repository_id}}/versions/")
async def list_versions(call: Calling, request: Request, repository_id: str) -> Response:
    """A page of the versions that syncs have made, newest first. Old ones may be gone from the storage."""
    record = await _existing(call, repository_id)
    limit, offset = limit_and_offset(request)
    found = await call.repositories.versions(record.repo_id)
    shown = [_version(record, version) for version in found[offset : offset + limit]]
    return json(page_of(request, len(found), shown))


@router.get(f"{_RPM}/{{repository_id}}/versions/{{number}}/")
async def read_version(call: Calling, repository_id: str, number: str) -> Response:
    """One version."""
    record = await _existing(call, repository_id)
    for version in await call.repositories.versions(record.repo_id):
        if str(version.number) == number:
            return json(_version(record, version))
    return json({"detail": "No RepositoryVersion matches the given query."}, 404)


@router.post("/repair/")
async def repair(call: Calling, request: Request) -> Response:
    """Verify all content that is stored, and fetch again what is damaged: 202 with the task."""
    call.need_submitter()
    body = json_object(await request.body() or b"{}")
    if body.pop("verify_checksums", True) is not True:  # Pulp 3's way to look for missing files alone
        raise FieldErrors({"verify_checksums": ["Checksums are verified in any case: true is expected."]})
    return _accepted(await call.submit(Submission(operation="repair", arguments=Raw(msgspec.json.encode(body)))))


def repository(shown: Shown) -> dict[str, Any]:
    """A repository as Pulp 3 shows it, and what only ours have."""
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


def _run(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    error = {"code": run.error_code, "description": run.error_description}
    return {
        "task": href_of(run.task_id),
        "state": WORDS[State(run.state)],
        "submitted_at": instant(run.accepted_at),
        "started_at": instant(run.started_at),
        "finished_at": instant(run.finished_at),
        "error": None if run.error_code is None else error,
    }


def _version(record: Repository, version: Version) -> dict[str, Any]:
    href = _href(record)
    counts = version.counts
    present = {kind: {"count": counts[name], "href": None} for name, kind in _COUNTS.items() if name in counts}
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
    told = {"warnings": submitted.warnings} if submitted.warnings else {}
    return json({"task": href, **told}, 202, {"Location": href, **position_header(submitted.position)})


def _href(record: Repository) -> str:
    return f"{ROOT}{_RPM}/{record.pulp_id}/"


async def _existing(call: Call, text: str) -> Repository:
    try:
        pulp_id = UUID(text)
    except ValueError:
        raise NoRepository(text) from None
    return await call.repositories.by_id(pulp_id)


def _picker(request: Request) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    query = request.query_params
    fields, excluded = names_of(query.getlist("fields")), names_of(query.getlist("exclude_fields"))
    return lambda shown: pick(shown, fields, excluded, minimal=False)


def _condition(name: str, text: str) -> Condition:
    maker = _FILTERS.get(name)
    if maker is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    return maker(text)


def _order(texts: Sequence[str]) -> LiteralString:
    parts: list[LiteralString] = []
    for item in names_of(texts):
        column = _ORDERS.get(item.removeprefix("-"))
        if column is None:
            raise FieldErrors({"ordering": [f"Select a valid choice. {item} is not one of the available choices."]})
        parts.append(column + (" desc" if item.startswith("-") else ""))
    return ", ".join([*parts, "r.repo_id"])


_ORDERS: Final[Mapping[str, LiteralString]] = {
    "name": "r.repo_id",
    "pulp_created": "r.created_at",
    "pulp_last_updated": "r.updated_at",
}
_FILTERS: Final[Mapping[str, Callable[[str], Condition]]] = {
    "name": lambda text: Condition("r.repo_id = %(name)s", {"name": text}),
    "name__in": lambda text: Condition("r.repo_id = any (%(name__in)s)", {"name__in": names_of([text])}),
    "name__contains": lambda text: Condition("position(%(contains)s in r.repo_id) > 0", {"contains": text}),
    "name__icontains": lambda text: Condition(
        "position(lower(%(icontains)s) in lower(r.repo_id)) > 0", {"icontains": text}
    ),
    "name__startswith": lambda text: Condition("starts_with(r.repo_id, %(startswith)s)", {"startswith": text}),
}
