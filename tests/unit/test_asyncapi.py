"""The AsyncAPI 3 document describes the contents of the topics: programs in any language are written from it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pulp_api.openapi.events_page import render
from pulp_deploy.reference import asyncapi
from pulp_events import schemas
from pulp_events.audit import AUDIT_TYPE
from pulp_events.codec import EVERY_TYPE, HEADERS, decode, key_of
from pulp_events.events import Event
from pulp_events.topics import Topics

DOCUMENT: dict[str, Any] = json.loads(schemas.topics_document())
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
GOLDEN = [
    json.loads(line)
    for name in (
        "events-v1",
        "events-v2",
        "schedule-events-v1",
        "subscription-events-v1",
        "states-v1",
        "audit-records-v1",
    )
    for line in (Path(__file__).parents[1] / "golden" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_the_installed_document_is_what_the_code_says() -> None:
    assert json.loads(asyncapi.text()) == DOCUMENT


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 30
    for reference in found:
        place: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_channels_are_the_topics_and_have_every_type() -> None:
    topics = Topics.named()
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses == {
        "tasks": topics.events,
        "schedules": topics.schedules,
        "subscriptions": topics.subscriptions,
        "audit": topics.audit,
        "checkpoints": topics.checkpoints,
        "states": topics.states,
    }
    of_tasks = [MESSAGES[name]["name"] for name in DOCUMENT["channels"]["tasks"]["messages"]]
    assert sorted(of_tasks) == sorted(EVERY_TYPE.values())
    # A checkpoint is a text in its own format, not an event.
    assert {message["name"] for message in MESSAGES.values()} - {asyncapi.CHECKPOINT} == schemas.names()
    assert "does not choose the partition" in DOCUMENT["channels"]["tasks"]["description"]
    assert {operation["action"] for operation in DOCUMENT["operations"].values()} == {"send"}


def message_of(example: dict[str, Any]) -> str:
    """All records of the audit are one message."""
    wire_type: str = example["type"]
    return AUDIT_TYPE if wire_type.startswith(AUDIT_TYPE.removesuffix("v1")) else wire_type


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_examples_are_the_golden_events_and_fit_the_payload_and_the_headers(name: str) -> None:
    message = MESSAGES[name]
    examples = message.get("examples", [])
    is_checkpoint = message["name"] == asyncapi.CHECKPOINT  # it has its own format
    assert bool(examples) != is_checkpoint
    assert [each["payload"] for each in examples] == [each for each in GOLDEN if message_of(each) == message["name"]]
    for example in examples:
        whole = {**message["payload"], "components": DOCUMENT["components"]}
        assert list(Draft7Validator(whole).iter_errors(example["payload"])) == []
        assert list(Draft7Validator(message["headers"]).iter_errors(example["headers"])) == []
        broken = {key: value for key, value in example["payload"].items() if key != "time"}
        assert list(Draft7Validator(whole).iter_errors(broken)) != []
        assert example["headers"] == {key: value.decode() for key, value in HEADERS if isinstance(value, bytes)}
        if message["name"] in EVERY_TYPE.values():
            event = decode(example["payload"]["subject"].encode(), json.dumps(example["payload"]).encode())
            assert isinstance(event, Event)
            assert key_of(event.task_id) == example["payload"]["subject"].encode()


def test_the_page_shows_every_topic_and_every_type() -> None:
    page = render(DOCUMENT)
    for channel in DOCUMENT["channels"].values():
        assert f"<code>{channel['address']}</code>" in page
    for message in MESSAGES.values():
        assert f"<code>{message['name']}</code>" in page
    assert "<td>uuid or null</td>" in page
    assert "data.operation" in page
