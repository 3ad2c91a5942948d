"""An independent fold of the log, record by record."""

from typing import Any, NamedTuple
from uuid import UUID

from tests.faults.reading import UNKNOWN, Heard, NoEvent, read
from tests.faults.rules import APPLIED, Row, Within, judge


class Raw(NamedTuple):
    """A record from Kafka."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None


class Entry(NamedTuple):
    """An event in the history, and its effect."""

    raw: Raw
    event: Heard
    effect: str


class Folding:
    """Tasks, history and dead letters of every partition."""

    def __init__(self, partitions: int) -> None:
        self.tasks: dict[int, dict[str, Row]] = {partition: {} for partition in range(partitions)}
        self.history: dict[int, dict[int, Entry]] = {partition: {} for partition in range(partitions)}
        self.dead: dict[int, dict[int, Raw]] = {partition: {} for partition in range(partitions)}
        self.parked: dict[int, dict[str, list[Raw]]] = {partition: {} for partition in range(partitions)}
        """Task → the record that parks it, and those that wait behind it; all of them are among the dead as well."""

    def published(self) -> set[tuple[int, int]]:
        """Partition and offset of the dead letters that do not only wait."""
        waiting = {
            (partition, raw.offset)
            for partition, parked in self.parked.items()
            for found in parked.values()
            for raw in found[1:]
        }
        return {(partition, offset) for partition, dead in self.dead.items() for offset in dead} - waiting

    def fold(self, partition: int, raw: Raw) -> None:
        """Apply the next record of the partition."""
        owner, parked = _owner(raw.key), self.parked[partition]
        try:
            event = read(raw.key, raw.value)
        except NoEvent:
            self.dead[partition][raw.offset] = raw
            if owner is not None:
                parked.setdefault(owner, []).append(raw)
            return
        if event.task_id in parked:
            if event.kind != "unparked":
                self.dead[partition][raw.offset] = raw
                parked[event.task_id].append(raw)
                return
            self._unpark(partition, event)
        self.history[partition][raw.offset] = Entry(raw, event, self._effect(partition, raw, event))

    def _unpark(self, partition: int, event: Heard) -> None:
        behind = self.parked[partition][event.task_id]
        if behind[0].offset != event.data["offset"]:
            return
        del self.parked[partition][event.task_id]
        if event.data["action"] == "discard":
            behind = behind[1:]
        for raw in behind:
            del self.dead[partition][raw.offset]
            self.fold(
                partition, raw
            )  # one that is still not an event parks the task again, and those after it wait again

    def _effect(self, partition: int, raw: Raw, event: Heard) -> str:
        if event.kind == UNKNOWN:
            return UNKNOWN
        tasks = self.tasks[partition]
        row = tasks.get(event.task_id)
        if row is None and event.kind == "accepted":
            tasks[event.task_id] = _new_row(partition, raw, event)
            return APPLIED
        change = judge(row, event.kind, event.data)
        if isinstance(change, str):
            return change
        assert row is not None
        row.update({name: _at(raw, value) for name, value in change.items()})
        row.update(updated_at=raw.time_ms, last_offset=raw.offset, version=row["version"] + 1)
        return APPLIED


def _owner(key: bytes | None) -> str | None:
    """The task that a key names."""
    try:
        text = str(UUID((key or b"").decode()))
    except ValueError:
        return None
    return text if text.encode() == key else None


def _at(raw: Raw, value: Any) -> Any:
    if value is ...:
        return raw.time_ms
    return value.from_ms(raw.time_ms) if isinstance(value, Within) else value


def _new_row(partition: int, raw: Raw, event: Heard) -> Row:
    data = event.data
    resources = [{**item, "access": item.get("access", "exclusive")} for item in data.get("resources", ())]
    keys: dict[str, list[str]] = {"exclusive": [], "shared": []}
    for item in resources:
        keys[item["access"]].append(f"{item['type']}:{item['id']}")
    carried: dict[str, Any] = {
        name: data.get(name, usual)
        for name, usual in (
            *(("operation", None), ("arguments", {}), ("tags", []), ("queue", "default"), ("priority", 0)),
            *(("group_id", None), ("parent_id", None), ("depends_on", []), ("timeout_seconds", None)),
            *(("retry", None), ("deadline_seconds", None)),
        )
    }
    return {
        **carried,
        **{"task_id": event.task_id, "state": "waiting", "resources": resources},
        **{"exclusive_resources": keys["exclusive"], "shared_resources": keys["shared"]},
        **{"created_by": event.actor, "correlation_id": event.correlation_id, "rerun_of": event.rerun_of},
        **{"accepted_at": raw.time_ms, "updated_at": raw.time_ms, "started_at": None, "cancel_requested_at": None},
        **{"finished_at": None, "partition": partition, "accepted_offset": raw.offset, "last_offset": raw.offset},
        **{"version": 1, "attempt": 0, "attempt_id": None, "worker": None, "cancellable": False, "sequence": 0},
        **{"progress": {}, "result": None, "error": None, "failed_attempts": 0, "retry_at": None},
        **{"purged_at": None, "purged_by": None},
    }
