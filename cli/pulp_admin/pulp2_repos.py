"""Lists of repositories as Pulp 2 prints them: a document for each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from pulp_admin import render
from pulp_admin.repositories import COUNTS, page

F = TypeVar("F", bound=Callable[..., Any])


class PageOptions(NamedTuple):
    """The choices of `--details`, `--summary` and `--fields` for a list."""

    details: bool
    summary: bool
    fields: str | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "PageOptions":
        """Take the values of `page_options`. Raises a usage error for options that exclude each other."""
        found = cls(**options)
        if found.details and found.summary:
            raise click.UsageError("The summary and details views cannot be used together.")
        return found

    @property
    def are_given(self) -> bool:
        """Whether any of them was given."""
        return self.details or self.summary or self.fields is not None


def page_options(command: F) -> F:
    """Add the options; `PageOptions.of` takes their values."""
    for option in (
        click.option("--fields", metavar="NAMES", help="Only the id and these fields, separated by commas."),
        click.option("--summary", is_flag=True, help="Only the ids and the display names."),
        click.option("--details", is_flag=True, help="Also how each is synced, and its last tasks."),
    ):
        command = option(command)
    return command


def documents(repositories: Sequence[Mapping[str, Any]], options: PageOptions) -> Iterator[str]:
    """The lines of the page. Raises a usage error for an unknown field."""
    shown = _all_of if options.details else _least_of if options.summary else _usual_of
    wanted = None if options.fields is None else {"id", *(name.strip() for name in options.fields.split(","))}
    for repository in repositories:
        found = shown(repository) if wanted is None else _chosen(_all_of(repository), wanted)
        yield from render.document(found)
        yield ""


def _chosen(found: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    if unknown := sorted(wanted - found.keys()):
        raise click.UsageError(f"--fields {unknown[0]}: there is no such field; known are: {', '.join(found)}")
    return {name: value for name, value in found.items() if name in wanted}


def _least_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": repository["name"], "display_name": repository["display_name"] or repository["name"]}


def _usual_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: repository["content"][name] for name in COUNTS if repository["content"].get(name)}
    return {
        **_least_of(repository),
        "description": repository["description"],
        "content_unit_counts": counts,
    }


def _all_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    return {**_usual_of(repository), **{name: value for name, value in page(repository).items() if name not in COUNTS}}
