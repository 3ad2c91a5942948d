"""Renders the AsyncAPI document as HTML: the topics, and each type of event with its fields and examples. Pure."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from pulp_api.openapi.page import prose, table, type_of


def render(document: Mapping[str, Any]) -> str:
    """The HTML of all topics and messages."""
    schemas, messages = document["components"]["schemas"], document["components"]["messages"]
    parts = [f"<p>{prose(document['info']['description'])}</p>"]
    for name, channel in document["channels"].items():
        settings = channel["bindings"]["kafka"]["topicConfiguration"]
        parts += [
            f'<section id="{escape(name)}">',
            f"<h2>{escape(channel['title'])}: <code>{escape(channel['address'])}</code></h2>",
            f"<p>{prose(channel['description'])}</p>",
            table(("Setting of the topic", "Value"), [(key, json.dumps(value)) for key, value in settings.items()]),
            *(_message(each, messages[each], schemas) for each in channel["messages"]),
            "</section>",
        ]
    return "\n".join(parts)


def _message(name: str, message: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    key = message.get("bindings", {}).get("kafka", {}).get("key", {}).get("description")
    parts = [
        f'<h3 id="{escape(name)}"><code>{escape(message["name"])}</code></h3>',
        f"<p>{prose(message['summary'])}</p>",
        *([f"<p>Key: {prose(key)}</p>"] if key else []),
        table(("Field", "Type", "Required", "Meaning"), list(_fields(schemas[name], schemas)))
        if name in schemas
        else f"<p>{prose(message['payload']['description'])}</p>",  # a text, not an object
    ]
    parts += [
        f"<pre>{escape(json.dumps(example['payload'], indent=2, ensure_ascii=False))}</pre>"
        for example in message.get("examples", [])[:1]
    ]
    return "\n".join(parts)


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, ...]]:
    """A row for each field, those of `data` included."""
    for name, field in schema["properties"].items():
        needed = "yes" if name in schema.get("required", ()) else ""
        yield before + name, _type(field), needed, field.get("description", "")
        inner = schemas.get(field.get("$ref", "").rpartition("/")[2])
        if name == "data" and inner is not None and "properties" in inner:
            yield from _fields(inner, schemas, "data.")


def _type(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return json.dumps(field["const"])
    return " or ".join(map(type_of, field.get("anyOf", (field,))))
