"""`pulp-admin tokens`: bearer tokens, which stand for a user in scripts and programs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.exits import DATA
from pulp_console.groups import Choice, Group, examples
from pulp_console.output import hint, show, table
from pulp_console.times import DURATION

from pulp_admin.app import App, with_app
from pulp_admin.client import Client
from pulp_admin.errors import Failure
from pulp_admin.paths import ApiPath, api_path

ROLES: Final = ("viewer", "operator", "submitter", "auditor", "admin")
_HEAD: Final = ("NAME", "USER", "ROLE", "CREATED", "EXPIRES", "LAST USED", "ID", "STATE")


@click.group(cls=Group, epilog=examples("pulp-admin tokens create --name ci --role submitter --expires 90d"))
def tokens() -> None:
    """Create, list and revoke bearer tokens.

    A token stands for its user in scripts and programs. It has a role of its own, expires, and can be revoked without
    changing the password. The server stores only its hash.
    """


@tokens.command(
    epilog=examples(
        "pulp-admin tokens create --name ci --role submitter --expires 90d",
        "pulp-admin tokens create --name laptop > token",
    )
)
@click.option("--name", required=True, metavar="NAME", help="What it is for; unique among the user's valid tokens.")
@click.option("--role", type=Choice(ROLES), help="The most that it may do. Default: the user's role.")
@click.option(
    "--expires",
    "lifetime_s",
    type=DURATION,
    default="30d",
    metavar="DURATION",
    help="How long it is valid. Default: 30d.",
)
@with_app
def create(app: App, name: str, role: str | None, lifetime_s: int) -> None:
    """Create a token, and print it. It is not shown again.

    If the user's role is lowered or removed, so are the token's rights. A token cannot create tokens.
    """
    body = {"name": name, "expires_in_seconds": lifetime_s, **({} if role is None else {"role": role})}
    made = dict(app.client.create(api_path("v3", "tokens"), body))
    show(app.output, made, lambda: [made["token"]])
    whose = f"Token {made['name']} of {made['user']}, with the role {made['role']}"
    hint(f"{whose}, until {_second(made['expires_at'])}. It is not shown again.")


@tokens.command("list", epilog=examples("pulp-admin tokens list", "pulp-admin tokens list --all --output json"))
@click.option("--user", metavar="NAME", help="Tokens of this user, for administrators. Default: your own.")
@click.option("--all", "is_all", is_flag=True, help="Tokens of all users, for administrators.")
@with_app
def list_(app: App, user: str | None, is_all: bool) -> None:
    """List tokens and when they expire.

    LAST USED is accurate to a minute.
    """
    found = list(_found(app.client, user, is_all=is_all))
    show(app.output, found, lambda: table([_row(each) for each in found], _HEAD, width=None))
    if not found:
        hint("There is no token. To make one: pulp-admin tokens create --name NAME")


@tokens.command(epilog=examples("pulp-admin tokens revoke --name ci"))
@click.option("--name", metavar="NAME", help="The token's name.")
@click.option("--id", "token_id", metavar="ID", help="The token's id, as `tokens list` shows it.")
@click.option("--user", metavar="NAME", help="Whose token to revoke, for administrators. Default: your own.")
@yes_option
@with_app
def revoke(app: App, name: str | None, token_id: str | None, user: str | None, is_sure: bool) -> None:
    """Revoke a token, after asking.

    After five seconds no server accepts it any more.
    """
    if (name is None) == (token_id is None):
        raise click.UsageError("Give --name or --id.")
    path = _path(app.client, str(name), user) if token_id is None else api_path("v3", "tokens", token_id)
    confirm(f"Revoke the token {name or token_id}? Whoever uses it has to get another one.", is_sure=is_sure)
    revoked = app.client.delete(path)
    show(app.output, revoked, lambda: [f"revoked {revoked['name']} of {revoked['user']}"])


def _found(client: Client, user: str | None, *, is_all: bool = False) -> Sequence[dict[str, Any]]:
    params = {"all": "true"} if is_all else {} if user is None else {"user": user}
    return list(client.pages(api_path("v3", "tokens"), params))


def _path(client: Client, name: str, user: str | None) -> ApiPath:
    for each in _found(client, user):
        if each["name"] == name and each["revoked_at"] is None:
            return api_path("v3", "tokens", each["id"])
    raise Failure(
        f"There is no token {name} that could be revoked. To see those there are: pulp-admin tokens list", DATA
    )


def _row(token: Mapping[str, Any]) -> list[str]:
    state = (
        "valid"
        if token["valid"]
        else "expired"
        if token["revoked_at"] is None
        else f"revoked by {token['revoked_by'] or '-'}"
    )
    times = [_second(token[key]) for key in ("pulp_created", "expires_at", "last_used_at")]
    return [token["name"], token["user"], token["role"], *times, token["id"], state]


def _second(text: str | None) -> str:
    return "-" if text is None else f"{text[:19]}Z"
