"""The history has a part for each month, created before it is needed, even from a history without parts, and whatever
clocks say."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_events.codec import encode, key_of
from pulp_events.ids import new_id
from pulp_events.reader import Record
from pulp_projections.generations import create_indexes, create_tables
from pulp_projections.migrations import migrate
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import accepted
from tests.support.projection import execute, rows

MIGRATION: Final = "0041_history_by_month.sql"
_PARTS: Final = "select tableoid::regclass::text, record_offset from generation_1.task_events order by 2"
_TIMES: Final[Mapping[str, str]] = {
    "now": "now()",
    "next month": "now() + interval '1 month'",
    "long ago": "timestamptz '2019-07-31T23:59:59.999Z'",
    "a second later": "timestamptz '2019-08-01T00:00Z'",
    "before the calendar of any broker": "timestamptz '1970-01-01T00:00Z'",
    "far ahead": "now() + interval '2 years'",
    "at the end of all calendars": "timestamptz '9999-12-31T23:59Z'",
}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as made:
        yield made


def arrival(offset: int, time: datetime) -> Record:
    event = accepted(new_id())
    return Record(0, offset, round(time.timestamp() * 1000), key_of(event.task_id), encode(event))


async def times_of(connection: AsyncConnection) -> dict[str, datetime]:
    await connection.execute("set timezone = 'UTC'")
    cursor = await connection.execute("select " + ", ".join(_TIMES.values()))
    [found] = await cursor.fetchall()
    return dict(zip(_TIMES, found, strict=True))


@pytest.mark.parametrize("most_records_of_a_small_batch", [0, 100])
async def test_each_event_is_in_the_part_of_its_month(
    most_records_of_a_small_batch: int,
    projector: Projector,
    connection: AsyncConnection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each event comes as its own batch, and then all in one: months between the first and the last get no part."""
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records_of_a_small_batch)
    times = await times_of(connection)
    for offset, time in enumerate(times.values()):
        assert await projector.project([arrival(offset, time)]) == offset + 1
    rest = "generation_1.task_events_rest"
    wanted = [
        rest if name in ("before the calendar of any broker", "far ahead", "at the end of all calendars")
        else f"generation_1.task_events_{time:%Y_%m}"
        for name, time in times.items()
    ]  # fmt: skip
    assert await execute(database, _PARTS) == list(zip(wanted, range(len(times)), strict=True))
    start = len(times)
    batch = [arrival(start + number, time) for number, time in enumerate([*times.values(), times["now"]])]
    assert await projector.project(batch) == start + len(batch)
    found = {row["record_offset"] for row in await rows(database, "task_events")}
    assert found == set(range(start + len(batch)))
    assert (await execute(database, _PARTS))[start:] == list(
        zip([*wanted, wanted[0]], range(start, start + len(batch)), strict=True)
    )


async def test_a_reader_of_the_rest_stops_nothing(
    projector: Projector, connection: AsyncConnection, database: str
) -> None:
    """Meanwhile the part of a month cannot be created. It is created later, with the rows that had to go elsewhere."""
    old = datetime(2018, 3, 31, 23, tzinfo=UTC)
    async with await AsyncConnection.connect(database) as reader:
        await reader.execute("select from task_events")
        assert await projector.project([arrival(0, old)]) == 1
        assert await execute(database, _PARTS) == [("generation_1.task_events_rest", 0)]
    projector._months._next_try_s = 0.0  # half a minute later
    assert await projector.project([arrival(1, old), arrival(2, old + timedelta(hours=2))]) == 3
    march, april = (f"generation_1.task_events_2018_{month}" for month in ("03", "04"))
    assert await execute(database, _PARTS) == [(march, 0), (march, 1), (april, 2)]


async def test_a_batch_whose_part_is_made_meanwhile_is_written_again(projector: Projector, database: str) -> None:
    """Postgres refuses a row for the rest if its month has a part by then, as this trigger does once."""
    await execute(database, "create sequence tries")
    await execute(
        database,
        "create function meanwhile() returns trigger language plpgsql as"
        " $$begin if nextval('public.tries') = 1 then raise check_violation; end if; return new; end$$",
    )
    await execute(
        database,
        "create trigger meanwhile before insert on generation_1.task_events for each row execute function meanwhile()",
    )
    assert await projector.project([arrival(0, datetime.now(UTC))]) == 1
    assert len(await rows(database, "task_events")) == 1


async def test_a_month_that_is_there_is_not_made_again(connection: AsyncConnection) -> None:
    parts = "select name, since, until, is_rest from history_parts(1) order by since nulls last"
    made = await (await connection.execute(parts)).fetchall()
    assert len(made) == 5  # this month, three to come, and the rest
    months = [(since, until) for _, since, until, is_rest in made if not is_rest]
    assert [until for _, until in months[:-1]] == [since for since, _ in months[1:]]
    for _ in range(2):
        assert await (await connection.execute("select make_history_months(1, now())")).fetchall() == [(True,)]
    assert await (await connection.execute(parts)).fetchall() == made
    with pytest.raises(errors.UniqueViolation):
        await connection.execute(_row(7, "now()") + _row(7, "now()"))


