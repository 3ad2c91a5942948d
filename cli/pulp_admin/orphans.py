"""`pulp-admin orphan list` and `orphan remove`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_admin import render
from pulp_admin.app import App, with_app
from pulp_admin.paths import ApiPath, api_path
from pulp_admin.screen import banner, say
from pulp_admin.start import QUEUED, accepted, tell_accepted, watch_option

_type_option: Final = click.option("--type", "kind", metavar="TYPE", help="Only content of this type, such as rpm.")


@click.group(cls=Group, epilog=examples("pulp-admin orphan remove --all"))
def orphan() -> None:
    """List and remove content that no repository uses."""


@orphan.command("list", epilog=examples("pulp-admin orphan list", "pulp-admin orphan list --type rpm --details"))
@_type_option
@click.option("--details", is_flag=True, help="Also list each unit; only with --type.")
@with_app
def list_(app: App, kind: str | None, details: bool) -> None:
    """Count the content that no repository uses."""
    found = app.client.get(_path(kind))
    if kind is None:
        if details:
            say(app, "no content type specified; details flag ignored")
        counts = {str(name): int(each["count"]) for name, each in found.items()}
    else:
        counts = dict(Counter(str(unit["_content_type_id"]) for unit in found))
        if details and app.output == "table":
            show(app.output, None, lambda: _units(found))
    banner(app, "Summary")
    in_order = {name: counts[name] for name in sorted(counts)}
    show(app.output, found, lambda: [*render.document({**in_order, "Total": sum(counts.values())}, gap=2), ""])


@orphan.command(epilog=examples("pulp-admin orphan remove --all", "pulp-admin orphan remove --type rpm --bg"))
@click.option("--all", "is_all", is_flag=True, help="All orphaned content, whatever else is specified.")
@_type_option
@click.option("--unit-id", metavar="ID", help="Only this unit; needs --type as well.")
@click.option("--bg", "in_background", is_flag=True, help="Do not wait. This is the default without --watch.")
@watch_option
@with_app
def remove(app: App, is_all: bool, kind: str | None, unit_id: str | None, in_background: bool, watch: bool) -> None:
    """Remove content that no repository uses."""
    if watch and in_background:
        raise click.UsageError("Give --bg or --watch, not both.")
    if is_all:
        accepted(app, {"operation": "remove-orphans"}, watch=watch)
    elif kind is None:
        _raise_missing("is_all" if unit_id is None else "kind")
    else:
        report = app.client.delete(_path(kind, unit_id))
        tell_accepted(app, _task_in(report), watch=watch)
    if in_background:
        say(app, QUEUED)


def _path(kind: str | None, unit_id: str | None = None) -> ApiPath:
    return api_path("v2", "content", "orphans", *(part for part in (kind, unit_id) if part is not None))


def _task_in(report: Mapping[str, Any]) -> str:
    """The task of a 202, in the shape of Pulp 2.0 or of 2.21."""
    return str(report["task_id"] if "task_id" in report else report["spawned_tasks"][0]["task_id"])


def _units(found: list[Mapping[str, Any]]) -> Iterator[str]:
    for unit in found:
        yield from render.document({"id": unit.get("_id"), **unit})
        yield ""


def _raise_missing(name: str) -> None:
    context = click.get_current_context()
    option = next(each for each in context.command.params if each.name == name)
    raise click.MissingParameter(ctx=context, param=option)
