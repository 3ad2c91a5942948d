"""The AsyncAPI 3 document of the topics, from the types of events, the topics' settings and the golden events."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pulp_events.admin import COMPACTED, EVENTS_SETTINGS
from pulp_events.audit import AUDIT_TYPE
from pulp_events.checkpoints import NEXT_OFFSET
from pulp_events.codec import CONTENT_TYPE, EVERY_TYPE, HEADERS, MAX_EVENT_BYTES, MAX_NESTING
from pulp_events.schedule_codec import SCHEDULE_TYPES
from pulp_events.schemas import audit_schema, schema_of
from pulp_events.task_states import STATE_TYPE
from pulp_events.topics import Topics
from pulp_events.webhook_codec import WEBHOOK_TYPES
from pulp_transparency.published import CONTENT_TYPE as CONTENT_TYPE_OF_CHECKPOINTS

GOLDEN: Final = Path(__file__).parents[3] / "tests" / "golden"
CHECKPOINT: Final = "org.pulpproject.checkpoint.v1"
"""The name of the message of a checkpoint; no record has it."""
_BINDING: Final = "0.5.0"
_DEFS: Final = "#/$defs/"
_COMPONENTS: Final = "#/components/schemas/"
_PARTITIONING: Final = (
    "The key is the task id. It does not choose the partition: a new task's partition is CRC-32 of its partition key,"
    " modulo the number of partitions, and all later events of the task are in that partition. The partition key is"
    " `TYPE:ID` of the task's first exclusive resource, else of its first shared one, else the task id. Order holds"
    " within a partition, so for each task. Read all partitions; to append, use the API."
)
_CHECKPOINTS: Final = (
    "A partition for each one of the events topic. The last record of each is the newest checkpoint of that partition's"
    " log. A repeated one has the same bytes."
)


_STATES: Final = (
    "The key is the task id. A task's state is in the partition of the task's events. It is written once the read"
    " model has it, with `PULP_STATE_TOPIC=yes`. Compaction keeps the last record of each key; states in between may be"
    " left out. A record without a value says that the task was purged. Read with `isolation.level=read_committed`, and"
    " take the last record of each key: its `version` is the highest, unless the task's state had to be corrected."
)


def text() -> str:
    """The document, as JSON."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The document."""
    topics, schemas = Topics.named(), _Schemas()
    task = _messages(EVERY_TYPE.values(), ("events-v1.jsonl", "events-v2.jsonl"), "task id", schemas)
    schedule = _messages(SCHEDULE_TYPES.values(), ("schedule-events-v1.jsonl",), "id of the schedule", schemas)
    webhooks = _messages(WEBHOOK_TYPES.values(), ("subscription-events-v1.jsonl",), "id of the subscription", schemas)
    checkpoint = {CHECKPOINT: _checkpoint()}
    states = _messages([STATE_TYPE], ("states-v1.jsonl",), "task id", schemas)
    audit = {AUDIT_TYPE: _message(AUDIT_TYPE, audit_schema(), _golden("audit-records-v1.jsonl"), None, schemas)}
    channels = {
        "tasks": _channel(topics.events, "What happens to tasks", _PARTITIONING, task),
        "schedules": _channel(topics.schedules, "What happens to schedules", "One partition.", schedule),
        "subscriptions": _channel(topics.subscriptions, "What happens to subscriptions", "One partition.", webhooks),
        "states": _channel(topics.states, "What each task is now", _STATES, states, COMPACTED),
        "audit": _channel(topics.audit, "Who logged in, and changed what", "One partition.", audit),
        "checkpoints": _channel(topics.checkpoints, "What the log of events was", _CHECKPOINTS, checkpoint),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pulp Tasks",
            "version": version("pulp-tasks"),
            "description": "Every change of a task is an event in Kafka: a CloudEvent 1.0 in JSON, structured mode, at"
            f" most {MAX_EVENT_BYTES:,} bytes and {MAX_NESTING} nested objects and arrays. Unknown types and unknown"
            " fields are allowed: ignore them. Topics begin with `PULP_TOPIC_PREFIX`, which is `pulp.tasks` unless an"
            " installation sets it.",
            "license": {"name": "GPL-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The installation's brokers, `PULP_KAFKA`, with its login.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "HOST:PORT of a broker."}},
            }
        },
        "channels": channels,
        "operations": {
            f"{name}Sent": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": channel["title"],
                "messages": [{"$ref": f"#/channels/{name}/messages/{each}"} for each in channel["messages"]],
            }
            for name, channel in channels.items()
        },
        "components": {
            "messages": {
                short(wire_type): message
                for wire_type, message in {**task, **schedule, **webhooks, **states, **audit, **checkpoint}.items()
            },
            "schemas": dict(sorted(schemas.found.items())),
        },
    }


