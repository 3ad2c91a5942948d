"""The schemas of answers, made from the types that the handlers return. Pure."""

from collections.abc import Mapping
from functools import cache
from inspect import cleandoc
from typing import Any, Final, get_type_hints

import msgspec

from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.audit import AuditEntryResponse, AuditPageResponse
from pulp_api.v3.checkpoints import CheckpointsResponse
from pulp_api.v3.daily import DailyStatisticsResponse
from pulp_api.v3.dead_letters import DeadLetterActResponse, DeadLetterResponse, SingleDeadLetterResponse
from pulp_api.v3.explaining import ExplanationResponse
from pulp_api.v3.login import LoginResponse
from pulp_api.v3.numbers import ReadModelResponse, StatisticsResponse, TaskCountsResponse
from pulp_api.v3.object_roles import NestedRoleResponse, PermissionsResponse, RolesResponse
from pulp_api.v3.operations import OperationResponse
from pulp_api.v3.parameters import NUMBER, TEXT, Schema, or_null
from pulp_api.v3.queue import LineResponse, QueueResponse, ResourceResponse
from pulp_api.v3.repositories import RepositoryResponse, RepositoryVersionResponse
from pulp_api.v3.routes import HistoryEntryResponse, ProfileArtifactsResponse
from pulp_api.v3.schedule_shapes import PreviewResponse, ScheduleResponse, ScheduleRunResponse
from pulp_api.v3.subjects import SubjectResponse
from pulp_api.v3.subscription_shapes import (
    DeliveryResponse,
    SingleSubscriptionResponse,
    SubscriptionResponse,
    SubscriptionSecretResponse,
)
from pulp_api.v3.system import ReadyResponse, StatusResponse
from pulp_api.v3.task_groups import TaskGroupResponse
from pulp_api.v3.tasks import SingleTaskResponse, TaskResponse
from pulp_api.v3.tokens import TokenResponse
from pulp_api.v3.users import GroupResponse, UserResponse
from pulp_api.v3.workers import WorkerResponse

ANSWERS: Final[tuple[type, ...]] = (
    *(TaskResponse, SingleTaskResponse, TaskGroupResponse, WorkerResponse, HistoryEntryResponse),
    *(StatusResponse, ReadyResponse, UserResponse, GroupResponse, LoginResponse, TokenResponse),
    *(AcceptedResponse, ExplanationResponse, ProfileArtifactsResponse, NestedRoleResponse, RolesResponse),
    *(PermissionsResponse, OperationResponse, QueueResponse, ResourceResponse, LineResponse),
    *(RepositoryResponse, RepositoryVersionResponse, ScheduleResponse, ScheduleRunResponse, PreviewResponse),
    *(AuditEntryResponse, AuditPageResponse),
    *(TaskCountsResponse, StatisticsResponse, DailyStatisticsResponse, ReadModelResponse),
    *(CheckpointsResponse, SubjectResponse),
    *(DeadLetterResponse, SingleDeadLetterResponse, DeadLetterActResponse),
    *(SubscriptionResponse, SingleSubscriptionResponse, SubscriptionSecretResponse, DeliveryResponse),
)
_TEMPLATE: Final = "#/components/schemas/{name}"
_NULL: Final = {"type": "null"}
_URL_OR_NULL: Final = {**TEXT, "nullable": True, "format": "uri"}


@cache
def components() -> Mapping[str, Schema]:
    """Name → schema of every type of answer, and of every type in them."""
    _, found = msgspec.json.schema_components(ANSWERS, ref_template=_TEMPLATE)
    kinds = {kind.__name__: kind for kind in ANSWERS}
    return {name: _described(plain(schema), kinds.get(name)) for name, schema in found.items()}


def answer(of: type) -> Schema:
    """The schema of an answer, by reference."""
    assert of in ANSWERS, of
    return {"$ref": _TEMPLATE.format(name=of.__name__)}


def page(of: Schema, count: str = "") -> Schema:
    """The schema of a page of such rows; `count` explains the number."""
    about = {"description": count} if count else {}
    return {
        "type": "object",
        "required": ["count", "results"],
        "properties": {
            "count": {**NUMBER, **about},
            "next": _URL_OR_NULL,
            "previous": _URL_OR_NULL,
            "results": {"type": "array", "items": of},
        },
    }


def plain(schema: Any) -> Any:
    """A JSON Schema as OpenAPI 3.0 writes it, which knows `nullable` but no type `null`."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kinds = schema.get("anyOf")
    if kinds is None or _NULL not in kinds:
        return {key: plain(value) for key, value in schema.items()}
    rest = {key: plain(value) for key, value in schema.items() if key != "anyOf"}
    others = [plain(kind) for kind in kinds if kind != _NULL]
    one = others[0] if len(others) == 1 else {"anyOf": others}
    return or_null({**({"allOf": [one]} if "$ref" in one else one), **rest})


def _described(schema: dict[str, Any], kind: type | None) -> dict[str, Any]:
    """The schema of one type: its fields in their order; none is required, as a client may leave out any of them."""
    found = {key: value for key, value in schema.items() if key != "required"}
    if "description" in found:
        found["description"] = cleandoc(found["description"])
    if kind is not None:
        found["properties"] = {name: schema["properties"][name] for name in get_type_hints(kind)}
    return found
