"""Compares the API's answers at the end with the reference at the same positions: every task, and some histories."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from tests.faults.arena import Arena
from tests.faults.clients import TASKS
from tests.faults.ledger import WORDS, Breach
from tests.faults.reference import Reference
from tests.faults.rules import Row

_PAGE: Final = 100
_HISTORIES: Final = 50


async def compare_api(arena: Arena, reference: Reference) -> list[Breach]:
    """The breaches of I2 that are visible through the API."""
    least = ",".join(f"{partition}:{end - 1}" for partition, end in reference.positions.items() if end)
    found: list[Breach] = []
    async with httpx.AsyncClient(base_url=arena.stack.url, auth=arena.auth, timeout=30, trust_env=False) as http:
        expected = reference.all_tasks()
        shown = await _listed(http, least, "false")
        purged = await _listed(http, least, "true")
        for task_id in expected.keys() ^ (shown.keys() | purged.keys()):
            where = "the log" if task_id in expected else "the API"
            found.append(Breach("I2", task_id, f"the task is in {where} alone"))
        for task_id, row in expected.items():
            if (row["purged_at"] is not None) is not (task_id in purged) or task_id in shown.keys() & purged.keys():
                found.append(Breach("purge", task_id, f"by the log purged at {row['purged_at']}; lists differ"))
        shown |= purged
        for task_id in expected.keys() & shown.keys():
            found += _differences(expected[task_id], shown[task_id])
        for task_id in list(expected)[:: max(1, len(expected) // _HISTORIES)]:
            answer = await http.get(f"{TASKS}{task_id}/history/?limit=1000")
            found += _history(reference, expected[task_id], answer.raise_for_status().json())
    return found


async def _listed(http: httpx.AsyncClient, least: str, purged: str) -> dict[str, Mapping[str, Any]]:
    """All tasks that are purged, or all others, by id."""
    shown: dict[str, Mapping[str, Any]] = {}
    url: str | None = f"{TASKS}?limit={_PAGE}&ordering=pulp_created&purged={purged}"
    while url is not None:
        page = (await http.get(url, headers={"Pulp-Min-Position": least})).raise_for_status().json()
        shown.update({task["pulp_href"].rstrip("/").rpartition("/")[2]: task for task in page["results"]})
        url = page["next"]
    return shown


def _differences(row: Row, task: Mapping[str, Any]) -> Iterator[Breach]:
    position = f"{row['partition']}:{row['last_offset']}"
    expected = {
        **{"version": row["version"], "position": position, "progress": row["progress"], "result": row["result"]},
        **{"attempt": row["attempt"], "worker_name": row["worker"], "name": row["operation"], "tags": row["tags"]},
    }
    found = {**{name: task[name] for name in expected}, "state": WORDS.get(task["state"], task["state"])}
    for name, value in {**expected, "state": row["state"]}.items():
        if found[name] != value:
            text = f"task {row['task_id']}.{name}: the log says {value!r:.200}, the API {found[name]!r:.200}"
            yield Breach("I2", position, text)


def _history(reference: Reference, row: Row, page: Mapping[str, Any]) -> Iterator[Breach]:
    """The history in a task's own partition, without events about it in other partitions."""
    partition = row["partition"]
    entries = [entry for entry in reference.history[partition].values() if entry.event.task_id == row["task_id"]]
    expected = [(entry.raw.offset, entry.event.id, entry.effect) for entry in entries]
    shown = [
        (item["offset"], item["event_id"], item["effect"]) for item in page["results"] if item["partition"] == partition
    ]
    if page["next"] is None and shown != expected:
        first = next((one for one, other in zip(expected, shown, strict=False) if one != other), "the last")
        yield Breach("I2", f"{partition}:{first}", f"the history of task {row['task_id']} by the API is another one")
