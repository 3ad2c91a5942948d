"""`pulp-admin subscriptions create`, `test`, `pause`, `resume`, `redeliver`, `rotate-secret`, `delete`."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.exits import DATA
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show
from pulp_console.times import duration_of

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.audit_options import KINDS, SINCE
from pulp_admin.errors import Failure
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.spans import time_of
from pulp_admin.subscription_pages import (
    ALL,
    find_subscription,
    name_argument,
    page_lines,
    path_of_subscription,
)

_NEARLY_OVER: Final = 0.1
"""The share of the overlap in which an older secret may end without a question: a script that rotates each day is not
on time to the second.
"""
_SINCE: Final = "beginning, now, a time such as 24h or 2026-11-24T12:00:00Z, or a cursor"


class OverlapType(click.ParamType):
    """For how long, such as `1h` or `2d`; the value is in seconds."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = timedelta(0) if value.strip() == "0" else duration_of(value.strip().lower())
        except OverflowError:
            found = None
        if found is None:
            return self.fail(f"{value!r} is not a duration: one such as 1h, 24h or 2d is expected", param, ctx)
        return int(found.total_seconds())


@click.command(
    epilog=examples(
        "pulp-admin subscriptions create chat https://chat.example.org/pulp \\",
        "    --type finished --operation sync > secret",
        "pulp-admin subscriptions create bill https://a.example.org/ --since 24h",
    )
)
@click.argument("name")
@click.argument("url")
@click.option("--type", "types", multiple=True, metavar="TYPE", help=f"Events of this type: {', '.join(KINDS)}.")
@click.option(
    "--operation",
    "operations",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.operations,
    help="Events of tasks of this operation.",
)
@click.option(
    "--resource", "resources", multiple=True, metavar="TYPE:ID", help="Events of tasks that use this resource."
)
@click.option("--actor", "actors", multiple=True, metavar="user:NAME", help="Events of tasks that this user submitted.")
@click.option("--group", "groups", multiple=True, metavar="ID", help="Events of tasks of this group.")
@click.option("--task-id", "tasks", multiple=True, type=TASK_ID, metavar="ID", help="Events of this task.")
@click.option(
    "--since", type=SINCE, metavar="WHEN", default="now", show_default=True, help=f"Where to start: {_SINCE}."
)
@with_app
def create(app: App, name: str, url: str, since: str, tasks: tuple[TaskId, ...], **options: tuple[str, ...]) -> None:
    """Create a subscription, and print its secret. It is not shown again.

    The server sends the events of the tasks that you may see to URL, as CloudEvents, signed with the secret as Standard
    Webhooks describes. If you repeat an option, one of its values must match. All options must match.
    """
    wanted = {field: list(values) for field, values in options.items() if values}
    if tasks:
        wanted["tasks"] = [resolve(app.client, each) for each in tasks]
    body: dict[str, Any] = {"name": name, "url": url, "since": since, **({"filter": wanted} if wanted else {})}
    made = dict(app.client.create(ALL, body))
    show(app.output, made, lambda: [made["secret"]])
    hint(
        f"Subscription {name} successfully created. Give the secret to the receiver: nothing shows it again. To try it:"
        f" pulp-admin subscriptions test {name}"
    )


@click.command(epilog=examples("pulp-admin subscriptions test chat"))
@name_argument
@with_app
def test(app: App, name: str) -> None:
    """Send one test event, once, and show the outcome.

    This works while the subscription is paused or parked, too. Exits 65 if the endpoint did not accept it.
    """
    found = app.client.create(path_of_subscription(find_subscription(app.client, name), "test"), {})
    said = f"answered {found['status']} after {found['took_ms']} ms" if found["status"] else found["error"] or "-"
    show(app.output, found, lambda: [f"{found['outcome']}: {said}"])
    if found["outcome"] != "delivered":
        reason = found["error"] or "nothing is known yet; later: pulp-admin subscriptions deliveries " + name
        raise Failure(f"The test event was not delivered: {reason}", DATA)


