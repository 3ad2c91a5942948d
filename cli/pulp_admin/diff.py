"""`pulp-admin tasks diff`: what changed between two moments of a task."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show, table

from pulp_admin.app import App, with_app
from pulp_admin.as_of import AS_OF, nothing_then
from pulp_admin.errors import NotFound, StaleStream
from pulp_admin.ids import resolve_any, task_id_option
from pulp_admin.not_found import why_not_found_at
from pulp_admin.paths import api_path

if TYPE_CHECKING:
    from pulp_admin.client import Client

_ABSENT: Final = object()


class Difference(NamedTuple):
    """One field that differs. A missing field is None, as is a null one."""

    field: str
    """Its path in the report, such as `error.description` or `progress_reports[0].done`."""
    before: Any
    after: Any


@click.command(
    epilog=examples(
        "pulp-admin tasks diff --task-id e0e0a250 3:1042 3:1077",
        "pulp-admin tasks diff --task-id e0e0a250 10m",
    )
)
@task_id_option
@click.argument("before", type=AS_OF, metavar="FROM")
@click.argument("after", type=AS_OF, metavar="[TO]", required=False)
@with_app
def diff(app: App, task_id: TaskId, before: str, after: str | None) -> None:
    """Show what changed in a task between two moments.

    FROM and TO are times, such as 10m or 2026-11-24T12:00:00Z; events of its history as PARTITION:OFFSET, including
    their effect; or cursors. Without TO, it compares with now.
    """
    known = resolve_any(app.client, task_id)
    found = list(differences(_as_it_was(app.client, known, before), _as_it_was(app.client, known, after)))
    changed = {each.field: {"before": each.before, "after": each.after} for each in found}
    value = {"task_id": known, "from": before, "to": after, "changed": changed}
    if found or app.output != "table":
        show(app.output, value, lambda: _page(found))
    else:
        hint("Nothing has changed.")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """The fields that differ between two reports: in the order of the first, then those that only the second has."""
    first, second = dict(_fields("", before)), dict(_fields("", after))
    for field in dict.fromkeys((*first, *second)):
        old, new = first.get(field, _ABSENT), second.get(field, _ABSENT)
        if old != new and not (_is_nothing(old) and _is_nothing(new)):
            yield Difference(field, None if old is _ABSENT else old, None if new is _ABSENT else new)


def _is_nothing(value: object) -> bool:
    """Whether there is no value: an object that now has fields was null or empty before."""
    return value is _ABSENT or value is None or value in ({}, [])


def _fields(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each value that holds no others, by its path."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _fields(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _fields(f"{path}[{number}]", inner)
    else:
        yield path, value


def _as_it_was(client: "Client", task_id: str, moment: str | None) -> Mapping[str, Any]:
    try:
        report: Mapping[str, Any] = client.get(
            api_path("v3", "tasks", task_id), None if moment is None else {"as_of": moment}
        )
    except NotFound as refusal:
        if moment is None:
            raise
        raise why_not_found_at(client, task_id, moment, refusal) from None
    except StaleStream as refusal:
        raise (refusal if moment is None else nothing_then(moment, refusal)) from None
    return report


def _page(found: list[Difference]) -> list[str]:
    rows = [[each.field, _shown(each.before), _shown(each.after)] for each in found]
    return table(rows, ("FIELD", "BEFORE", "AFTER"), width=None)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
