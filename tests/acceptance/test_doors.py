"""Whatever the disconnects, each door gives the log as its filter sees it: each event once, in order for each task.

One may also change the door at each of them: the cursor is the same.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_events import Cursor, Filter, Position, subscribe
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.api_process import EventSource, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.filtered_log import FILTERS, busy, by_partition, filtered, records_of
from tests.support.projection import append_all, project, settings_of
from tests.support.site import PASSWORD, V3

LIMIT_S = 60


class Site(NamedTuple):
    """Where the doors are."""

    kafka: str
    prefix: str
    url: str
    folder: Path


Door = Callable[[Site, Filter, str, int, int], tuple[list[Position], str]]
"""From a cursor on: the events until the connection is cut after so many, or until there are `left`; and the cursor."""


def by_subscription(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    with subscribe(site.kafka, prefix=site.prefix, since=since, filter=wanted, follow=False) as events:
        found = [received.position for received in islice(events, min(take, left))]
        return found, str(events.cursor)


def by_stream(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    """The connection is cut in the middle of an event."""
    source, bytes_left = EventSource(since if since != "beginning" else ""), take * 211
    query = {
        "since": "beginning",
        "type": wanted.types,
        "operation": wanted.operations,
        "resource": wanted.resources,
        "actor": wanted.actors,
        "group": list(map(str, wanted.groups)),
    }
    headers = {"Last-Event-ID": source.last_id} if source.last_id else {}
    with (
        httpx.Client(base_url=site.url, auth=("admin", PASSWORD), timeout=LIMIT_S, trust_env=False) as client,
        client.stream("GET", f"{V3}/events/", params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        for data in answer.iter_raw():
            source.feed(data[:bytes_left])
            bytes_left -= len(data)
            if bytes_left <= 0 or len(source.messages) >= left:
                break
    return [Position(*message.place) for message in source.messages], source.last_id or since


def by_command(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    options = [
        *(text for name in wanted.types for text in ("--type", name)),
        *(text for name in wanted.operations for text in ("--operation", name)),
        *(text for name in wanted.resources for text in ("--resource", name)),
        *(text for name in wanted.actors for text in ("--actor", name)),
        *(text for group in wanted.groups for text in ("--group", str(group))),
    ]
    command = [sys.executable, "-m", "pulp_deploy", "events", "tail", "--no-follow", "--output", "json", *options]
    env = environment(site.folder, PULP_KAFKA=site.kafka, PULP_TOPIC_PREFIX=site.prefix)
    done = subprocess.run([*command, "--since", since], env=env, capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()[: min(take, left)]]
    return [Position(line["partition"], line["offset"]) for line in lines], lines[-1]["cursor"] if lines else since


DOORS: Mapping[str, Door] = {"subscription": by_subscription, "stream": by_stream, "command": by_command}


def followed(site: Site, wanted: Filter, visits: Sequence[tuple[Door, int]], count: int) -> list[Position]:
    """What all connections together have brought; the last one stays until everything is there."""
    found: list[Position] = []
    since = "beginning"
    for door, take in [*visits, (visits[-1][0], 1_000_000)]:
        if len(found) < count:
            new, since = door(site, wanted, since, take, count - len(found))
            found += new
    assert Cursor.parse(since) if found else since
    return found


async def test_for_any_pattern_of_disconnects_every_door_gives_the_filtered_log(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await append_all(log, busy(21, PARTITIONS))
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    records = records_of(backend.kafka, topics.events, PARTITIONS)
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        site = Site(backend.kafka, topics.events.removesuffix(".events"), api.url, tmp_path)

        def is_the_log(wanted: Filter, visits: Sequence[tuple[str, int]]) -> None:
            expected = filtered(records, wanted)
            doors = [(DOORS[name], take) for name, take in visits]
            found = by_partition(followed(site, wanted, doors, sum(map(len, expected.values()))))
            assert {partition: found.get(partition, []) for partition in expected} == expected

        cuts = st.integers(1, 40)
        quick = st.lists(st.tuples(st.sampled_from(["subscription", "stream"]), cuts), min_size=1, max_size=6)
        fast = settings(max_examples=25, deadline=None, database=None)
        await asyncio.to_thread(fast(given(st.sampled_from(FILTERS), quick)(is_the_log)))
        mixed = st.lists(st.tuples(st.sampled_from(sorted(DOORS)), cuts), min_size=2, max_size=3)
        slow = settings(max_examples=4, deadline=None, database=None)
        await asyncio.to_thread(slow(given(st.sampled_from(FILTERS), mixed)(is_the_log)))
