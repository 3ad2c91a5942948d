"""`pulp-admin audit list`."""

from collections.abc import Mapping
from typing import Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_admin.app import App, with_app
from pulp_admin.audit_options import CURSOR, filter_options, params_of
from pulp_admin.history import kind, what
from pulp_admin.paths import api_path, id_in
from pulp_admin.positions import LogPosition

PAGE: Final = 1000
_HEAD: Final = ("OFFSET", "TIME (UTC)", "EVENT", "WHO", "BY", "FROM", "TASK", "WHAT")


@click.command(
    "list",
    epilog=examples(
        "pulp-admin audit list --who jo --since yesterday",
        "pulp-admin audit list --event cancel-requested --resource repository:zoo",
        "pulp-admin --output json audit list --effect ignored | jq '.events[].effect'",
    ),
)
@filter_options
@click.option("--cursor", metavar="CURSOR", help="Continue where an earlier list ended, with the same filters.")
@click.option("--limit", type=click.IntRange(min=1), default=100, metavar="N", help="At most this many [100].")
@with_app
def list_(app: App, cursor: str | None, limit: int, **options: Any) -> None:
    """List events of all tasks, in the order of the log.

    BY is how the caller was authenticated, and FROM where the request came from, if the site keeps that. The list ends
    with a cursor, from which a later list continues: it skips no event and repeats none.
    """
    if cursor is not None and CURSOR.fullmatch(cursor) is None:
        raise click.BadParameter(f"{cursor!r} is not a cursor: take the one at the end of an earlier list")
    params = params_of(app.client, options)
    events: list[dict[str, Any]] = []
    more = True
    while more and len(events) < limit:
        place = {} if cursor is None else {"cursor": cursor}
        page = app.client.get(api_path("v3", "audit"), {**params, **place, "limit": min(PAGE, limit - len(events))})
        events += page["results"]
        cursor, more = page["cursor"], page["next"] is not None
    show(
        app.output,
        {"events": events, "cursor": cursor, "has_more": more},
        lambda: table([_row(each) for each in events], _HEAD, width=None),
    )
    if app.output == "table":
        hint(f"More follows: --cursor {cursor}" if more else f"That is all so far. What comes later: --cursor {cursor}")


def _row(entry: Mapping[str, Any]) -> list[str]:
    reason = entry["reason"] if entry["effect"] != "applied" else None
    told = what(entry)
    return [
        str(LogPosition.of(entry)),
        str(entry["time"]).replace("T", " ")[:19],
        kind(entry),
        str(entry["actor"]),
        entry["authentication"] or "-",
        entry["address"] or "-",
        id_in(entry["task"])[:8],
        f"{told} ({reason})" if reason and reason not in told else told,
    ]
