"""The options of Pulp 2's `rpm repo create` and `update`, and what replaces those that are not supported."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from pulp_console.groups import Choice

from pulp_admin.repo_options import given, pairs_of, text_options

F = TypeVar("F", bound=Callable[..., Any])
_CREDENTIAL: Final = (
    "secrets are not part of a repository: let the administrator of the workers name a credential, and give its name"
    " by pulp-admin repo update --credential NAME"
)
_SERVED: Final = "a publication is a folder that a web server serves: set that up there"
_METADATA: Final = "it is written as every client of today reads it: leave the option out"
_REFUSED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("--feed-ca-cert", "--feed-cert", "--feed-key", "--basicauth-user", "--basicauth-pass"),
            *("--proxy-host", "--proxy-port", "--proxy-user", "--proxy-pass"),
        ),
        _CREDENTIAL,
    ),
    **dict.fromkeys(("--serve-http", "--serve-https", "--host-ca", "--auth-ca", "--auth-cert", "--gpg-key"), _SERVED),
    **dict.fromkeys(("--checksum-type", "--updateinfo-checksum-type", "--generate-sqlite", "--repoview"), _METADATA),
    "--max-speed": "the workers' administrator bounds what is fetched: leave it out",
    "--skip": "a sync fetches all of a repository: leave it out",
    "--retain-old-count": "give --remove-missing, or pulp-admin repo update --retention N for whole versions",
    "--validate": "every package is checked against its checksum in any case: leave it out",
    "--allowed-keys": "packages are taken as the feed has them: leave it out",
    "--require-signature": "packages are taken as the feed has them: leave it out",
}
"""Option → what to do instead."""


def rpm_options(command: F) -> F:
    """Add the options; `said` takes their values. An unsupported one ends the command with advice."""
    for option in (
        *(_refused(name, told) for name, told in _REFUSED.items()),
        click.option("--relative-url", metavar="PATH", help="Where it is published; must be its id."),
        click.option(
            "--download-policy", type=Choice(("immediate",)), help="When packages are fetched: always during the sync."
        ),
        click.option("--remove-missing", type=bool, help="Remove what the feed no longer has: true or false."),
        click.option("--max-downloads", type=click.IntRange(min=1), metavar="N", help="Downloads at once."),
        click.option("--verify-feed-ssl", type=bool, help="Check the certificate of the feed: true or false."),
        click.option("--feed", metavar="URL", help="Where it is fetched from."),
    ):
        command = option(command)
    return text_options(command)


def said(repo_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options as a request body. Raises a usage error."""
    where = options["relative_url"]
    if where is not None and where.strip("/") != repo_id:
        raise click.UsageError(
            f"--relative-url {where}: a repository is published under its id, {repo_id}. Leave the option out, or"
            " choose the id as the path is to be."
        )
    sync = given(concurrency=options["max_downloads"])
    if options["verify_feed_ssl"] is not None:
        sync["verify_tls"] = options["verify_feed_ssl"]
    if options["remove_missing"] is not None:
        sync["mode"] = "mirror" if options["remove_missing"] else "additive"
    body = {name: options[name] for name in ("display_name", "description", "feed") if options[name] is not None}
    parts = {"notes": pairs_of("--note", options["notes"]), "sync_options": sync}
    return body | {name: part for name, part in parts.items() if part}


def _refused(name: str, told: str) -> Callable[[F], F]:
    def refuse(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"{name} has no meaning here: {told}.")

    return click.option(name, hidden=True, expose_value=False, callback=refuse)
