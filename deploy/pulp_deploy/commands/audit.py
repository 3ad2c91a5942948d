"""`pulp-tasks audit`: who signed in, who was refused, who changed a user or a repository."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import click
from pulp_console.escaping import one_line
from pulp_console.groups import Choice, Group, examples
from pulp_console.output import check_reader, hint, show, show_next, table
from pulp_console.times import FORMS, TIME, time_text

from pulp_deploy.commands.evidence import COMMANDS as EVIDENCE
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from pulp_events.audit_reader import AuditEntry

F = TypeVar("F", bound=Callable[..., Any])
KINDS: Final = (
    "login-succeeded",
    "login-failed",
    "login-limited",
    "forbidden",
    "quota-refused",
    "connection-refused",
    "stream-ended",
    "user-added",
    "user-removed",
    "password-changed",
    "role-changed",
    "admin-created",
    "repository-created",
    "repository-updated",
    "repository-removed",
    "token-created",
    "token-revoked",
    "token-refused",
    "logged-out",
    "task-role-added",
    "task-role-removed",
    "schedule-role-added",
    "schedule-role-removed",
    "task-healed",
    "history-detached",
    "history-attached",
    "subject-erased",
    "dead-letter-retried",
)
"""The values of `pulp_events.audit.What`, which is slow to load."""
HEAD: Final = ("TIME", "WHAT", "ACTOR", "ADDRESS", "COUNT", "DETAIL")


def _filters(command: F) -> F:
    """Adds the options that choose records."""
    for option in (
        click.option("--since", type=TIME, help=f"Only records written at this time or later: {FORMS}."),
        click.option("--address", help="Only from this address, or from this host."),
        click.option(
            "--kind",
            "kinds",
            type=Choice(KINDS),
            multiple=True,
            metavar="KIND",
            help="Only this kind, such as login-failed; may be repeated.",
        ),
        click.option("--actor", help="Only by this user: a name, or user:NAME, or os:ACCOUNT."),
    ):
        command = option(command)
    return command


@click.group(cls=Group, epilog=examples("pulp-tasks audit list --since 24h"))
def audit() -> None:
    """See who did what, and check that nothing was altered.

    `list` and `tail` show who signed in, who was refused, and who changed a user, a repository, a token, or a role on a
    task or a schedule. The topic PREFIX.audit keeps these records for ever. Repeated ones are written once a minute,
    with a count.

    The other commands are about the log of events: `verify` shows whether a record was altered, removed or added, and
    `prove` writes proofs for others.
    """


for each in EVIDENCE:
    audit.add_command(each)


@audit.command(
    "list",
    epilog=examples(
        "pulp-tasks audit list --since 24h --kind login-failed", "pulp-tasks audit list --actor jo --output json"
    ),
)
@_filters
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the last N of them. Default: all.")
@data_option
@output_option
def list_(
    since: datetime | None,
    address: str | None,
    kinds: tuple[str, ...],
    actor: str | None,
    limit: int | None,
    data: Path | None,
    output: str,
) -> None:
    """List what the audit holds, oldest first.

    An actor in brackets is an unproven claim: no password confirmed it. The kinds are login-succeeded, login-failed,
    login-limited, forbidden, quota-refused, connection-refused, stream-ended, user-added, user-removed,
    password-changed, role-changed, admin-created, repository-created, repository-updated, repository-removed,
    token-created, token-revoked, token-refused, logged-out, task-role-added, task-role-removed, schedule-role-added,
    schedule-role-removed, task-healed, history-detached, history-attached, subject-erased, and dead-letter-retried (for
    one that belongs to no task; for others there is an event).
    """
    from pulp_events.audit_reader import read_audit

    target = Target.find(data)
    entries = read_audit(target.need_kafka(), target.topics.audit, since=since)
    found = deque(_chosen(entries, actor=actor, kinds=kinds, address=address), maxlen=limit)
    show(output, list(found), lambda: table([_row(each) for each in found], HEAD, width=None))
    if not found:
        hint("There is nothing like that in the audit.")


@audit.command(epilog=examples("pulp-tasks audit tail --kind login-failed --output json"))
@_filters
@data_option
@output_option
def tail(
    since: datetime | None,
    address: str | None,
    kinds: tuple[str, ...],
    actor: str | None,
    data: Path | None,
    output: str,
) -> None:
    """Print records as they come, until Ctrl-C.

    With --since it starts with the records from then on. With --output json each line is a JSON object (JSON Lines).
    """
    from datetime import UTC

    from pulp_events.audit_reader import read_audit

    target = Target.find(data)
    start = since or datetime.now(UTC)
    entries = read_audit(target.need_kafka(), target.topics.audit, since=start, follow=True)
    for each in _chosen(entries, actor=actor, kinds=kinds, address=address):
        show_next(output, each, "  ".join(_row(each)))


def _chosen(
    entries: "Iterable[AuditEntry | None]", *, actor: str | None, kinds: tuple[str, ...], address: str | None
) -> Iterable[dict[str, Any]]:
    erasures: set[UUID] = set()
    actors = None if actor is None else {actor} if ":" in actor else {f"user:{actor}", f"os:{actor}"}
    for entry in entries:
        if entry is None:
            check_reader()
            continue
        if entry.record is not None and entry.record.what == "subject-erased":
            if entry.record.id in erasures:
                continue  # repeated by a process that cannot know of the first record
            erasures.add(entry.record.id)
        value = _value(entry)
        is_by = actors is None or value["actor"] in actors
        if is_by and (not kinds or value["what"] in kinds) and address in (None, value["address"]):
            yield value


def _value(entry: "AuditEntry") -> dict[str, Any]:
    from pulp_events.broker_times import broker_time

    record = entry.record
    place = {"partition": entry.partition, "offset": entry.offset}
    written = time_text(broker_time(entry.timestamp_ms))
    if record is None:
        names = ("outcome", "actor", "is_claimed", "method", "address", "target")
        nothing = dict.fromkeys(names)
        rest = {"count": 1, "since": None, "id": None, "correlation_id": None}
        return {**place, "time": written, "what": None, **nothing, "detail": entry.error, **rest}
    return {
        **place,
        "time": written,
        "what": record.what,
        "outcome": record.outcome,
        "actor": record.actor,
        "is_claimed": record.is_claimed,
        "method": record.method,
        "address": record.address,
        "target": record.target,
        "detail": record.detail,
        "count": record.count,
        "since": None if record.since is None else time_text(record.since),
        "id": str(record.id),
        "correlation_id": record.correlation_id,
    }


def _row(value: dict[str, Any]) -> list[str]:
    actor = value["actor"] or "-"
    method = value["method"] and value["method"] != "basic" and f"by {value['method']}"
    detail = " ".join(text for text in (value["target"], value["detail"], method) if text)
    return [
        value["time"],
        value["what"] or "not a record",
        one_line(f"({actor})" if value["is_claimed"] else actor),
        one_line(value["address"] or "-"),
        str(value["count"]),
        one_line(detail),
    ]