@click.command(epilog=examples("pulp-admin subscriptions pause chat"))
@name_argument
@with_app
def pause(app: App, name: str) -> None:
    """Stop deliveries until the subscription is resumed.

    It keeps its place: no event is lost.
    """
    _act(app, name, "pause", "paused")


@click.command(epilog=examples("pulp-admin subscriptions resume chat"))
@name_argument
@with_app
def resume(app: App, name: str) -> None:
    """Resume deliveries from where they stopped.

    For a subscription that was paused, or parked because its endpoint failed too often.
    """
    _act(app, name, "resume", "resumed")


@click.command(
    epilog=examples(
        "pulp-admin subscriptions redeliver chat",
        "pulp-admin subscriptions redeliver chat --since 2026-11-24T12:00:00Z --yes",
    )
)
@name_argument
@click.option(
    "--since", type=SINCE, metavar="WHEN", help=f"Where to start: {_SINCE}. Default: from the first parked event."
)
@yes_option
@with_app
def redeliver(app: App, name: str, since: str | None, is_sure: bool) -> None:
    """Deliver events again, from a place on, with the same ids.

    A receiver recognises events that it has already by `webhook-id`. Parked events are delivered as well. A
    subscription that is paused or parked is resumed.
    """
    found = find_subscription(app.client, name)
    resumes = "" if found["state"] == "active" else f" It is {found['state']}, and this resumes it."
    confirm(
        f"Deliver all events again {'from the first parked one' if since is None else f'since {since}'}?{resumes}",
        is_sure=is_sure,
    )
    body = {} if since is None else {"since": since}
    changed = app.client.create(path_of_subscription(found, "redeliver"), body)
    show(app.output, changed, lambda: [f"Subscription [{name}] delivers again", "", *page_lines(changed)])


@click.command(
    "rotate-secret",
    epilog=examples(
        "pulp-admin subscriptions rotate-secret chat > secret",
        "pulp-admin subscriptions rotate-secret chat --overlap 1h",
    ),
)
@name_argument
@click.option(
    "--overlap",
    "overlap_s",
    type=OverlapType(),
    default="24h",
    metavar="DURATION",
    help="How long the old secret signs as well; 0: not at all. Default: 24h.",
)
@yes_option
@with_app
def rotate_secret(app: App, name: str, overlap_s: int, is_sure: bool) -> None:
    """Create a new secret, and print it. It is not shown again.

    During the overlap each request has two signatures, so the receiver can change its secret at any time. At most two
    secrets sign: another rotation within the overlap ends the older one.
    """
    found = find_subscription(app.client, name)
    older_until = time_of(found.get("previous_secret_until"))
    if not overlap_s:
        confirm(
            f"Let the secret of {name!r} end at once? The receiver refuses all until it has the new one.",
            is_sure=is_sure,
        )
    elif older_until is not None and older_until > datetime.now(UTC) + timedelta(seconds=overlap_s * _NEARLY_OVER):
        confirm(
            f"An older secret of {name!r} signs until {found['previous_secret_until'][:19]}Z, and would end at once. A"
            " receiver that has not taken the present one yet refuses all until it has the new one. Go on?",
            is_sure=is_sure,
        )
    made = dict(app.client.create(path_of_subscription(found, "rotate-secret"), {"overlap_seconds": overlap_s}))
    show(app.output, made, lambda: [made["secret"]])
    hint(f"The secret before signs until {made['previous_secret_until'][:19]}Z as well.")


@click.command(epilog=examples("pulp-admin subscriptions delete chat", "pulp-admin subscriptions delete chat --yes"))
@name_argument
@yes_option
@with_app
def delete(app: App, name: str, is_sure: bool) -> None:
    """Delete a subscription, its secrets and its place."""
    found = find_subscription(app.client, name)
    confirm(f"Delete the subscription {name!r}?", is_sure=is_sure)
    app.client.delete(path_of_subscription(found))
    show(app.output, {"name": name, "deleted": True}, lambda: [f"Subscription [{name}] successfully deleted"])


def _act(app: App, name: str, action: str, word: str) -> None:
    found = app.client.create(path_of_subscription(find_subscription(app.client, name), action), {})
    show(app.output, found, lambda: [f"Subscription [{name}] successfully {word}"])