def short(wire_type: str) -> str:
    """The name of a message: `task.accepted` for version 1 of that type, else with the version."""
    return wire_type.removeprefix("org.pulpproject.").removesuffix(".v1")


class _Schemas:
    """Collects the schemas that several messages share, under the names by which they refer to them."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def payload(self, wire_type: str, schema: Mapping[str, Any]) -> dict[str, str]:
        """A reference to the schema of a message, whose parts are collected. Raises `ValueError` for two of a name."""
        whole = {name: value for name, value in schema.items() if name not in ("$schema", "$defs", "$id", "$comment")}
        for name, part in {**schema.get("$defs", {}), short(wire_type): whole}.items():
            moved = _moved(part)
            if self.found.setdefault(name, moved) != moved:
                raise ValueError(f"two schemas have the name {name}")
        return {"$ref": _COMPONENTS + short(wire_type)}


def _moved(value: Any) -> Any:
    """The schema with its references to where the document has the parts."""
    if isinstance(value, dict):
        return {name: _moved(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return _COMPONENTS + value.removeprefix(_DEFS) if isinstance(value, str) and value.startswith(_DEFS) else value


def _checkpoint() -> dict[str, Any]:
    """The message of the topic of checkpoints, which is not an event but a text in a format of its own."""
    origin = {"type": "string", "description": "The origin of the log: NAME/PARTITION."}
    return {
        "name": CHECKPOINT,
        "title": "checkpoint",
        "summary": "The size and the root of a partition's log, signed.",
        "contentType": CONTENT_TYPE_OF_CHECKPOINTS.decode(),
        "headers": {
            "type": "object",
            "properties": {
                "content-type": {"type": "string", "const": CONTENT_TYPE_OF_CHECKPOINTS.decode()},
                NEXT_OFFSET: {
                    "type": "string",
                    "description": "The offset of the first record that it does not cover; nothing vouches for it.",
                },
            },
        },
        "payload": {
            "type": "string",
            "description": "A checkpoint of C2SP tlog-checkpoint: origin, size and root, in a note signed with Ed25519",
        },
        "bindings": {"kafka": {"key": origin, "bindingVersion": _BINDING}},
    }


def _golden(*names: str) -> list[Any]:
    return [json.loads(line) for name in names for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def _messages(types: Iterable[str], golden: Iterable[str], key: str, schemas: _Schemas) -> dict[str, Any]:
    examples = _golden(*golden)
    return {
        wire_type: _message(
            wire_type, schema_of(wire_type), [each for each in examples if each["type"] == wire_type], key, schemas
        )
        for wire_type in types
    }


def _message(
    wire_type: str, schema: Mapping[str, Any], examples: list[Any], key: str | None, schemas: _Schemas
) -> dict[str, Any]:
    headers = dict(_headers())
    found: dict[str, Any] = {
        "name": wire_type,
        "title": short(wire_type),
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "const": value} for name, value in headers.items()},
        },
        "payload": schemas.payload(wire_type, schema),
        "correlationId": {"location": "$message.payload#/correlationid"},
    }
    if key is not None:
        told = {"type": "string", "format": "uuid", "description": f"The {key}, in lower case."}
        found["bindings"] = {"kafka": {"key": told, "bindingVersion": _BINDING}}
    if examples:
        found["examples"] = [
            {"name": f"{short(wire_type)}-{number}", "headers": headers, "payload": example}
            for number, example in enumerate(examples, 1)
        ]
    return found


def _headers() -> Iterator[tuple[str, str]]:
    for name, value in HEADERS:
        yield name, value.decode() if isinstance(value, bytes) else str(value)


def _channel(
    topic: str,
    title: str,
    partitioning: str,
    messages: Mapping[str, Any],
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    found = {**EVENTS_SETTINGS, **more}
    settings = {
        "cleanup.policy": [found["cleanup.policy"]],
        "retention.ms": int(found["retention.ms"]),
        "retention.bytes": int(found["retention.bytes"]),
        "max.message.bytes": int(found["max.message.bytes"]),
    }
    return {
        "address": topic,
        "title": title,
        "description": partitioning,
        "messages": {short(each): {"$ref": f"#/components/messages/{short(each)}"} for each in messages},
        "bindings": {"kafka": {"topic": topic, "topicConfiguration": settings, "bindingVersion": _BINDING}},
    }
