"""The signed checkpoints of the transparency log."""

from typing import Annotated, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.errors import LogError

from pulp_api.authenticated_call import Authenticated
from pulp_api.checkpoints import Checkpoints
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.parameters import refuse_unknown

router = APIRouter(prefix=ROOT)


class CheckpointResponse(TypedDict):
    """The newest checkpoint of a partition of the log."""

    partition: int
    log: Annotated[str, Meta(description="The origin of the partition's transparency log.")]
    size: Annotated[int, Meta(description="The number of records that it covers.")]
    root: Annotated[str, Meta(description="The root of the tree of these records, in base64.")]
    keys: Annotated[list[str], Meta(description="NAME+ID of the keys that have signed it.")]
    time: Annotated[Time, Meta(description="When it was published.")]
    next_offset: Annotated[int, Meta(description="The offset of the first record that it does not cover.")]
    lag: Annotated[
        int | None, Meta(description="The number of records that it does not cover. Null while Kafka does not answer.")
    ]
    note: Annotated[str, Meta(description="The checkpoint as it was signed (C2SP tlog-checkpoint).")]


class CheckpointsResponse(TypedDict):
    """The newest checkpoints, by partition."""

    count: int
    results: list[CheckpointResponse]


@router.get("/checkpoints/")
async def list_checkpoints(call: Authenticated, request: Request) -> Response:
    """The newest signed checkpoint of each partition of the log; none where no process keeps a transparency log.

    They are as they were published: to verify them takes a verifier key, as `pulp-tasks audit verify` does it.
    """
    refuse_unknown(request.query_params, ())
    await call.quotas.search(call.asking)
    checkpoints: Checkpoints | None = request.app.state.checkpoints
    found = [] if checkpoints is None else await checkpoints.newest()
    ends: dict[int, int] = {}
    if found:
        try:
            ends = dict(await call.service.log.end_offsets())
        except LogError:
            ends = {}
    results: list[CheckpointResponse] = [
        {
            "partition": each.partition,
            "log": each.log,
            "size": each.size,
            "root": each.root,
            "keys": list(each.keys),
            "time": instant(each.time),
            "next_offset": each.next_offset,
            "lag": max(0, ends[each.partition] - each.next_offset) if each.partition in ends else None,
            "note": each.note,
        }
        for each in found
    ]
    told: CheckpointsResponse = {"count": len(results), "results": results}
    return json(told)
