"""The Pulp 3 dialect, with what it lacks: submission, history, progress."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Raw
from pulp_events.errors import BadInput, TaskAlreadyFinal, TaskNotCancellable, TaskNotFound
from pulp_events.task import Position, State
from pulp_projections import queries
from pulp_projections.users import Role

from pulp_api import submission
from pulp_api.context import Call, call
from pulp_api.respond import FieldErrors, instant, json, least_positions, position_header, positions_header
from pulp_api.v3_tasks import NOT_FILTERS, ROOT, condition_of, href_of, order_of, pick, shape

router = APIRouter(prefix=ROOT)
Calling = Annotated[Call, Depends(call)]
_DEFAULT_LIMIT: Final = 100
_MOST: Final = 10_000
"""A page is bounded: one request must not take the memory of the process."""


@router.get("/tasks/")
async def list_tasks(call: Calling, request: Request) -> Response:
    """A page of tasks; filters, `ordering`, `limit`, `offset`, `fields`, `exclude_fields`, `minimal` as in Pulp 3."""
    call.principal.need(*Role)
    query = request.query_params
    conditions = [condition_of(name, query.getlist(name)) for name in query if name not in NOT_FILTERS]
    order = order_of(query.get("ordering"))
    limit, offset = _whole(query.get("limit"), _DEFAULT_LIMIT), _whole(query.get("offset"), 0)
    await call.at_least_positions()
    async with call.service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        count = await queries.count_tasks(connection, conditions)
        rows = await queries.tasks(connection, conditions, order=order, limit=min(limit, _MOST), offset=offset)
    return json(
        _page(request, count, limit, offset, [_picked(request, shape(row)) for row in rows]),
        headers=positions_header(shown),
    )


@router.post("/tasks/")
async def submit_task(call: Calling, request: Request) -> Response:
    """Submit a task: 202 once it is durable in Kafka."""
    accepted = await call.submit(submission.parse(await request.body()))
    href = href_of(accepted.task_id)
    return json({"task": href}, 202, {"Location": href, **position_header(accepted.position)})


@router.get("/tasks/{task_id}/")
async def read_task(call: Calling, request: Request, task_id: str) -> Response:
    """One task, with everything that was durable when the request came."""
    call.principal.need(*Role)
    reading = await call.service.read(_uuid(task_id), least=least_positions(request))
    headers = {} if reading.lag is None else {"Pulp-Lag": reading.lag}
    return json(_picked(request, shape(reading.task)), headers=headers)


@router.patch("/tasks/{task_id}/")
async def cancel_task(call: Calling, request: Request, task_id: str) -> Response:
    """`{"state": "canceled"}` cancels. A task that has ended, or cannot be cancelled, is answered 409 with the task."""
    known = _uuid(task_id)
    _check_cancel(await request.body())
    try:
        task, position = await call.cancel(known)
    except TaskAlreadyFinal:
        reading = await call.service.read(known)
        return json(shape(reading.task), 200 if reading.task.state == State.CANCELLED else 409)
    except TaskNotCancellable as error:
        reading = await call.service.read(known)
        return json({**shape(reading.task), "detail": str(error)}, 409)
    return json(shape(task), headers=position_header(position))


@router.get("/tasks/{task_id}/progress/")
async def read_progress(call: Calling, request: Request, task_id: str) -> Response:
    """The newest progress object."""
    call.principal.need(*Role)
    reading = await call.service.read(_uuid(task_id), least=least_positions(request))
    return json(Raw(reading.task.progress.encode()))


@router.get("/tasks/{task_id}/history/")
async def read_history(
    call: Calling, request: Request, task_id: str, limit: int = _DEFAULT_LIMIT, after: str | None = None
) -> Response:
    """The task's events in log order; `after=PARTITION:OFFSET` gives the page after an event."""
    call.principal.need(*Role)
    known = (await call.service.read(_uuid(task_id), least=least_positions(request))).task.task_id
    start = None if after is None else _position(after)
    limit = max(1, min(limit, _MOST))
    async with call.service.connection() as connection:
        entries = await queries.history(connection, known, after=start, limit=limit)
        count = await queries.count_history(connection, known)
    following = None
    if len(entries) == limit:
        where = f"{entries[-1].partition}:{entries[-1].record_offset}"
        following = str(request.url.replace_query_params(limit=limit, after=where))
    results = [_history_entry(entry) for entry in entries]
    return json({"count": count, "next": following, "previous": None, "results": results})


