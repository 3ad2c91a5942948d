"""Shell completion. Quick and silent: offers nothing if nothing answers."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from pulp_deploy.commands.target import Target, stack_folder

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST: Final = 200
_USERS: Final = "select name, role from users order by name limit %s"
_TASKS: Final = "select task_id::text, operation from tasks where purged_at is null order by accepted_at desc limit %s"
_LETTERS: Final = """
    select partition || ':' || record_offset, reason from dead_letters where standing <> 'waits'
     order by partition, record_offset limit %s
"""
_COLUMNS: Final = """
    select distinct name, '' from information_schema.columns,
           lateral (values (column_name::text), (table_name || '.' || column_name)) as names (name)
     where table_schema ~ '^generation_' order by name limit %s
"""


def _completer(find: Callable[[click.Context], Iterable[tuple[str, str]]]) -> Completer:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            found = list(find(context))
        except Exception:  # completion prints no message: the command itself will report the error
            return []
        return [CompletionItem(value, help=about) for value, about in found if value.startswith(incomplete)]

    return complete


def _from_postgres(query: str) -> Completer:
    return _completer(lambda context: _rows(context, query))


def _rows(context: click.Context, query: Any) -> list[tuple[str, str]]:
    postgres = Target.find(context.params.get("data")).need_postgres()
    from pulp_projections.connection import connect_blocking

    with connect_blocking(
        postgres, "pulp-tasks completion", connect_timeout_s=2, settings={"statement_timeout": "1s"}
    ) as connection:
        return [(str(value), str(about)) for value, about in connection.execute(query, [_MOST]).fetchall()]


log_names: Final = _completer(
    lambda context: [(path.stem, "") for path in sorted(stack_folder(context.params.get("data")).logs.glob("*.log"))]
)
topic_names: Final = _completer(lambda context: [(name, "") for name in Target.find(context.params.get("data")).topics])
user_names: Final = _from_postgres(_USERS)
task_ids: Final = _from_postgres(_TASKS)
positions: Final = _from_postgres(_LETTERS)
columns: Final = _from_postgres(_COLUMNS)
