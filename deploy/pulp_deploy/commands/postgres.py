"""Connections to Postgres for commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pulp_deploy.commands.target import Target

if TYPE_CHECKING:
    from psycopg import Connection


@contextmanager
def connected(target: Target) -> "Iterator[Connection[Any]]":
    """Connect. Raises `ReadModelUnavailable` as `answering` does."""
    from pulp_projections.connection import connect_blocking

    with (
        answering(),
        connect_blocking(target.need_postgres(), "pulp-tasks", connect_timeout_s=10) as connection,
    ):
        yield connection


@contextmanager
def answering() -> Iterator[None]:
    """Raise `ReadModelUnavailable` if Postgres does not answer, refuses us, or lacks our tables or columns."""
    from psycopg import OperationalError, errors
    from pulp_events.errors import ReadModelUnavailable

    try:
        yield
    except errors.UndefinedTable as error:
        raise ReadModelUnavailable(
            "the database has no tables of Pulp Tasks yet: start a processor, which creates them"
        ) from error
    except errors.UndefinedColumn as error:
        raise ReadModelUnavailable(
            "the database is of an earlier release: start a process of this one, which brings it up to date"
        ) from error
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
        raise ReadModelUnavailable(f"Postgres refuses this: {' '.join(str(error).split())}") from error
    except OperationalError as error:
        raise ReadModelUnavailable(f"Postgres does not answer: {' '.join(str(error).split())}") from error
