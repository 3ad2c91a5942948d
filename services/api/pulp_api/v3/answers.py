"""The types that the answers of the v3 dialect are made of; the OpenAPI document describes them."""

from typing import Annotated

from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in UTC with microseconds (RFC 3339)."""
Href = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
"""The relative URL of a resource."""
