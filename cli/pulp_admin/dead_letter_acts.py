"""`pulp-admin dead-letters retry` and `discard`."""

from collections.abc import Sequence
from typing import Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.exits import DATA
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.dead_letter_pages import ALL, path_of_letter, positions_argument
from pulp_admin.errors import Failure, NotFound
from pulp_admin.positions import LogPosition

_reason: Final = click.option("--reason", metavar="TEXT", help="The reason; the task's history and the audit keep it.")


@click.command(
    epilog=examples(
        "pulp-admin dead-letters retry 3:1042",
        'pulp-admin dead-letters retry --all --reason "upgraded to 2.4"',
    )
)
@positions_argument(is_required=False)
@click.option("--all", "retries_all", is_flag=True, help="Retry all that can be understood now; leave the others.")
@_reason
@with_app
def retry(app: App, positions: tuple[LogPosition, ...], retries_all: bool, reason: str | None) -> None:
    """Project records that can be understood now.

    If a record parks its task, the server projects it and those behind it in order, as if nothing had happened. It
    appends any other record again, at the end of its partition; the dead letter stays. Retrying one twice is harmless.
    For operators. Exits 65 if a named record cannot be retried, or is not a dead letter.
    """
    if bool(positions) is retries_all:
        raise click.UsageError("Give positions, or --all.")
    wanted = positions
    if retries_all:
        # Collect them first: a record that is refused again becomes a dead letter at a later offset.
        found = list(app.client.pages(ALL, {"standing": "dead,parks"}))
        wanted = tuple(sorted(LogPosition.parse(each["position"]) for each in found))
    results = _act(app, "retry", wanted, reason)
    left = sum(result["error"] is not None for result in results)
    if retries_all and app.output not in ("json", "yaml"):
        told = f", {left} left: they still cannot be projected" if left else ""
        click.echo(f"{len(results) - left} retried{told}")
    if left and not retries_all:
        click.get_current_context().exit(DATA)


@click.command(
    epilog=examples(
        'pulp-admin dead-letters discard 3:1042 --reason "by a broken script"',
        "pulp-admin dead-letters discard 3:1042 --yes --output json",
    )
)
@positions_argument(is_required=True)
@_reason
@yes_option
@with_app
def discard(app: App, positions: tuple[LogPosition, ...], reason: str | None, is_sure: bool) -> None:
    """Let tasks go on without the records that park them.

    The server projects the records behind them in order. A discarded record stays in the log, and in the list as
    discarded. This cannot be undone. For operators. Exits 65 if a record parks no task, or is not a dead letter.
    """
    what = "the record" if len(positions) == 1 else f"{len(positions)} records"
    confirm(f"Let the task go on without {what} at {', '.join(map(str, positions))}?", is_sure=is_sure)
    results = _act(app, "discard", positions, reason)
    if any(result["error"] is not None for result in results):
        click.get_current_context().exit(DATA)


def _act(app: App, action: str, positions: Sequence[LogPosition], reason: str | None) -> list[dict[str, Any]]:
    """Act on each record. What was done is shown even if the server goes away in between."""
    body = {} if reason is None else {"reason": reason}
    is_for_scripts = app.output in ("json", "yaml")
    results: list[dict[str, Any]] = []
    try:
        for position in positions:
            result: dict[str, Any] = {"position": str(position), "appended": None, "behind": 0, "projected": False}
            result["error"] = None
            try:
                made = app.client.create(path_of_letter(position, action), body)
                result |= {name: made[name] for name in ("appended", "behind", "projected")}
            except NotFound as error:
                result["error"] = error.message
            except Failure as error:
                if error.code != DATA:
                    raise
                result["error"] = error.message
            results.append(result)
            if not is_for_scripts:
                _tell(result)
    finally:
        if is_for_scripts:
            show(app.output, results, list)
    return results


def _tell(result: dict[str, Any]) -> None:
    if result["error"] is not None:
        hint(f"{result['position']}  {result['error']}")
        return
    pending = "" if result["projected"] else "; it takes effect as soon as a processor is up"
    click.echo(f"{result['position']}  appended at {result['appended']}{pending}")
