"""`pulp-tasks topics acls`: print or grant the Kafka rights that each process needs."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_deploy.acls import Acl, Role, command_of, wanted
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from pulp_events.topics import Topics

F = TypeVar("F", bound=Callable[..., Any])


class KafkaPrincipal(click.ParamType):
    """KIND:NAME, as Kafka's ACLs have it."""

    name = "principal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, name = str(value).partition(":")
        if not kind or not colon or not name or any(sign.isspace() for sign in kind):
            self.fail(f"{value!r} is not a principal such as User:pulp-api.", param, ctx)
        if name == "*":
            self.fail(f"{value} would let everybody in.", param, ctx)
        return str(value)


def _principal(role: Role, what: str) -> Callable[[F], F]:
    return click.option(
        f"--{role}",
        role.value,
        type=KafkaPrincipal(),
        multiple=True,
        metavar="PRINCIPAL",
        help=f"Who {what} (repeatable).",
    )


@click.command(
    "acls",
    epilog=examples(
        "pulp-tasks topics acls",
        "pulp-tasks topics acls --worker User:CN=worker --commands",
        "pulp-tasks topics acls --api User:tasks --worker User:tasks --apply",
    ),
)
@_principal(Role.API, "runs the API")
@_principal(Role.PROCESSOR, "runs processors and rebuilds")
@_principal(Role.WORKER, "runs workers")
@_principal(Role.TRANSPARENCY, "keeps and verifies the log")
@_principal(Role.READER, "follows the events")
@_principal(Role.OPERATOR, "creates and mends topics, and retries dead letters")
@click.option("--commands", is_flag=True, help="Print commands of Kafka's kafka-acls.sh.")
@click.option(
    "--apply", "is_applied", is_flag=True, help="Add what is missing. This needs a login that may change ACLs."
)
@click.option("--dry-run", is_flag=True, help="With --apply: show what would be added, and add nothing.")
@data_option
@output_option
def acls(
    commands: bool, is_applied: bool, dry_run: bool, data: Path | None, output: str, **principals: tuple[str, ...]
) -> None:
    """Print or grant the rights that each process needs in Kafka.

    Without a principal, it lists the rights of all roles, for User:pulp-api and so on. --apply leaves existing rules as
    they are. It reports rules that admit others, but never removes them.
    """
    if dry_run and not is_applied:
        raise click.UsageError("--dry-run goes with --apply.")
    if is_applied and commands:
        raise click.UsageError("--commands and --apply exclude each other.")
    given = {Role(role): names for role, names in principals.items() if names}
    if is_applied:
        if not given:
            raise click.UsageError("--apply needs principals, such as --api User:pulp-api.")
        _apply(given, data, output, dry_run=dry_run)
        return
    rules = wanted(_topics(data), given or {role: (f"User:pulp-{role}",) for role in Role})
    if commands and output == "table":
        show(output, None, lambda: map(command_of, rules))
        return
    show(output, [_value(rule) for rule in rules], lambda: _table(rules))


def _apply(given: Mapping[Role, tuple[str, ...]], data: Path | None, output: str, *, dry_run: bool) -> None:
    from pulp_events import admin

    from pulp_deploy import acl_admin

    target = Target.find(data)
    rules = wanted(target.topics, given)
    connection = admin.connect(target.need_kafka())
    there = acl_admin.present(connection, dict.fromkeys((rule.resource, rule.name) for rule in rules))
    missing = [rule for rule in rules if rule not in there]
    extra = [rule for rule in there if rule not in rules]
    if not dry_run:
        acl_admin.add(connection, missing)
    word = "missing" if dry_run else "added"
    states = {rule: word if rule in missing else "exists" for rule in rules} | dict.fromkeys(extra, "extra")
    show(
        output,
        [{**_value(rule), "state": state} for rule, state in states.items()],
        lambda: table([[*_row(rule), state] for rule, state in states.items()], (*_HEAD, "STATE")),
    )
    if extra:
        hint(
            "The rules that are extra let others do things with these topics: remove with kafka-acls.sh what is wrong."
        )


def _topics(data: Path | None) -> "Topics":
    """Return the topics of the named stack, else of the environment: a list needs no running stack."""
    from pulp_events.settings import topic_prefix
    from pulp_events.topics import Topics

    return Topics.named(topic_prefix(os.environ)) if data is None else Target.find(data).topics


_HEAD = ("PRINCIPAL", "RESOURCE", "NAME", "OPERATION")


def _row(rule: Acl) -> list[str]:
    name = rule.name if rule.pattern == "literal" else f"{rule.name} ({rule.pattern})"
    return [rule.principal, rule.resource, name, rule.operation]


def _table(rules: Iterable[Acl]) -> list[str]:
    return table([_row(rule) for rule in rules], _HEAD)


def _value(rule: Acl) -> dict[str, str]:
    return dict(rule._asdict())
