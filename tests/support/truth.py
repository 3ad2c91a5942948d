"""The expected rows, from the log, by a fold that shares no code with the product."""

from collections import Counter
from typing import Any

from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics

from tests.support.projection import rows
from tests.support.records import PlainFold

FACTS = ("state", "attempt", "attempt_id", "cancellable", "sequence", "progress", "version", "purged_by")


def read_log(kafka: str, topics: Topics, ends: dict[int, int]) -> dict[int, list[Record]]:
    """All records before the ends, by partition."""
    found: dict[int, list[Record]] = {partition: [] for partition in ends}
    with Reader(kafka, topics.events, dict.fromkeys(ends, 0)) as reader:
        for partition, records in reader.until(ends):
            found[partition].extend(records)
    return found


async def rows_are_what_records_say(database: str, log: dict[int, list[Record]], *, newest: int = 2) -> None:
    """Tasks, what belongs to them, history and dead letters are those of the plain fold: each record once, with its
    bytes and its effect. `newest` is the newest version of events that the release knows which has projected them."""
    tasks: dict[str, dict[str, Any]] = {}
    effects: list[tuple[int, int, str, bytes]] = []
    dead: list[tuple[int, int, bytes | None]] = []
    counts: Counter[tuple[int, str, str]] = Counter()
    causes: dict[str, str] = {}
    for partition, records in sorted(log.items()):
        fold = PlainFold(newest).read(records)
        values = {record.offset: record.value for record in records}
        effects += [(partition, offset, effect, values[offset] or b"") for offset, effect in fold.effects]
        dead += [(partition, offset, values[offset]) for offset in fold.dead]
        shown = [task for task in fold.tasks.values() if task.purged_by is None]
        counts.update((partition, task.state, task.operation) for task in shown)
        causes |= fold.causes
        for task_id, task in fold.tasks.items():
            tasks[task_id] = {
                "partition": partition,
                "last_offset": task.last_offset,
                **{name: getattr(task, name) for name in FACTS},
            }
    found = {str(row["task_id"]): row for row in await rows(database, "tasks")}
    assert {task_id: _facts(row) for task_id, row in found.items()} == tasks
    kept = {
        (row["partition"], row["state"], row["operation"]): row["tasks"] for row in await rows(database, "task_counts")
    }
    assert {kind: count for kind, count in kept.items() if count} == counts
    uses = [
        (row["task_id"], row["accepted_at"], row["resource"], row["access"])
        for row in await rows(database, "task_resources")
    ]
    assert Counter(uses) == {
        (row["task_id"], row["accepted_at"], f"{item['type']}:{item['id']}", _access(item, row["resources"])): 1
        for row in found.values()
        for item in row["resources"]
    }
    linked = {str(row["task_id"]): str(row["cause"]) for row in await rows(database, "task_causes")}
    assert linked == causes
    history = [
        (row["partition"], row["record_offset"], row["effect"], row["event"])
        for row in await rows(database, "task_events")
    ]
    assert sorted(history) == effects
    letters = [(row["partition"], row["record_offset"], row["value"]) for row in await rows(database, "dead_letters")]
    assert sorted(letters, key=lambda letter: letter[:2]) == dead


def _access(item: dict[str, str], resources: list[dict[str, str]]) -> str:
    if item["access"] == "exclusive":
        return "e"
    return "b" if {**item, "access": "exclusive"} in resources else "s"


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    attempt_id = None if row["attempt_id"] is None else str(row["attempt_id"])
    return {name: row[name] for name in ("partition", "last_offset", *FACTS)} | {"attempt_id": attempt_id}
