"""Audit records (who signed in, was refused, or changed what): types and codec.

A record is a CloudEvent 1.0 in JSON, structured mode, in the topic `Topics.audit`. Its JSON Schema is installed beside
those of the events. It never contains a password or a token.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pulp_events.errors import UndecodableRecord
from pulp_events.ids import new_id

AUDIT_TYPE: Final = "org.pulpproject.audit.v1"
"""The name of the schema. The wire type of a record is `org.pulpproject.audit.WHAT.v1`."""
MAX_NAME: Final = 255
MAX_DETAIL: Final = 500
"""The longest text in a record, in characters; longer texts are cut."""
_PREFIX, _SUFFIX = "org.pulpproject.audit.", ".v1"


class What(StrEnum):
    """What happened."""

    LOGIN_SUCCEEDED = "login-succeeded"
    LOGIN_FAILED = "login-failed"
    LOGIN_LIMITED = "login-limited"
    FORBIDDEN = "forbidden"
    QUOTA_REFUSED = "quota-refused"
    CONNECTION_REFUSED = "connection-refused"
    STREAM_ENDED = "stream-ended"
    USER_ADDED = "user-added"
    USER_REMOVED = "user-removed"
    PASSWORD_CHANGED = "password-changed"
    ROLE_CHANGED = "role-changed"
    ADMIN_CREATED = "admin-created"
    REPOSITORY_CREATED = "repository-created"
    REPOSITORY_UPDATED = "repository-updated"
    REPOSITORY_REMOVED = "repository-removed"
    TOKEN_CREATED = "token-created"
    TOKEN_REVOKED = "token-revoked"
    TOKEN_REFUSED = "token-refused"
    LOGGED_OUT = "logged-out"
    TASK_ROLE_ADDED = "task-role-added"
    TASK_ROLE_REMOVED = "task-role-removed"
    SCHEDULE_ROLE_ADDED = "schedule-role-added"
    SCHEDULE_ROLE_REMOVED = "schedule-role-removed"
    TASK_HEALED = "task-healed"
    HISTORY_DETACHED = "history-detached"
    HISTORY_ATTACHED = "history-attached"
    SUBJECT_ERASED = "subject-erased"
    DEAD_LETTER_RETRIED = "dead-letter-retried"


class AuditOutcome(StrEnum):
    """The result of an attempt: it succeeded, it was wrong (such as a password), or it was not allowed."""

    SUCCESS = "success"
    FAILURE = "failure"
    REFUSED = "refused"


OUTCOMES: Final[Mapping[What, AuditOutcome]] = {
    What.LOGIN_SUCCEEDED: AuditOutcome.SUCCESS,
    What.LOGIN_FAILED: AuditOutcome.FAILURE,
    What.LOGIN_LIMITED: AuditOutcome.REFUSED,
    What.FORBIDDEN: AuditOutcome.REFUSED,
    What.QUOTA_REFUSED: AuditOutcome.REFUSED,
    What.CONNECTION_REFUSED: AuditOutcome.REFUSED,
    What.STREAM_ENDED: AuditOutcome.REFUSED,
    What.USER_ADDED: AuditOutcome.SUCCESS,
    What.USER_REMOVED: AuditOutcome.SUCCESS,
    What.PASSWORD_CHANGED: AuditOutcome.SUCCESS,
    What.ROLE_CHANGED: AuditOutcome.SUCCESS,
    What.ADMIN_CREATED: AuditOutcome.SUCCESS,
    What.REPOSITORY_CREATED: AuditOutcome.SUCCESS,
    What.REPOSITORY_UPDATED: AuditOutcome.SUCCESS,
    What.REPOSITORY_REMOVED: AuditOutcome.SUCCESS,
    What.TOKEN_CREATED: AuditOutcome.SUCCESS,
    What.TOKEN_REVOKED: AuditOutcome.SUCCESS,
    What.TOKEN_REFUSED: AuditOutcome.REFUSED,
    What.LOGGED_OUT: AuditOutcome.SUCCESS,
    What.TASK_ROLE_ADDED: AuditOutcome.SUCCESS,
    What.TASK_ROLE_REMOVED: AuditOutcome.SUCCESS,
    What.SCHEDULE_ROLE_ADDED: AuditOutcome.SUCCESS,
    What.SCHEDULE_ROLE_REMOVED: AuditOutcome.SUCCESS,
    What.TASK_HEALED: AuditOutcome.SUCCESS,
    What.HISTORY_DETACHED: AuditOutcome.SUCCESS,
    What.HISTORY_ATTACHED: AuditOutcome.SUCCESS,
    What.SUBJECT_ERASED: AuditOutcome.SUCCESS,
    What.DEAD_LETTER_RETRIED: AuditOutcome.SUCCESS,
}

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class AuditRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One fact for an auditor. `time` is from the author's clock; the Kafka record has the broker's time."""

    what: str
    """A value of `What`, or one of a later release."""
    outcome: str
    actor: str
    """Who: `user:NAME` for the API, `os:ACCOUNT` for a command."""
    is_claimed: bool = False
    """Whether `actor` is only claimed, and not proved by a password."""
    address: str | None = None
    """The client's address, or the host on which a command ran."""
    method: str | None = None
    """How the actor was authenticated, or tried to be, for a request to the API: `basic`, `token`, and so on."""
    target: str | None = None
    """What was changed: a user, a repository, a token, the roles of a task, or the key of a subject."""
    detail: str = ""
    count: int = 1
    """How many equal facts, from `since` to `time`, the record stands for."""
    since: datetime | None = None
    time: datetime
    id: UUID
    correlation_id: str | None = None


