"""Random lists of workers, schedules, users, groups and task groups, compared with a calculation in plain Python."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from pulp_accounts.users import Role

from tests.integration.test_api_schedules import scheduling
from tests.support.lists.plain import PlainList, Row, answer, query
from tests.support.lists.world import world
from tests.support.site import V3, Site

pytestmark = pytest.mark.timeout(1800)  # for the whole number
SHARE = 5
"""For this many requests for tasks, there is one for each of these lists."""
NAMES = ("worker-1", "Worker-2", "wörker 3", "w%_4", "w.5", "同期-6", "W7")
TEXT = "exact iexact in contains icontains startswith istartswith regex iregex"
PERSON = "exact iexact in contains icontains"


async def check(api: Site, of: PlainList, config: pytest.Config) -> None:
    """Make random requests."""
    seed = config.getoption("list_seed")
    count = max(20, config.getoption("list_requests") // SHARE)
    print(f"{count} requests for {of.path}, to be repeated by --list-seed {seed}")
    chance = Random(seed)
    for _ in range(count):
        asked = query(of, chance)
        got = await api.client.get(f"{V3}/{of.path}/?{urlencode(asked)}")
        expected = answer(of, asked)
        if isinstance(expected, dict):
            assert (got.status_code, got.json()) == (400, expected), asked
            continue
        found, page = expected
        assert got.status_code == 200, (asked, got.text)
        shown = [row[of.name] for row in got.json()["results"]]
        assert (got.json()["count"], shown) == (len(found), [row[of.name] for row in page]), asked


async def test_workers(api: Site, pytestconfig: pytest.Config) -> None:
    now, chance, rows = datetime.now(UTC).replace(microsecond=0), Random(pytestconfig.getoption("list_seed")), []
    for name in NAMES:
        silent_s, is_stopped = chance.choice((0, 0, 3600, 7200)), chance.random() < 0.3
        row = {
            "name": name,
            "pulp_id": uuid4(),
            "last_heartbeat": now - timedelta(seconds=silent_s),
            "pulp_created": now - timedelta(days=chance.choice((1, 1, 2))),
            "online": not silent_s and not is_stopped,
            "missing": bool(silent_s) and not is_stopped,
        }
        await api.execute(
            "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds,"
            " started_at, heartbeat_at, stopped_at) values (%s, %s, 'h', 1, '{default}', 1, '{}', 1800, %s, %s, %s)",
            *(name, row["pulp_id"], row["pulp_created"], row["last_heartbeat"], now if is_stopped else None),
        )
        rows.append(row)
    orders = {name: name for name in ("name", "last_heartbeat", "pulp_created", "pulp_id")}
    of = PlainList(
        path="workers",
        rows=rows,
        name="name",
        default=lambda row: (-row["pulp_created"].timestamp(), row["name"]),
        texts={"name": TEXT},
        times=["last_heartbeat"],
        flags=["online", "missing"],
        orders={**orders, "pk": "pulp_id", "pulp_last_updated": "last_heartbeat", "app_type": "", "versions": ""},
        kind="workers",
        prn="worker",
    )
    await check(api, of, pytestconfig)


async def test_schedules(api: Site, pytestconfig: pytest.Config) -> None:
    await scheduling(api)
    for number, name in enumerate(NAMES):
        body = {"name": name, "task_name": ("sync", "publish")[number % 2], "cron": "30 2 * * *"}
        body["arguments"] = {"repo_id": "zoo"}  # type: ignore[assignment]  # a body
        made = await api.client.post(f"{V3}/task-schedules/", json=body)
        assert made.status_code == 201, made.text
    found = await api.client.get(f"{V3}/task-schedules/")
    rows = [{**row, "pulp_id": _id(row), "pulp_created": _time(row["pulp_created"])} for row in found.json()["results"]]
    of = PlainList(
        path="task-schedules",
        rows=rows,
        name="name",
        default=lambda row: (-row["pulp_created"].timestamp(), -row["pulp_id"].int),
        texts={"name": "exact contains", "task_name": "exact contains"},
        orders={name: name for name in ("name", "task_name", "pulp_created", "next_dispatch", "pulp_id")},
        kind="task-schedules",
        prn="taskschedule",
    )
    await check(api, of, pytestconfig)


async def test_users_and_groups(api: Site, pytestconfig: pytest.Config) -> None:
    roles = list(Role)
    people = [("admin", Role.ADMIN), *((name, roles[number % len(roles)]) for number, name in enumerate(NAMES))]
    for name, role in people[1:]:
        await api.add_user(name, role)
    users: Sequence[Row] = [
        {"username": name, "is_staff": role is Role.ADMIN, "is_active": True, "email": ""} for name, role in people
    ]
    same = dict.fromkeys(("first_name", "last_name", "email", "is_active", "is_superuser", "last_login"), "")
    of = PlainList(
        path="users",
        rows=users,
        name="username",
        default=lambda row: row["username"],
        texts={"username": PERSON},
        flags=["is_staff", "is_active"],
        orders={**same, "username": "username", "id": "username", "pk": "username"},
    )
    await check(api, of, pytestconfig)
    groups = [{"name": role.value, "id": number} for number, role in enumerate(roles, 1)]
    orders = {"name": "name", "id": "id", "pk": "id"}
    of = PlainList(
        path="groups",
        rows=groups,
        name="name",
        default=lambda row: row["name"],
        texts={"name": PERSON},
        numbers=["id"],
        orders=orders,
    )
    await check(api, of, pytestconfig)


async def test_task_groups(api: Site, pytestconfig: pytest.Config) -> None:
    tasks = world(pytestconfig.getoption("list_seed"))
    await tasks.write(api)
    ids = {task.group for task in tasks.shown if task.group}
    of = PlainList(
        path="task-groups",
        rows=[{"pulp_id": known, "pulp_href": f"/pulp/api/v3/task-groups/{known}/"} for known in ids],
        name="pulp_href",
        default=lambda row: -row["pulp_id"].int,
        kind="task-groups",
        prn="taskgroup",
        is_ordered=False,
    )
    await check(api, of, pytestconfig)
    for group in (await api.client.get(f"{V3}/task-groups/")).json()["results"]:
        members = [task for task in tasks.shown if group["pulp_href"] == f"/pulp/api/v3/task-groups/{task.group}/"]
        for state in ("waiting", "skipped", "running", "completed", "failed", "canceled", "canceling"):
            assert group[state] == len([task for task in members if task.state == state]), state


def _id(row: dict[str, Any]) -> UUID:
    return UUID(row["pulp_href"].rstrip("/")[-36:])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
