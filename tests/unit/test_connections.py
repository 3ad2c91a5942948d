"""A process reports the connections that it needs, and does not start with too few."""

import re
from pathlib import Path

import pytest
from pulp_deploy.local.postgres import connections_for
from pulp_runtime.preconditions.connections import PROCESSOR, WORKER, Limit, Needs, Room, advice, api, judge, refusal

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "size.md").read_text()


def test_the_page_on_sizes_says_what_each_process_opens() -> None:
    rows = dict(re.findall(r"^\| (worker|processor|API process) \| (.+) \|$", PAGE, re.MULTILINE))
    assert rows["worker"].startswith(f"{WORKER.most},")
    assert rows["processor"].startswith(f"{PROCESSOR.most}, and {PROCESSOR.a_partition} for each partition")
    assert rows["API process"] == f"`PULP_API_CONNECTIONS` + {api(8).most - 8}"
    workers, processors, partitions, apis, others, reserved = 128, 2, 8, 2, 10, 3
    elected = 4 + 2 + 1  # schedules, subscriptions, states: only in the process of the elected dispatcher
    shared = PROCESSOR.a_partition * partitions + elected + others + reserved
    total = workers * WORKER.most + processors * PROCESSOR.most + apis * api(8).most + shared
    assert f"= {total}." in PAGE


def allowing(most: int, used: int) -> Limit:
    return Limit("max_connections", "alter system set max_connections = N", most, used)


@pytest.mark.parametrize(
    ("used", "workers", "workers_connections", "is_told"),
    [
        (89, 0, 0, False),
        (90, 0, 0, True),
        (80, 20, 40, False),  # they have what they need
        (80, 20, 31, False),
        (80, 20, 30, True),  # they need ten more
    ],
)
def test_connections_in_use_or_needed_are_told_from_nine_tenths_on(
    used: int, workers: int, workers_connections: int, is_told: bool
) -> None:
    room = Room(limits=(allowing(100, used),), workers=workers, workers_connections=workers_connections)
    assert [each.check for each in judge(room)] == ["database-connections"] * is_told


def test_the_numbers_are_told_with_what_helps() -> None:
    [found] = judge(Room(limits=(allowing(100, 95),), workers=40, workers_connections=70))
    assert "95 of 100 connections are in use (max_connections)" in found.wrong
    assert "the 40 workers that are online need 10 more" in found.wrong
    assert found.mend is not None
    assert found.mend.startswith("alter system set max_connections = N")


def test_the_limit_that_is_met_first_counts() -> None:
    role = Limit("the connection limit of pulp", "alter role pulp connection limit N", 20, 19)
    [found] = judge(Room(limits=(allowing(100, 50), role)))
    assert "19 of 20 connections are in use (the connection limit of pulp)" in found.wrong


@pytest.mark.parametrize(
    ("needs", "used", "starts"),
    [
        (WORKER, 98, True),
        (WORKER, 99, True),  # the checking connection is among those in use, and is closed first
        (WORKER, 100, False),
        (PROCESSOR.for_partitions(12), 96, True),
        (PROCESSOR.for_partitions(12), 97, False),
        (api(8), 98, True),
        (api(8), 99, False),
        (api(1), 99, True),
    ],
)
def test_a_process_starts_where_it_can_do_its_work(needs: Needs, used: int, starts: bool) -> None:
    assert (refusal(Room(limits=(allowing(100, used),)), needs, held=1) is None) is starts


def test_a_refusal_says_what_is_needed() -> None:
    found = refusal(Room(limits=(allowing(100, 100),)), WORKER, held=1)
    assert found is not None
    assert found.wrong == "100 of 100 connections are in use (max_connections); this process needs 2"


@pytest.mark.parametrize(
    ("message", "is_full"),
    [
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", True),
        ('FATAL:  too many connections for role "pulp"', True),
        ('FATAL:  too many connections for database "pulp"', True),
        ('FATAL:  password authentication failed for user "pulp"', False),
    ],
)
def test_who_is_refused_for_want_of_a_connection_is_told_what_helps(message: str, is_full: bool) -> None:
    assert (advice(message) is not None) is is_full


@pytest.mark.parametrize(
    ("processors", "workers", "least"),
    [
        (1, 1, 200),  # what it needs without counting workers
        # A worker has two connections, and briefly another one every minute; an API eight in its pool and one to follow
        # the projection; a processor at most one for each of 12 partitions and five others.
        (1, 36, 36 * 3 + 10 + 18),
        (2, 150, 150 * 3 + 10 + 2 * 18),
    ],
)
def test_our_own_server_takes_the_connections_of_all_processes(processors: int, workers: int, least: int) -> None:
    assert least <= connections_for(processors=processors, workers=workers)