class Audited(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The `data` of an audit record."""

    outcome: Annotated[str, Meta(description=" | ".join(AuditOutcome))]
    claimed: Annotated[bool, Meta(description="The actor is what somebody claimed: no password proved it.")] = False
    address: Annotated[str, Meta(description="The client's address, or the host of a command.")] | None = None
    method: (
        Annotated[
            str,
            Meta(
                description="How the actor was authenticated, or tried to be: basic, token, session, oidc, remote-user."
            ),
        ]
        | None
    ) = None
    target: (
        Annotated[str, Meta(description="What was changed: a user, a repository, a token, the roles of a task.")] | None
    ) = None
    detail: str = ""
    count: Annotated[int, Meta(ge=1, description="How many alike, from `since` on, the record stands for.")] = 1
    since: Annotated[datetime, Meta(tz=True)] | None = None


class AuditEnvelope(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The CloudEvents attributes of an audit record; unknown ones are allowed."""

    type: Annotated[str, Meta(pattern=r"^org\.pulpproject\.audit\.[a-z0-9-]+\.v1$")]
    specversion: Literal["1.0"]
    id: UUID
    source: Annotated[str, Meta(min_length=1)]
    time: Annotated[datetime, Meta(tz=True)]
    actor: _Name
    data: Audited
    datacontenttype: Literal["application/json"] | UnsetType = UNSET
    correlationid: str | UnsetType = UNSET


_decode = msgspec.json.Decoder(AuditEnvelope).decode
_encode = msgspec.json.Encoder().encode


def audit_record(what: What, *, actor: str, now: datetime | None = None, **more: Any) -> AuditRecord:
    """A record of something that happens now; `more` are fields of `AuditRecord`. Long texts are truncated."""
    return AuditRecord(
        what=what,
        outcome=OUTCOMES[what],
        actor=_cut(actor, MAX_NAME) or "user:",
        time=now or datetime.now(UTC),
        id=new_id(),
        detail=_cut(more.pop("detail", ""), MAX_DETAIL),
        **more,
    )


def encode_audit(record: AuditRecord) -> bytes:
    """The value of the Kafka record; characters that UTF-8 cannot encode are replaced."""
    envelope = AuditEnvelope(
        type=f"{_PREFIX}{record.what}{_SUFFIX}",
        specversion="1.0",
        id=record.id,
        source="/pulp/tasks",
        time=record.time,
        actor=_encodable(record.actor),
        data=Audited(
            outcome=record.outcome,
            claimed=record.is_claimed,
            address=record.address,
            method=record.method,
            target=None if record.target is None else _encodable(record.target),
            detail=_encodable(record.detail),
            count=record.count,
            since=record.since,
        ),
        datacontenttype="application/json",
        correlationid=UNSET if record.correlation_id is None else record.correlation_id,
    )
    return _encode(envelope)


def decode_audit(value: bytes | None) -> AuditRecord:
    """The audit record in these bytes. Raises `UndecodableRecord` with the reason."""
    try:
        envelope = _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UndecodableRecord(f"no audit record: {' '.join(str(error).split())[:300]}") from error
    data = envelope.data
    return AuditRecord(
        what=envelope.type.removeprefix(_PREFIX).removesuffix(_SUFFIX),
        outcome=data.outcome,
        actor=envelope.actor,
        is_claimed=data.claimed,
        address=data.address,
        method=data.method,
        target=data.target,
        detail=data.detail,
        count=data.count,
        since=data.since,
        time=envelope.time,
        id=envelope.id,
        correlation_id=envelope.correlationid or None,
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _encodable(text: str) -> str:
    """The text without lone surrogates, which command lines may contain."""
    return text.encode(errors="replace").decode()
