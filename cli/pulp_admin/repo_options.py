"""The options that describe a repository, for `repo create`, `repo update` and their Pulp 2 names."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.groups import Choice

from pulp_admin import completing
from pulp_admin.arguments import GivenText, typed
from pulp_admin.errors import NotFound
from pulp_admin.options import REPOSITORY_ID
from pulp_admin.paths import api_path

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])
repo_id_option: Final = click.option(
    "--repo-id",
    type=REPOSITORY_ID,
    required=True,
    metavar="ID",
    shell_complete=completing.repositories,
    help="The repository.",
)
new_repo_id_option: Final = click.option(
    "--repo-id", type=REPOSITORY_ID, required=True, metavar="ID", help="The repository."
)
"""The same for a repository that does not exist yet: the shell completes none."""
mode_option: Final = click.option(
    "--mirror/--additive",
    "is_mirror",
    default=None,
    help="Hold exactly what the feed has, or also keep what the feed has dropped.",
)
credential_option: Final = click.option(
    "--credential", metavar="NAME", help="The credential for the feed, by the name that the workers use for it."
)
metadata_option: Final = click.option(
    "--metadata",
    type=Choice(("regenerate", "mirror")),
    help="Generate the metadata of publications, or keep the feed's.",
)
compression_option: Final = click.option(
    "--compression", type=Choice(("gzip", "zstd")), help="Compression of the metadata of publications."
)


def text_options(command: F) -> F:
    """Add the options for display name, description and notes."""
    for option in (
        click.option(
            "--note", "notes", multiple=True, metavar="KEY=TEXT", help="A note; KEY= removes it. May be repeated."
        ),
        click.option("--description", metavar="TEXT", help="What it is for."),
        click.option("--display-name", metavar="TEXT", help="Its display name."),
    ):
        command = option(command)
    return command


def said_options(command: F) -> F:
    """Add all options that describe a repository; `said` takes their values."""
    for option in (
        click.option(
            "--publish-option",
            "publish_pairs",
            multiple=True,
            metavar="NAME=TEXT",
            help="Any other argument of publish; NAME= removes it. May be repeated.",
        ),
        click.option(
            "--sync-option",
            "sync_pairs",
            multiple=True,
            metavar="NAME=TEXT",
            help="Any other argument of sync; NAME= removes it. May be repeated.",
        ),
        compression_option,
        metadata_option,
        click.option("--retention", type=click.IntRange(min=1), metavar="N", help="Keep this many versions."),
        credential_option,
        mode_option,
        click.option("--feed", metavar="URL", help="Where it is synced from; '' removes it."),
    ):
        command = option(command)
    return text_options(command)


def said(client: "Client", options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options as a request body."""
    body = {name: options[name] for name in ("display_name", "description", "feed") if options[name] is not None}
    notes = pairs_of("--note", options["notes"])
    sync = _options(
        client,
        "sync",
        pairs_of("--sync-option", options["sync_pairs"]),
        mode=mode_of(options["is_mirror"]),
        credential=options["credential"],
        retention=options["retention"],
        metadata=options["metadata"],
    )
    publish = _options(
        client,
        "publish",
        pairs_of("--publish-option", options["publish_pairs"]),
        compression=options["compression"],
        metadata=options["metadata"],
    )
    parts = {"notes": notes, "sync_options": sync, "publish_options": publish}
    return body | {name: part for name, part in parts.items() if part}


def mode_of(is_mirror: bool | None) -> str | None:
    """The mode of a sync; None where the user chose none."""
    return None if is_mirror is None else "mirror" if is_mirror else "additive"


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value not in (None, False)}


def pairs_of(option: str, pairs: Sequence[str]) -> dict[str, str | None]:
    """NAME=TEXT by name; None for an empty text, which removes. Raises a usage error."""
    found: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            shown = "..." if "://" in pair else pair  # a URL may hold a password
            raise click.UsageError(f"{option} {shown}: NAME=TEXT is expected")
        found[name] = text or None
    return found


def _options(client: "Client", operation: str, pairs: Mapping[str, str | None], **known: Any) -> dict[str, Any]:
    found = given(**known)
    texts: dict[str, Any] = {name: GivenText(text) for name, text in pairs.items() if text is not None}
    if texts:
        texts = typed(texts, _declared(client, operation))
    return {**found, **texts, **{name: None for name, text in pairs.items() if text is None}}


def _declared(client: "Client", operation: str) -> dict[str, Any]:
    try:
        return dict(client.get(api_path("v3", "operations", operation)))
    except NotFound:
        return {}  # the server reports that no worker offers it
