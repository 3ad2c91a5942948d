"""The operations that clients can submit, and their arguments."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypedDict

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.events import Retry
from pulp_projections.reading import queries
from pulp_projections.reading.queries import OperationRow

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import instant, json
from pulp_api.submitting.argument_words import ShownArgument, example, parameters
from pulp_api.v3.answers import JsonObject, Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import controls, names_of, refuse_unknown

router = APIRouter(prefix=ROOT)
PARAMETERS: Final = controls("limit offset")


class ArgumentResponse(TypedDict):
    """One argument of an operation, in words."""

    name: str
    type: str
    required: bool
    remembered: Annotated[bool, Meta(description="May be left out if an earlier task on the same resource had it.")]
    default: Any
    description: str
    expected: Annotated[str, Meta(description="What a value must be.")]


class OfferingResponse(TypedDict):
    """A live worker that offers an operation."""

    name: str
    queues: list[str]
    is_as_registered: Annotated[
        bool | None, Meta(description="Whether the worker declares exactly this; null if it does not say.")
    ]


class OperationResponse(TypedDict):
    """An operation, which clients can submit."""

    pulp_href: str
    name: str
    cancellable: bool
    description: str
    resources: Annotated[
        list[dict[str, str]], Meta(description="The resources that it uses; an id may be a template of its arguments.")
    ]
    tags: list[str] | None
    requires: Annotated[
        str | None, Meta(description="The operation that must have succeeded, or be in progress, on the same resource.")
    ]
    retry: Annotated[Retry | None, Meta(description="How often a task is retried after a failed attempt; null: never.")]
    deadline_seconds: Annotated[int | None, Meta(description="For all attempts together, counted from acceptance.")]
    arguments: Annotated[
        JsonObject | None,
        Meta(description="JSON Schema (draft 2020-12) of the arguments; null: any arguments are accepted."),
    ]
    parameters: Annotated[
        list[ArgumentResponse] | None, Meta(description="A description of each argument; null: none are declared.")
    ]
    example: Annotated[JsonObject, Meta(description="An example of a valid submission.")]
    package: str | None
    version: str | None
    registered_by: Annotated[str, Meta(description="The worker that made this declaration.")]
    registered_at: Annotated[Time | None, Meta(description="When this declaration was first seen.")]
    workers: Annotated[list[OfferingResponse], Meta(description="The live workers that offer it.")]


@router.get("/operations/")
async def list_operations(call: Authenticated, request: Request) -> Response:
    """All operations, by name; with `limit` a page of them."""
    refuse_unknown(request.query_params, names_of(PARAMETERS))
    async with call.service.connection() as connection:
        found = await queries.operations(connection)
    limit, offset = limit_and_offset(request)
    until = offset + limit if "limit" in request.query_params else None
    return json(page_of(request, len(found), [operation(row) for row in found[offset:until]]))


@router.get("/operations/{name}/")
async def read_operation(call: Authenticated, name: str) -> Response:
    """One operation, by its name."""
    async with call.service.connection() as connection:
        found = await queries.operation(connection, name)
    if found is None:
        return json({"detail": "No Operation matches the given query."}, 404)
    return json(operation(found))


def operation(row: OperationRow) -> OperationResponse:
    """An operation in JSON."""
    schema = None if row.arguments is None else msgspec.json.decode(row.arguments)
    return {
        "pulp_href": f"{ROOT}/operations/{row.name}/",
        "name": row.name,
        "cancellable": row.cancellable,
        "description": row.description,
        "resources": row.resources,
        "tags": row.tags,
        "requires": row.requires,
        "retry": row.retry,
        "deadline_seconds": row.deadline_seconds,
        "arguments": schema,
        "parameters": None if schema is None else [_argument(each) for each in parameters(schema)],
        "example": example(row.name, schema),
        "package": row.package,
        "version": row.version,
        "registered_by": row.registered_by,
        "registered_at": None if row.registered_at is None else instant(row.registered_at),
        "workers": [_offering(each) for each in row.workers],
    }


def _argument(shown: ShownArgument) -> ArgumentResponse:
    return {
        "name": shown.name,
        "type": shown.type,
        "required": shown.required,
        "remembered": shown.remembered,
        "default": shown.default,
        "description": shown.description,
        "expected": shown.expected,
    }


def _offering(worker: Mapping[str, Any]) -> OfferingResponse:
    return {
        "name": worker["name"],
        "queues": worker["queues"],
        "is_as_registered": worker["is_as_registered"],
    }
