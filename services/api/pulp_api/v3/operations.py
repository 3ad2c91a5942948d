"""The operations that clients can submit, and their arguments."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response
from pulp_projections.reading import queries
from pulp_projections.reading.queries import OperationRow

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import instant, json
from pulp_api.submitting.argument_words import example, parameters
from pulp_api.v3.dialect import ROOT

router = APIRouter(prefix=ROOT)


@router.get("/operations/")
async def list_operations(call: Authenticated) -> Response:
    """All operations, by name."""
    async with call.service.connection() as connection:
        found = await queries.operations(connection)
    rows = [operation(row) for row in found]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows})


@router.get("/operations/{name}/")
async def read_operation(call: Authenticated, name: str) -> Response:
    """One operation, by its name."""
    async with call.service.connection() as connection:
        found = await queries.operation(connection, name)
    if found is None:
        return json({"detail": "No Operation matches the given query."}, 404)
    return json(operation(found))


def operation(row: OperationRow) -> dict[str, Any]:
    """An operation in JSON.

    `arguments` is the JSON Schema and `parameters` describes it for people; both are null if none are declared.
    """
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
        "parameters": None if schema is None else [each._asdict() for each in parameters(schema)],
        "example": example(row.name, schema),
        "package": row.package,
        "version": row.version,
        "registered_by": row.registered_by,
        "registered_at": None if row.registered_at is None else instant(row.registered_at),
        "workers": row.workers,
    }
