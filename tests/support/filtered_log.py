"""Which records of a log a filter lets through, worked out from the JSON of the whole log: what each door has to give."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

import msgspec
from pulp_events import admin
from pulp_events.events import Access, Event, Resource
from pulp_events.filters import Filter
from pulp_events.reader import Reader, Record
from pulp_events.task import Position

from tests.support.events import accepted, finished, progress, purged, started

ACCEPTED = "org.pulpproject.task.accepted.v1"


def records_of(kafka: str, topic: str, partitions: int) -> list[Record]:
    """The whole log, partition by partition."""
    ends = admin.end_offsets(kafka, topic, partitions)
    with Reader(kafka, topic, dict.fromkeys(range(partitions), 0)) as reader:
        return [record for _, records in reader.until(ends) for record in records]


def filtered(records: Sequence[Record], wanted: Filter) -> dict[int, list[Position]]:
    """The positions of those records that fit, in order, by partition."""
    first: dict[tuple[int, str], Mapping[str, Any]] = {}
    found: dict[int, list[Position]] = {record.partition: [] for record in records}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        event = json.loads(record.value or b"null")
        task = record.partition, event["subject"]
        if event["type"] == ACCEPTED:
            first.setdefault(task, event)
        origin = first.get(task, {"data": {}})
        said = origin["data"]
        used = {f"{each['type']}:{each['id']}" for each in said.get("resources", [])}
        conditions = (
            (wanted.types, {event["type"]}),
            (wanted.tasks, {UUID(event["subject"])}),
            (wanted.operations, {said.get("operation")}),
            (wanted.actors, {origin.get("actor")}),
            (wanted.groups, {UUID(said["group_id"])} if said.get("group_id") else set()),
            (wanted.resources, used),
        )
        if all(not asked or has & set(asked) for asked, has in conditions):
            found[record.partition].append(Position(record.partition, record.offset))
    return found


def by_partition(positions: Sequence[Position]) -> dict[int, list[Position]]:
    """The positions in the order in which they came, by partition."""
    found: dict[int, list[Position]] = {}
    for position in positions:
        found.setdefault(position.partition, []).append(position)
    return found


def busy(seed: int, partitions: int, *, tasks: int = 30) -> list[tuple[Event, int]]:
    """Events of many tasks that run at the same time, with their partitions: of several operations, users, groups.

    Some `accepted` events come twice, and some events are about tasks that nobody has submitted.
    """
    random = Random(seed)
    waiting = [(_whole(random, number), number % partitions) for number in range(tasks)]
    found: list[tuple[Event, int]] = []
    while waiting:
        story, partition = waiting[random.randrange(min(len(waiting), 2 * partitions))]
        found.append((story.pop(0), partition))
        if random.random() < 0.05:
            found.append((started(UUID(int=random.getrandbits(128), version=4)), partition))
        waiting = [each for each in waiting if each[0]]
    return found


def _whole(random: Random, number: int) -> list[Event]:
    task_id = task_of(number)
    used = [
        Resource("repository", name, random.choice(list(Access))) for name in ("zoo", "farm") if random.random() < 0.5
    ]
    first = accepted(
        task_id,
        operation=random.choice(["sync", "publish", "copy"]),
        resources=tuple(used),
        group_id=random.choice([None, *GROUPS]),
    )
    first = msgspec.structs.replace(first, actor=random.choice(["user:jo", "user:admin"]))
    steps = [progress(task_id, sequence=step) for step in range(1, random.randrange(1, 6))]
    again = [first] if number % 5 == 0 else []
    last = [purged(task_id)] if number % 4 == 0 else []
    return [first, started(task_id), *again, *steps, finished(task_id), *last]


def task_of(number: int) -> UUID:
    """The id of the task with this number in `busy`, whatever the seed."""
    return UUID(int=0x7A5C << 64 | number, version=4)


GROUPS = (UUID(int=71), UUID(int=72))
FILTERS = (
    Filter(),
    Filter(types=("finished", "accepted")),
    Filter(operations=("sync",)),
    Filter(operations=("publish", "copy"), types=("progress",)),
    Filter(resources=("repository:zoo",)),
    Filter(actors=("user:jo",), resources=("repository:farm", "repository:nothing")),
    Filter(groups=GROUPS[:1]),
    Filter(types=("purged",), operations=("sync", "copy")),
    Filter(operations=("nothing",)),
    Filter(tasks=(task_of(5),)),
    Filter(tasks=(task_of(3), task_of(8), UUID(int=1)), types=("progress", "finished")),
)
