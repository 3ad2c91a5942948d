"""A real pulpcore and this service get the same requests, about the same tasks: each difference has an explanation.

`--list-requests 2500` makes the full number of requests; `--list-seed` repeats a run, whose seed is printed.
"""

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.clients.pulpcore.comparing import Reply, differences
from tests.clients.pulpcore.conftest import started
from tests.clients.pulpcore.explained import NEWER, explanation
from tests.support.backends import Backend
from tests.support.lists.model import shape
from tests.support.lists.requests import Requests
from tests.support.lists.world import World, world
from tests.support.site import site

pytestmark = pytest.mark.timeout(1800)
RELEASES = ("3.123.1", "3.65.0")


@pytest.mark.parametrize("release", RELEASES)
async def test_a_list_of_tasks_differs_from_pulpcores_as_explained(
    backend: Backend, database: str, folder: Path, pytestconfig: pytest.Config, release: str
) -> None:
    seed, count = pytestconfig.getoption("list_seed"), pytestconfig.getoption("list_requests")
    print(f"{count} requests, to be repeated by --list-requests {count} --list-seed {seed}")
    tasks = world(seed)
    requests, seen, unexplained = (
        Requests(tasks, seed, shows_ids=True, without=NEWER.get(release, ())),
        Counter[str](),
        [],
    )
    async with site(database) as ours:
        await tasks.write(ours)
        with started(release, backend, folder) as theirs:
            theirs.order(**rows(tasks))
            for _ in range(count):
                request = requests.one()
                path = f"/pulp/api/v3/tasks/?{urlencode(request.query)}"
                answer = await ours.client.get(path)
                one, other = Reply(answer.status_code, answer.json()), Reply(*theirs.get(path))
                found = differences(one, other)
                names = [explanation(tasks, request, each, release) for each in found]
                seen.update(set(filter(None, names)) or {"the same"})
                unexplained += [(request.query, each) for each, name in zip(found, names, strict=True) if name is None]
    print(f"pulpcore {release}: {dict(seen.most_common())}")
    for each in unexplained:
        print(each)
    assert not unexplained, f"{len(unexplained)} differences have no explanation (--list-seed {seed}): {unexplained[0]}"


def rows(tasks: World) -> dict[str, Any]:
    """The rows that pulpcore has for the same tasks. It has none for a purged task."""
    made = []
    for task in tasks.shown:
        shown = shape(tasks, task)
        kept = ("name", "state", "logging_cid", "error", "result", "reserved_resources_record", "pulp_created")
        times = ("pulp_last_updated", "started_at", "finished_at", "unblocked_at")
        relations = {"parent_task_id": tasks.parent(task), "task_group_id": task.group}
        known = {name: None if value is None else str(value) for name, value in relations.items()}
        made.append({"pulp_id": str(task.task_id), **{name: shown[name] for name in (*kept, *times)}, **known})
    groups = sorted({str(task.group) for task in tasks.shown if task.group})
    return {"groups": groups, "tasks": made}
