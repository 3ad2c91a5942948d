"""`pulp-admin subscriptions list`, `show` and `deliveries`; and finding a subscription by its name."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem
from pulp_console.exits import DATA
from pulp_console.groups import Choice, examples, suggestion
from pulp_console.output import hint, show, table

from pulp_admin import completing, render
from pulp_admin.app import App, with_app
from pulp_admin.errors import Failure
from pulp_admin.history import without_version
from pulp_admin.paths import ApiPath, api_path, id_in

if TYPE_CHECKING:
    from pulp_admin.client import Client

ALL: Final = api_path("v3", "subscriptions")
OUTCOMES: Final = ("delivered", "retried", "parked", "given-up", "pending", "failed")
_HEAD: Final = ("SUBSCRIPTION", "STATE", "URL", "DELIVERED", "PARKED", "LAST")
_MOST_SHOWN: Final = 10
_FIELDS: Final = ("types", "tasks", "operations", "resources", "actors", "groups")


def subscription_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of subscriptions, for the shell."""
    return completing.named(context, ALL, incomplete)


name_argument: Final = click.argument("name", shell_complete=subscription_names)


def find_subscription(client: "Client", name: str) -> dict[str, Any]:
    """The subscription of this name. Raises `Failure`, which suggests a similar name."""
    if (found := client.named(ALL, name)) is not None:
        return found
    names = [str(row["name"]) for row in client.pages(ALL)]
    raise Failure(
        f"There is no subscription {name!r}.{suggestion(name, names)} All: pulp-admin subscriptions list", DATA
    )


def path_of_subscription(subscription: Mapping[str, Any], *more: str) -> ApiPath:
    """The path of the subscription on the server."""
    return api_path("v3", "subscriptions", id_in(subscription["pulp_href"]), *more)


@click.command("list", epilog=examples("pulp-admin subscriptions list", "pulp-admin subscriptions list --output json"))
@with_app
def list_(app: App) -> None:
    """List your subscriptions; administrators see all.

    Each with how many events it has delivered, and the outcome of the last one.
    """
    found = list(app.client.pages(ALL))
    rows = [
        [row["name"], row["state"], row["url"], str(row["delivered"] or 0), str(row["parked_tasks"] or "-"), _last(row)]
        for row in found
    ]
    show(app.output, found, lambda: table(rows, _HEAD, width=None))
    if not found:
        hint("There is no subscription yet. To make one: pulp-admin subscriptions create NAME URL")


@click.command("show", epilog=examples("pulp-admin subscriptions show chat"))
@name_argument
@with_app
def show_one(app: App, name: str) -> None:
    """Show a subscription.

    What it delivers, how far it has got, and what is parked. It never shows the secret.
    """
    found = app.client.get(path_of_subscription(find_subscription(app.client, name)))
    show(app.output, found, lambda: [*page_lines(found), *_parked_lines(found["parked"])])


@click.command(
    epilog=examples(
        "pulp-admin subscriptions deliveries chat",
        "pulp-admin subscriptions deliveries chat --outcome retried --output json",
    )
)
@name_argument
@click.option("--outcome", type=Choice(OUTCOMES), help="Only those with this outcome.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many, latest first.")
@with_app
def deliveries(app: App, name: str, outcome: str | None, limit: int) -> None:
    """Show the outcome of each event sent, latest first.

    The server keeps the last 10,000 of each subscription.
    """
    params = {"limit": limit, **({} if outcome is None else {"outcome": outcome})}
    path = path_of_subscription(find_subscription(app.client, name), "deliveries")
    found = app.client.get(path, params)["results"]
    rows = [
        [
            _second(row["last_at"]),
            without_version(str(row["event_type"])).removeprefix("org.pulpproject."),
            "-" if row["task"] is None else id_in(row["task"]),
            row["outcome"],
            str(row["attempts"]),
            str(row["status"] or "-"),
            "-" if row["took_ms"] is None else f"{row['took_ms']} ms",
            row["error"] or "-",
        ]
        for row in found
    ]
    head = ("TIME", "EVENT", "TASK", "OUTCOME", "ATTEMPTS", "STATUS", "TOOK", "ERROR")
    show(app.output, found, lambda: table(rows, head, width=None))
    if not found:
        hint("Nothing was sent yet. To send a test: pulp-admin subscriptions test NAME")


def page_lines(row: Mapping[str, Any]) -> list[str]:
    """The page of a subscription."""
    page = {
        "name": row["name"],
        "url": row["url"],
        "events": _filter_text(row["filter"]),
        "state": row["state"],
        "reason": row["reason"] or "-",
        "author": id_in(row["created_by"]),
        "cursor": row["cursor"] or "-",
        "delivered": row["delivered"] or 0,
        "failures_in_a_row": row["failures_in_a_row"] or 0,
        "next_attempt": _second(row["next_attempt"]),
        "parked_tasks": row["parked_tasks"] or 0,
        "last_success": _second(row["last_success"]),
        "last_failure": _second(row["last_failure"]),
        "last_error": row["last_error"] or "-",
    }
    return render.document(page, gap=2)


def _parked_lines(parked: list[dict[str, Any]]) -> list[str]:
    rows = [
        [_second(each["parked_at"]), id_in(each["task"]), each["position"], each["error"] or "-"] for each in parked
    ]
    return ["", *table(rows, ("PARKED", "TASK", "POSITION", "ERROR"), width=None)] if rows else []


def _filter_text(wanted: Mapping[str, Any]) -> str:
    found = [f"{field}: {', '.join(map(str, wanted[field]))}" for field in _FIELDS if wanted.get(field)]
    return "; ".join(found).replace("org.pulpproject.task.", "").replace(".v1", "") or "all"


def _last(row: Mapping[str, Any]) -> str:
    if row["failures_in_a_row"]:
        return f"{_second(row['last_failure'])} failed"
    return "-" if row["last_success"] is None else f"{_second(row['last_success'])} delivered"


def _second(text: str | None) -> str:
    return "-" if text is None else f"{text[:19]}Z"