async def test_a_history_without_parts_becomes_a_part(connection: AsyncConnection, database: str) -> None:
    """Only rows that a clock had dated ahead are copied. Prepared statements keep working."""
    await create_tables(connection, 2, 4)
    await connection.execute("insert into generations (generation, status) values (2, 'building')")
    wanted = await _indexes(connection)
    await _undivide(connection, 1, with_indexes=True)
    await _undivide(connection, 2, with_indexes=False)
    times = ["now()", "timestamptz '2019-07-01T00:00Z'", "timestamptz '0001-01-02T00:00Z'", "now() + interval '1 year'"]
    await connection.execute(SQL("").join(SQL(_row(offset, time)) for offset, time in enumerate(times)))
    files = await _files(connection, "task_events", "task_events_by_task")
    async with await AsyncConnection.connect(database, autocommit=True) as older:
        await older.execute("set search_path to generation_1, public")
        await older.execute(
            "prepare writing (bigint) as "
            + _row(0, "now()").replace("generation_1.", "").replace("select 0, 0", "select 0, $1")
        )
        await older.execute("execute writing (10)")
        before = await rows(database, "task_events")
        await connection.execute("delete from schema_migrations where name = %s", [MIGRATION])
        assert await migrate(connection) == [MIGRATION]
        await older.execute("execute writing (11)")
    after = await rows(database, "task_events")
    assert [row for row in after if row["record_offset"] != 11] == before
    assert len(after) == len(before) + 1
    await connection.execute(_row(12, "now() + interval '1 month'"))
    found = await execute(database, _PARTS)
    this = "generation_1.task_events_before"
    later = (await execute(database, "select to_char(now() at time zone 'UTC' + interval '1 month', 'YYYY_MM')"))[0][0]
    assert found == [
        *[(this, 0), (this, 1), (this, 2), ("generation_1.task_events_rest", 3)],
        *[(this, 10), (this, 11), (f"generation_1.task_events_{later}", 12)],
    ]
    assert await _files(connection, "task_events_before", "task_events_before_by_task") == files
    assert await _indexes(connection) == wanted
    await create_indexes(connection, 2)
    assert len(await _leaf_keys(connection, 2)) == 5  # the earlier rows, three months to come, and the rest


def _row(offset: int, time: str) -> Any:
    return (
        "insert into generation_1.task_events (partition, record_offset, task_id, event_id, type, event_time, broker_time,"
        f" actor, effect, event) select 0, {offset}, gen_random_uuid(), gen_random_uuid(), 'x', now(), {time}, 'x', 'applied', '{{}}';"
    )


async def _undivide(connection: AsyncConnection, generation: int, *, with_indexes: bool) -> None:
    """The history as earlier releases had it: one table."""
    schema = Identifier(f"generation_{generation}")
    definitions = await (
        await connection.execute(
            "select replace(indexdef, ' ON ONLY ', ' ON ') from pg_indexes where schemaname = %s and tablename = 'task_events'",
            [f"generation_{generation}"],
        )
    ).fetchall()
    await connection.execute(SQL("create table {}.whole (like {}.task_events)").format(schema, schema))
    await connection.execute(SQL("drop table {}.task_events cascade").format(schema))
    await connection.execute(SQL("alter table {}.whole rename to task_events").format(schema))
    if with_indexes:
        await connection.execute(
            SQL(
                "alter table {}.task_events add constraint task_events_pkey primary key (partition, record_offset)"
            ).format(schema)
        )
        for (definition,) in definitions:
            await connection.execute(definition)
        await connection.execute(SQL("create view public.task_events as select * from {}.task_events").format(schema))
    await connection.execute("drop function if exists history_parts, make_history_month, make_history_months")


async def _indexes(connection: AsyncConnection) -> set[str]:
    """The definitions of the indexes of the first generation's history."""
    cursor = await connection.execute(
        "select indexdef from pg_indexes where schemaname = 'generation_1' and tablename = 'task_events'"
    )
    return {row[0] for row in await cursor.fetchall()}


async def _leaf_keys(connection: AsyncConnection, generation: int) -> set[str]:
    cursor = await connection.execute(
        "select c.conname from history_parts(%s) p join pg_constraint c on c.contype = 'p'"
        " and c.conrelid = format('generation_%%s.%%s', %s::int, p.name)::regclass",
        [generation, generation],
    )
    return {row[0] for row in await cursor.fetchall()}


async def _files(connection: AsyncConnection, *names: str) -> list[Any]:
    """The files of tables and indexes of the first generation."""
    cursor = await connection.execute(
        "select relfilenode from pg_class where relnamespace = 'generation_1'::regnamespace and relname = any (%s) order by 1",
        [list(names)],
    )
    return await cursor.fetchall()
