"""`pulp-admin subjects`: whose personal data tasks hold, and its erasure."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.escaping import one_line
from pulp_console.exits import DATA
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table

from pulp_admin.app import App, with_app
from pulp_admin.client import Client
from pulp_admin.errors import Failure
from pulp_admin.paths import api_path

_HEAD: Final = ("KEY", "CREATED", "TASKS", "UNFINISHED", "ERASED", "BY", "REASON")


@click.group(cls=Group, epilog=examples("pulp-admin subjects show --name jo", "pulp-admin subjects list --erased"))
def subjects() -> None:
    """See whose personal data tasks hold, and erase it.

    Arguments that an operation declares as personal are encrypted with a key of the person they are about, the subject.
    Erasing a subject destroys that key: then nobody can read these arguments any more, in the log or in any backup of
    it. The server does not keep the names of subjects, but finds the key by a name. For administrators.
    """


@subjects.command("list", epilog=examples("pulp-admin subjects list", "pulp-admin subjects list --erased"))
@click.option("--erased", "is_erased", is_flag=True, help="Only erased ones.")
@with_app
def list_(app: App, is_erased: bool) -> None:
    """List subjects, newest first, by the ids of their keys."""
    found = list(app.client.pages(api_path("v3", "subjects"), {"erased": "true"} if is_erased else {}))
    _show(app, found, "There is no subject." if not is_erased else "No subject was erased.")


@subjects.command("show", epilog=examples("pulp-admin subjects show --name jo"))
@click.option("--name", metavar="NAME", help="The person, as tasks name them, such as a user's name or an address.")
@click.option("--key", "key_id", metavar="ID", help="The id of a key, as `list`, the log and the audit show it.")
@with_app
def show_one(app: App, name: str | None, key_id: str | None) -> None:
    """Show what is known about a subject.

    It shows how many tasks hold the subject's data, and whether, when and by whom it was erased. A person who came back
    after an erasure has several keys.
    """
    _show(app, _found(app.client, name, key_id), "")


@subjects.command(epilog=examples('pulp-admin subjects erase --name jo --reason "request 4711"'))
@click.option("--name", metavar="NAME", help="The person, as tasks name them.")
@click.option("--key", "key_id", metavar="ID", help="The id of the key.")
@click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    help="The reason, without the person's name: the audit keeps it for ever.",
)
@yes_option
@with_app
def erase(app: App, name: str | None, key_id: str | None, reason: str, is_sure: bool) -> None:
    """Destroy the key of a subject, after asking. It cannot be undone.

    A task of the subject that has not begun fails with the code personal-data-erased; one that runs goes on. Erasing
    again changes nothing.
    """
    if name is not None and _folded(name) in _folded(reason):
        raise Failure("The reason names the person, and is kept for ever: give a reason without the name.", DATA)
    found = _found(app.client, name, key_id)
    living = [each for each in found if each["erased_at"] is None]
    if living:
        tasks, unfinished = (sum(each[key] for each in living) for key in ("tasks", "unfinished"))
        confirm(
            f"Erase the personal data in {tasks} tasks, of which {unfinished} have not ended? It cannot be undone.",
            is_sure=is_sure,
        )
    erased = [dict(_erase(app.client, each["key_id"], reason)) for each in living]
    _show(app, erased or found, "")
    if not living:
        hint("It was erased before; nothing has changed.")
    if any(not each["told"] for each in erased):
        hint("The erasure is not in the audit yet, since Kafka does not take it: the server goes on trying.")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _erase(client: Client, key_id: str, reason: str) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = client.post(api_path("v3", "subjects", key_id, "erase"), {"reason": reason}, {})
    return answer


def _found(client: Client, name: str | None, key_id: str | None) -> Sequence[dict[str, Any]]:
    if (name is None) == (key_id is None):
        raise click.UsageError("Give --name or --key.")
    if key_id is not None:
        return [dict(client.get(api_path("v3", "subjects", key_id)))]
    found: Sequence[dict[str, Any]] = client.post(api_path("v3", "subjects", "find"), {"subject": name}, {})["results"]
    if not found:
        raise Failure("There is no subject of this name: no task that was accepted had personal data about it.", DATA)
    return found


def _show(app: App, found: Sequence[Mapping[str, Any]], nothing: str) -> None:
    show(app.output, found, lambda: table([_row(each) for each in found], _HEAD, width=None))
    if not found:
        hint(nothing)


def _row(subject: Mapping[str, Any]) -> list[str]:
    counts = ["-" if subject[key] is None else str(subject[key]) for key in ("tasks", "unfinished")]
    return [
        subject["key_id"],
        _second(subject["pulp_created"]),
        *counts,
        _second(subject["erased_at"]),
        one_line(subject["erased_by"] or "-"),
        one_line(subject["reason"] or "-"),
    ]


def _second(text: str | None) -> str:
    return "-" if text is None else f"{text[:19]}Z"
