"""The types that the answers of the v3 dialect are made of; the OpenAPI document describes them."""

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in UTC with microseconds (RFC 3339)."""
Href = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
"""The relative URL of a resource."""
JsonObject = dict[str, Any]
"""An object whose keys are not known beforehand."""


class AcceptedResponse(TypedDict):
    """The answer to a request that a task carries out."""

    task: Annotated[str, Meta(description="The href of the task.")]
    warnings: NotRequired[
        Annotated[list[str], Meta(description="What keeps the task from running now; left out if nothing does.")]
    ]