@router.get("/operations/")
async def list_operations(call: Calling) -> Response:
    """What may be submitted."""
    call.principal.need(*Role)
    async with call.service.connection() as connection:
        found = await queries.operations(connection)
    rows = [row._asdict() for row in found]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows})


@router.get("/workers/")
async def list_workers(call: Calling, request: Request) -> Response:
    """The workers that ever registered, youngest first."""
    call.principal.need(*Role)
    async with call.service.connection() as connection:
        found = await queries.workers(connection)
    wanted = request.query_params.get("online")
    rows = [worker(row) for row in found if wanted is None or row.online == (wanted.lower() == "true")]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows})


@router.get("/workers/{worker_id}/")
async def read_worker(call: Calling, worker_id: str) -> Response:
    """One worker, by the id of its process."""
    call.principal.need(*Role)
    async with call.service.connection() as connection:
        found = [row for row in await queries.workers(connection) if str(row.instance_id) == worker_id]
    if not found:
        return json({"detail": "No Worker matches the given query."}, 404)
    return json(worker(found[0]))


def worker(row: queries.WorkerRow) -> dict[str, Any]:
    """A worker as Pulp 3 shows it, and what only ours have."""
    return {
        "pulp_href": f"{ROOT}/workers/{row.instance_id}/",
        "prn": f"prn:core.worker:{row.instance_id}",
        "pulp_created": instant(row.started_at),
        "pulp_last_updated": instant(row.heartbeat_at),
        "name": row.name,
        "last_heartbeat": instant(row.heartbeat_at),
        "versions": row.versions,
        "current_task": None if row.current_task is None else href_of(row.current_task),
        "host": row.host,
        "queues": row.queues,
        "concurrency": row.concurrency,
        "online": row.online,
    }


def _history_entry(entry: queries.HistoryEntry) -> dict[str, Any]:
    return {
        "partition": entry.partition,
        "offset": entry.record_offset,
        "type": entry.type,
        "event_id": entry.event_id,
        "event_time": instant(entry.event_time),
        "time": instant(entry.broker_time),
        "actor": entry.actor,
        "effect": entry.effect,
        "event": Raw(bytes(entry.event)),
    }


def _page(request: Request, count: int, limit: int, offset: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    def url(start: int) -> str:
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("limit", "offset")]
        return f"{request.url.replace(query=None)}?{urlencode([*query, ('limit', limit), ('offset', start)])}"

    following = url(offset + len(results)) if results and offset + len(results) < count else None
    previous = url(max(0, offset - limit)) if offset > 0 else None
    return {"count": count, "next": following, "previous": previous, "results": results}


def _picked(request: Request, task: dict[str, Any]) -> dict[str, Any]:
    query = request.query_params

    def names(key: str) -> list[str]:
        return [part.strip() for value in query.getlist(key) for part in value.split(",") if part.strip()]

    minimal = query.get("minimal", "").lower() in ("true", "1")
    return pick(task, names("fields"), names("exclude_fields"), minimal=minimal)


def _check_cancel(body: bytes) -> None:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"JSON parse error - {error}") from error
    if not isinstance(found, dict) or "state" not in found:
        raise FieldErrors({"state": ["This field is required."]})
    if found["state"] != "canceled":
        raise FieldErrors({"state": ["The only acceptable value for 'state' is 'canceled'."]})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise TaskNotFound(text) from None


def _position(text: str) -> Position:
    try:
        partition, offset = text.split(":")
        return Position(int(partition), int(offset))
    except ValueError:
        raise FieldErrors({"after": [f"{text} is not PARTITION:OFFSET"]}) from None


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else default
