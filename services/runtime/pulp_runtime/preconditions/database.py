"""Whether the database can store everything, and keeps it."""

import time
from dataclasses import dataclass, field, replace
from typing import Final

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row
from pulp_events.findings import Finding, Severity
from pulp_projections.migrations import names
from pulp_projections.sql import load

from pulp_runtime.preconditions import connections
from pulp_runtime.preconditions.connections import Room

OLDEST_VERSION: Final = 15
_NO_LIMITS: Final = Room()
_SQL: Final = load("pulp_runtime.preconditions", "database.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What a role can see of its database."""

    name: str
    role: str
    encoding: str
    is_standby: bool
    is_read_only: bool
    """By `default_transaction_read_only`."""
    has_fsync: bool
    has_full_page_writes: bool
    has_synchronous_commit: bool
    has_autovacuum: bool
    has_extension: bool
    can_get_extension: bool
    may_create_in_database: bool
    may_create_in_public: bool
    has_tables: bool
    may_read_workers: bool
    owns_tables: bool
    owner: str | None
    """The owner of the tables; None without tables."""
    elsewhere: list[str] = field(default_factory=list)
    """Other schemas that hold our tables."""
    is_guarded: bool = True
    """Whether the constraint exists that keeps two holds from having one resource."""
    clock_s: float = 0.0
    """The time of Postgres' clock, read between `asked_s` and `answered_s` of this machine's clock."""
    asked_s: float = 0.0
    answered_s: float = 0.0
    version: int = OLDEST_VERSION
    pending: tuple[str, ...] = ()
    """Migrations that have not been applied yet."""
    unknown: tuple[str, ...] = ()
    """Migrations of a later release."""
    collation: tuple[str | None, str | None] = (None, None)
    """The version of the locale that indexes were built with, and the system's version now."""
    room: Room = _NO_LIMITS
    """For connections."""

    @property
    def may_migrate(self) -> bool:
        """Whether this role may create and change the tables."""
        return self.owns_tables if self.has_tables else self.may_create_in_database and self.may_create_in_public


async def look(connection: AsyncConnection) -> DatabaseFacts:
    """The facts, in a few short queries. Raises `psycopg.Error`."""
    asked_s = time.time()
    async with connection.cursor(row_factory=class_row(DatabaseFacts)) as cursor:
        await cursor.execute(_SQL["facts"])
        facts = (await cursor.fetchall())[0]
    answered_s = time.time()
    known, applied = names(), []
    if facts.has_tables:
        applied = [row[0] for row in await (await connection.execute(_SQL["applied"])).fetchall()]
    version = connection.info.server_version // 10_000
    collation: tuple[str | None, str | None] = (None, None)
    if version >= 15:
        collation = (await (await connection.execute(_SQL["collation"])).fetchall())[0]
    return replace(
        facts,
        asked_s=asked_s,
        answered_s=answered_s,
        version=version,
        pending=tuple(name for name in known if name not in applied),
        unknown=tuple(sorted(set(applied) - set(known))),
        collation=collation,
        room=await connections.look(connection, may_read_workers=facts.may_read_workers),
    )


def judge(facts: DatabaseFacts) -> list[Finding]:
    """What is wrong with the database."""
    return [*_unusable(facts), *_unsafe(facts), *_writing(facts), *_room(facts)]


def _unusable(facts: DatabaseFacts) -> list[Finding]:
    """Faults with which nothing works, or nothing can be written."""
    found = []
    if facts.encoding != "UTF8":
        found.append(
            _fault(
                "database-encoding",
                f"the database {facts.name} is encoded in {facts.encoding}, not in UTF8",
                "names and results with other letters cannot be stored, or come back as others",
                "make another one, name it in PULP_POSTGRES, and add the users again; the rest is projected again:"
                f" createdb --encoding=UTF8 --locale=C --template=template0 {facts.name}_utf8",
            )
        )
    if facts.version < OLDEST_VERSION:
        found.append(
            _fault(
                "database-version",
                f"Postgres is version {facts.version}; {OLDEST_VERSION} is the oldest that is supported",
                "statements may fail, and then events are not projected",
                "upgrade the server: pg_upgrade, or a new server, onto which the read model is projected again",
            )
        )
    if facts.elsewhere and not facts.has_tables:
        found.append(_elsewhere(facts))
    elif facts.pending and not facts.may_migrate:
        found.append(_cannot_migrate(facts))
    elif not facts.has_extension and not (facts.can_get_extension and facts.may_create_in_database):
        found.append(_no_extension(facts))
    if facts.unknown:
        found.append(
            _warning(
                "migrations-unknown",
                f"the database {facts.name} was migrated by a later release: {', '.join(facts.unknown)}",
                "this release may not know what a later one expects",
                "install the later release for every process",
            )
        )
    return found


def _elsewhere(facts: DatabaseFacts) -> Finding:
    schema = sql.Identifier(facts.elsewhere[0]).as_string()
    return _fault(
        "tables-elsewhere",
        f"the tables are in the schema {schema}, which an earlier release took from search_path; they belong in public",
        "the users, claims and positions that are there would not be seen",
        f"stop every process, then move each table, sequence and function there: alter table {schema}.users set schema"
        " public; and so on",
    )


def _cannot_migrate(facts: DatabaseFacts) -> Finding:
    return _fault(
        "migrations-pending",
        f"migrations are not applied, and {facts.role} may not apply them: {', '.join(facts.pending)}",
        "statements of this release fail",
        f"as the owner{f' ({facts.owner})' if facts.owner else ''}: pulp-tasks database migrate",
    )


def _no_extension(facts: DatabaseFacts) -> Finding:
    if not facts.can_get_extension:
        mend = "install PostgreSQL's contrib modules on its machine (postgresql-contrib), then start again"
    else:
        mend = f'as a superuser, or the owner of the database: psql -d {facts.name} -c "create extension btree_gist"'
    return _fault(
        "extension-missing",
        f"the extension btree_gist is not installed in {facts.name}"
        + ("" if facts.can_get_extension else ", and the server does not have it"),
        "nothing keeps two tasks from using one resource at the same time",
        mend,
    )


def _unsafe(facts: DatabaseFacts) -> list[Finding]:
    """Settings by which written data may be lost, or be found wrongly."""
    found = []
    if not facts.is_guarded:
        found.append(
            _fault(
                "reservations-unguarded",
                "the constraint reservations_conflict is gone",
                "nothing keeps two tasks from using one resource at the same time",
                "alter table reservations add constraint reservations_conflict exclude using gist (resource with =,"
                " slot with &&)",
            )
        )
    for check, name, is_on, endangers in (
        (
            "database-fsync",
            "fsync",
            facts.has_fsync,
            "a crash of its machine may damage the whole database, users included",
        ),
        (
            "database-full-page-writes",
            "full_page_writes",
            facts.has_full_page_writes,
            "a crash of its machine may damage pages that were written",
        ),
        (
            "database-synchronous-commit",
            "synchronous_commit",
            facts.has_synchronous_commit,
            "a crash may lose the last claims and changes of users",
        ),
    ):
        if not is_on:
            mend = f"alter system set {name} = on; select pg_reload_conf()"
            if name == "synchronous_commit":
                mend += f"; or for this database: alter database {facts.name} reset {name}"
            found.append(_warning(check, f"{name} is off in Postgres", endangers, mend))
    before, now = facts.collation
    if before is not None and now is not None and before != now:
        found.append(
            _warning(
                "database-collation",
                f"the database was sorted by version {before} of its locale, the system has {now}",
                "an index on text may not find rows that are there",
                f"reindex database {facts.name}; alter database {facts.name} refresh collation version",
            )
        )
    return found


def _writing(facts: DatabaseFacts) -> list[Finding]:
    """Where nothing can be written now."""
    standing = "nothing is projected or assigned to workers, and reads stay as they are"
    if facts.is_standby:
        what = "Postgres is a standby, which takes no writes"
        mend = "name the primary in PULP_POSTGRES (with several hosts: target_session_attrs=read-write), or promote it"
        return [_warning("database-standby", what, standing, mend)]
    if facts.is_read_only:
        what = f"default_transaction_read_only is on for {facts.role} in {facts.name}"
        mend = (
            f"when it was not meant (a full disk makes some providers set it): alter database {facts.name} reset"
            f" default_transaction_read_only; alter role {facts.role} reset default_transaction_read_only"
        )
        return [_warning("database-read-only", what, standing, mend)]
    return []


def _room(facts: DatabaseFacts) -> list[Finding]:
    found = connections.judge(facts.room)
    if not facts.has_autovacuum:
        found.append(
            _warning(
                "database-autovacuum",
                "autovacuum is off",
                "tables grow without bound, plans become slow, and in the end Postgres stops taking writes",
                "alter system set autovacuum = on; select pg_reload_conf()",
            )
        )
    return found


def _fault(code: str, what: str, endangers: str, mend: str) -> Finding:
    return Finding(code, "Postgres", Severity.FAULT, what, endangers, mend)


def _warning(code: str, what: str, endangers: str, mend: str) -> Finding:
    return Finding(code, "Postgres", Severity.WARNING, what, endangers, mend)
