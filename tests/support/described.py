"""Descriptions of answers in the OpenAPI document."""

from typing import Any

from pulp_api.openapi.document import document


def fields_of_answer(href: str) -> dict[str, Any]:
    """The schemas of the fields of what `GET {href}` answers, by name."""
    answer = document()["paths"][f"{{{href}}}"]["get"]["responses"]["200"]
    return fields(answer["content"]["application/json"]["schema"])


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The same of a schema, or of the rows of a list: a name of the document's, an object, or either or null."""
    if "items" in schema:
        return fields(schema["items"])
    if "$ref" in schema:
        return fields(document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    for one in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in one or "properties" in one:
            return fields(one)
    properties: dict[str, Any] = schema["properties"]
    return properties
