"""Renders the OpenAPI document as HTML: every call with its parameters, body and responses. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Schema = Mapping[str, Any]


def render(document: Schema) -> str:
    """The HTML of all calls, with a table of contents."""
    calls = [
        (method.upper(), path, call) for path, methods in document["paths"].items() for method, call in methods.items()
    ]
    contents = "\n".join(
        f'<li><a href="#{escape(call["operationId"])}"><span class="method">{method}</span> <code>{escape(path)}</code>'
        f"</a> {prose(call['summary'])}</li>"
        for method, path, call in calls
    )
    schemas = document["components"]["schemas"]
    sections = "\n".join(_section(method, path, call, schemas) for method, path, call in calls)
    types = "\n".join(
        f'<section id="{escape(name)}">\n<h2><code>{escape(name)}</code></h2>\n{_properties(schema)}\n</section>'
        for name, schema in schemas.items()
    )
    hint = "<p>A path such as <code>{task_href}</code> is the <code>pulp_href</code> of what is meant.</p>"
    return f"{hint}\n<ul>\n{contents}\n</ul>\n{sections}\n{types}"


def _section(method: str, path: str, call: Schema, schemas: Mapping[str, Schema]) -> str:
    parts = [
        f'<section id="{escape(call["operationId"])}">',
        f'<h2><span class="method">{method}</span> <code>{escape(path)}</code></h2>',
        f"<p>{prose(call['summary'])} <code>{escape(call['operationId'])}</code></p>",
    ]
    if "security" not in call:
        parts.append("<p>Open to anonymous users.</p>")
    query = [each for each in call["parameters"] if each["in"] == "query"]
    if query:
        rows = [(each["name"], type_of(each["schema"]), each["schema"].get("description", "")) for each in query]
        parts += ["<h3>Query parameters</h3>", table(("Name", "Type", "Meaning"), rows)]
    if "requestBody" in call:
        schema = resolved(call["requestBody"]["content"]["application/json"]["schema"], schemas)
        parts += ["<h3>Body</h3>", _properties(schema)]
    rows = [
        (code, answer["description"], ", ".join(answer.get("content", ())))
        for code, answer in call["responses"].items()
    ]
    parts += ["<h3>Answers</h3>", table(("Status", "Meaning", "Content"), rows)]
    shown = resolved(next(iter(_schemas_of_success(call)), {}), schemas)
    if shown.get("properties"):
        parts.append(_properties(shown))
    return "\n".join([*parts, "</section>"])


def prose(text: str) -> str:
    """The HTML of a sentence; names in backticks become code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _schemas_of_success(call: Schema) -> Iterator[Schema]:
    for code, answer in call["responses"].items():
        if code.startswith("2"):
            yield from (content["schema"] for content in answer.get("content", {}).values())


def _properties(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (name + (" (required)" if name in required else ""), type_of(each), meaning_of(each))
        for name, each in schema.get("properties", {}).items()
    ]
    about = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    return about + table(("Field", "Type", "Meaning"), rows)


def meaning_of(schema: Schema) -> str:
    """The description of a value, and which values are allowed."""
    limits = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "maxLength": "at most {} characters",
        "maxItems": "at most {} items",
        "default": "default {}",
    }
    parts = [words.format(json.dumps(schema[key])) for key, words in limits.items() if key in schema]
    if "enum" in schema:
        allowed = [each if isinstance(each, str) else json.dumps(each) for each in schema["enum"]]
        parts.insert(0, ("one of " if len(allowed) > 1 else "only ") + ", ".join(allowed))
    told, limits_told = schema.get("description", ""), "; ".join(parts)
    if not told or not parts:
        return told or limits_told
    if not told.endswith("."):
        return f"{told}; {limits_told}"
    return f"{told} {limits_told[0].upper()}{limits_told[1:]}."


def type_of(schema: Schema) -> str:
    """The type of a value in a few words."""
    for reference in (schema, *schema.get("allOf", ())):
        if "$ref" in reference:
            name = str(reference["$ref"]).rsplit("/", 1)[-1]
            return f"{name} or null" if schema.get("nullable") else name
    kind = str(schema.get("type", "any"))
    if kind == "array":
        kind = f"list of {type_of(schema.get('items', {}))}"
    elif "format" in schema:
        kind = str(schema["format"])
    return f"{kind} or null" if schema.get("nullable") else kind


def resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    return schema if reference is None else schemas[str(reference).rsplit("/", 1)[-1]]


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The HTML of a table whose first column is code."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = "\n".join(
        f"<tr><td><code>{escape(first)}</code></td>{''.join(f'<td>{escape(cell)}</td>' for cell in others)}</tr>"
        for first, *others in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{lines}\n</table>"
