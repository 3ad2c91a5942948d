"""`pulp-admin login` and `logout`: a token of the server is kept instead of a password."""

import contextlib
import re
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import click
from pulp_console.exits import DATA, DENIED
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin import settings
from pulp_admin.app import App, with_app
from pulp_admin.errors import Conflict, Failure, NotFound
from pulp_admin.paths import api_path
from pulp_admin.sessions import Session

if TYPE_CHECKING:
    from pulp_admin.client import Client

_LIFETIME: Final = timedelta(days=7)
"""As long as a session of Pulp 2."""
_MOST_CHARACTERS: Final = 60
_TOKENS: Final = api_path("v3", "tokens")
_NAME: Final = "login on "
"""How the names of this command's tokens begin."""
_MADE: Final = re.compile(rf"{_NAME}.{{0,{_MOST_CHARACTERS}}} [0-9a-f]{{8}}")
"""A whole name: a token that a user has named `login on prod` does not match."""


@click.command(epilog=examples("pulp-admin login -u jo", "pulp-admin login -u jo --password-file ./password"))
@click.option("--username", "-u", metavar="NAME", help="Who logs in.")
@click.option("--password", "-p", metavar="TEXT", help="The password. Other users can see it in the process list.")
@click.option(
    "--password-file", metavar="FILE", help="A file with the password. Without either option, it prompts for one."
)
@with_app
def login(app: App, **given: str | None) -> None:
    """Log in, for seven days.

    The server creates a token, which is stored in ~/.pulp/sessions.json, readable by you alone; the password is not
    stored. The token applies to this server unless an option or a variable names a user. `logout` ends it.
    """
    if given["password"] and given["password_file"]:
        raise click.UsageError("Give --password or --password-file, not both.")
    app.flags = {**app.flags, **{name: value for name, value in given.items() if value}}
    username = app.username
    if username is None:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param=context.command.params[0])
    app.flags["username"] = username  # neither a session nor a token from the environment can create a token
    client = app.client
    earlier = client.sessions.recall(client.url)
    client.sessions.check()
    made = _token(client)
    session = Session(token=made["token"], token_id=made["id"], username=username, expires_at=made["expires_at"])
    client.sessions.keep(client.url, session)
    if earlier is not None and earlier.username == username:
        with contextlib.suppress(Failure):  # it may have expired
            client.delete(api_path("v3", "tokens", earlier.token_id))
    told = f"Successfully logged in. The session will expire at {_second(session.expires_at)}."
    show(app.output, {"username": username, "url": client.url, "expires_at": session.expires_at}, lambda: [told])


@click.command(epilog=examples("pulp-admin logout"))
@with_app
def logout(app: App) -> None:
    """End the session of `login`, on the server and here."""
    client = app.client
    session = client.sessions.recall(client.url)
    if session is None:
        show(app.output, {"removed": False, "url": client.url}, lambda: ["No session found, nothing to do."])
        return
    try:
        client.end(session)
    except Failure as failure:
        if failure.code != DENIED:  # otherwise it had already ended
            until = _second(session.expires_at)
            hint(f"The server could not end the session, which expires at {until}: {failure.message}")
    client.sessions.forget(client.url)
    show(app.output, {"removed": True, "url": client.url}, lambda: ["Session successfully removed."])


def _token(client: "Client") -> dict[str, Any]:
    """Let the server create a token. Raises `Failure`, also if the server does not create tokens."""
    name = f"{_NAME}{socket.gethostname()[:_MOST_CHARACTERS]} {uuid4().hex[:8]}"
    body = {"name": name, "expires_in_seconds": int(_LIFETIME.total_seconds())}
    try:
        return dict(client.create(_TOKENS, body))
    except Conflict as refusal:
        _end_oldest(client, refusal)
        return dict(client.create(_TOKENS, body))
    except NotFound:
        raise Failure(
            f"The server {client.url} makes no tokens, so there is nothing to keep. Put the password into a file of"
            f" mode 0600, and name it with {settings.PASSWORD_FILE.flag}.",
            DATA,
        ) from None


def _end_oldest(client: "Client", refusal: Conflict) -> None:
    """End the oldest session of `login`, as the user can have no further token. Raises the refusal if there is none.

    A script that logs in on a new machine each time has no session to end before.
    """
    sessions = [each for each in client.pages(_TOKENS) if each["valid"] and _MADE.fullmatch(each["name"])]
    if not sessions:
        raise refusal
    oldest = min(sessions, key=lambda each: str(each["pulp_created"]))
    client.delete(api_path("v3", "tokens", oldest["id"]))
    hint(f"Ended your oldest session, {oldest['name']!r} of {_second(oldest['pulp_created'])}: {refusal.message}")


def _second(time: str | None) -> str:
    return "-" if time is None else f"{time[:19]}Z"
