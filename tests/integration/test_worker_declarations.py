"""Old and new workers together: which declaration of an operation counts, and who is warned."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import Struct
from psycopg import AsyncConnection
from pulp_worker import Context, Operation, operation
from pulp_worker.declarations import Registered, declarations, replaces
from pulp_worker.registration import Registration

from tests.support.declared import registration
from tests.support.projection import execute

Join = Callable[[str], Awaitable[Registration]]


class First(Struct):
    source: str


class Second(Struct):
    source: str
    depth: int = 1


def copy(kind: type[First] | type[Second]) -> Operation:
    async def run(context: Context[First | Second]) -> None: ...

    return operation("copy", arguments=kind, description="Copies.")(run)


async def no_arguments(context: Context) -> None: ...


@pytest.fixture
async def join(database: str) -> AsyncIterator[Join]:
    """Starts a worker of that name."""
    async with AsyncExitStack() as closing:
        yield lambda name: closing.enter_async_context(registration(database, name))


async def counting(database: str) -> list[str]:
    """The arguments of the registered declaration."""
    [(schema,)] = await execute(database, "select arguments from operations where name = 'copy'")
    return list(schema["properties"])


async def test_what_a_worker_declares_is_registered_with_its_schema(database: str, join: Join) -> None:
    given = copy(Second)
    await (await join("w")).register([given])
    [row] = await execute(database, "select arguments, digest, registered_by, package from operations")
    assert row[0] == given.schema
    assert row[2:] == ("w", None)  # this module is in no distribution
    [(told,)] = await execute(database, "select declarations from workers")
    assert told == {"copy": row[1]}


async def test_the_newest_counts_from_the_first_time_that_it_was_seen(database: str, join: Join) -> None:
    await (await join("old")).register([copy(First)])
    await (await join("new")).register([copy(Second)])
    assert await counting(database) == ["source", "depth"]
    before = await execute(database, "select registered_at, registered_by from operations")
    await (await join("another")).register([copy(Second)])
    assert await execute(database, "select registered_at, registered_by from operations") == before


async def test_a_worker_that_declares_what_is_registered_waits_for_nobody(database: str, join: Join) -> None:
    await (await join("first")).register([copy(First)])
    async with await AsyncConnection.connect(database) as locking:
        await locking.execute("select from operations for update")
        async with asyncio.timeout(30):
            await (await join("second")).register([copy(First)])


async def test_how_many_statements_a_worker_needs(database: str, join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    execute_really = AsyncConnection.execute

    async def noted(connection: AsyncConnection, query: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(query)
        return await execute_really(connection, query, *arguments, **options)

    def named(name: str) -> Operation:
        return operation(name)(no_arguments)

    many = [named(f"op-{number}") for number in range(20)]
    await (await join("first")).register(many)
    monkeypatch.setattr(AsyncConnection, "execute", noted)
    counts = []
    for name, declared in (("second", many[:1]), ("third", many)):
        sent.clear()
        registered = await join(name)
        await registered.register(declared)
        counts.append(len(sent))
        sent.clear()
        assert await registered.heartbeat() is not None
        await registered.settle()
        assert len(sent) == 1
    assert counts[0] == counts[1]


async def test_the_worker_whose_declaration_does_not_count_says_so_once_and_changes_nothing(
    database: str, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = await join("old"), await join("new")
    await old.register([copy(First)])
    await new.register([copy(Second)])
    with caplog.at_level(logging.WARNING, "pulp.worker"):
        for _ in range(2):
            assert await old.heartbeat() is not None
            await old.settle()
            assert await new.heartbeat() is not None
            await new.settle()
    [record] = caplog.records
    assert "differently from the registered declaration" in record.getMessage()
    assert (vars(record)["operation"], vars(record)["registered_by"]) == ("copy", "new")
    assert await counting(database) == ["source", "depth"]


async def test_the_older_counts_again_when_the_newer_workers_are_gone(database: str, join: Join) -> None:
    old, new = await join("old"), await join("new")
    await old.register([copy(First)])
    await new.register([copy(Second)])
    await new.unregister()
    await old.heartbeat()
    await old.settle()
    assert await counting(database) == ["source"]


async def test_a_worker_that_lost_its_lease_is_no_newer_than_it_was(database: str, join: Join) -> None:
    old, new = await join("old"), await join("new")
    await old.register([copy(First)])
    await new.register([copy(Second)])
    old.become_another()
    await old.register([copy(First)])
    assert await counting(database) == ["source", "depth"]


@pytest.mark.parametrize(
    ("package", "version", "is_start", "is_offered", "wins"),
    [
        ("zoo", "1.9", True, True, False),
        ("zoo", "1.10rc1", True, True, False),
        ("zoo", "1.10", True, True, True),
        ("zoo", "1.11", True, True, True),
        ("zoo", "1.11", False, True, False),
        ("zoo", "1.9", False, False, True),
        ("zoo", "no version", True, True, True),
        ("another", "0.1", True, True, True),
        (None, None, True, True, True),
    ],
)
def test_which_declaration_counts(
    package: str | None, version: str | None, is_start: bool, is_offered: bool, wins: bool
) -> None:
    [given] = declarations([copy(First)])
    mine = given._replace(package=package, version=version)
    registered = Registered("another digest", "zoo", "1.10", "w", is_offered)
    assert replaces(mine, registered, is_start=is_start) is wins


def test_a_shipped_operation_names_its_package() -> None:
    from pulp_operations import sync

    [found] = declarations([sync])
    assert found.package == "pulp-tasks"
    assert found.version is not None


def test_another_release_that_says_the_same_has_the_same_digest() -> None:
    [given] = declarations([copy(First)])
    assert given.digest == given._replace(version="2").digest
    assert given.digest != given._replace(cancellable=True).digest
