"""Audit records: bytes, their schema, and how repeats are counted."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pulp_api.auditing.audit import Audit
from pulp_api.auditing.repeats import Repeats
from pulp_deploy.commands.audit import KINDS
from pulp_events.audit import (
    AUDIT_TYPE,
    OUTCOMES,
    AuditOutcome,
    AuditRecord,
    What,
    audit_record,
    decode_audit,
    encode_audit,
)
from pulp_events.errors import UndecodableRecord
from pulp_events.schemas import text

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SCHEMA = Draft202012Validator(json.loads(text(AUDIT_TYPE)), format_checker=Draft202012Validator.FORMAT_CHECKER)
FULL: dict[str, Any] = {
    "is_claimed": True,
    "address": "2001:db8::1",
    "target": "jo",
    "detail": "why",
    "count": 7,
    "since": NOW - timedelta(minutes=1),
    "correlation_id": "c",
}


class Clock:
    """Stands still until the test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("what", What)
@pytest.mark.parametrize("more", [{}, FULL])
def test_a_record_comes_back_as_it_was_and_fits_the_schema(what: What, more: dict[str, Any]) -> None:
    record = audit_record(what, actor="user:jo", now=NOW, **more)
    value = encode_audit(record)
    assert decode_audit(value) == record
    SCHEMA.validate(json.loads(value))
    assert json.loads(value)["type"] == f"org.pulpproject.audit.{what}.v1"


def test_a_record_of_a_later_release_is_read() -> None:
    value = json.loads(encode_audit(audit_record(What.FORBIDDEN, actor="user:jo", now=NOW)))
    value["type"], value["more"], value["data"]["outcome"] = "org.pulpproject.audit.token-made.v1", 1, "pending"
    record = decode_audit(json.dumps(value).encode())
    assert (record.what, record.outcome, record.actor) == ("token-made", "pending", "user:jo")


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"{}", b"[" * 5000, b'{"type": "org.x.v1"}'])
def test_other_bytes_are_no_record(value: bytes | None) -> None:
    with pytest.raises(UndecodableRecord, match="no audit record"):
        decode_audit(value)


def test_what_is_too_long_or_no_utf8_is_cut_and_replaced() -> None:
    record = audit_record(What.LOGIN_FAILED, actor="user:" + "x\udcff" * 5000, detail="y" * 10_000)
    found = decode_audit(encode_audit(record))
    assert (len(found.actor), len(found.detail)) == (255, 500)
    assert "\udcff" not in found.actor


def test_each_kind_has_an_outcome_and_is_one_that_the_command_offers() -> None:
    assert set(OUTCOMES) == set(What)
    assert set(OUTCOMES.values()) == set(AuditOutcome)
    assert tuple(What) == KINDS


def audit_of(clock: Clock, most: int = 100) -> tuple[Audit, list[AuditRecord]]:
    written: list[AuditRecord] = []
    return Audit(written.append, repeats=Repeats(every_s=60, most=most), clock_s=clock), written


def fail(audit: Audit, name: str, address: str = "10.0.0.1") -> None:
    audit.note(What.LOGIN_FAILED, actor=f"user:{name}", address=address, is_claimed=True)


def test_the_first_is_written_at_once_and_the_others_once_an_interval_with_their_number() -> None:
    clock = Clock()
    audit, written = audit_of(clock)
    for _ in range(1000):
        fail(audit, "admin")
    assert [each.count for each in written] == [1]
    audit.write_due()
    assert len(written) == 1
    clock.now += 61
    audit.write_due()
    assert [each.count for each in written] == [1, 999]
    assert written[1].since is not None
    assert written[1].since <= written[1].time
    clock.now += 61
    audit.write_due()
    fail(audit, "admin")  # after a quiet interval the next one is written immediately again
    assert [each.count for each in written] == [1, 999, 1]


def test_others_are_told_apart() -> None:
    audit, written = audit_of(Clock())
    fail(audit, "admin")
    fail(audit, "jo")
    fail(audit, "admin", "10.0.0.2")
    audit.note(What.FORBIDDEN, actor="user:admin", address="10.0.0.1")
    assert len(written) == 4


def test_an_attacker_with_ever_new_names_and_addresses_fills_neither_memory_nor_topic() -> None:
    clock = Clock()
    audit, written = audit_of(clock, most=100)
    for number in range(5000):
        fail(audit, f"name-{number}")
    for number in range(5000):
        fail(audit, f"name-{number}", f"10.1.{number // 256}.{number % 256}")
    assert len(written) <= 300
    audit.note(What.FORBIDDEN, actor="user:jo", address="10.0.0.9")
    assert written[-1].actor == "user:jo"  # one kind does not hide another
    audit.write_rest()
    assert sum(each.count for each in written) == 10_001  # every one is counted
    assert len(written) <= 600
    assert {each.actor for each in written if each.address is None} == {"user:*"}


def test_memory_is_given_back_after_a_quiet_interval() -> None:
    clock = Clock()
    audit, written = audit_of(clock, most=10)
    for number in range(10):
        fail(audit, f"first-{number}")
    clock.now += 61
    audit.write_due()
    for number in range(10):
        fail(audit, f"second-{number}")
    assert {each.actor for each in written[10:]} == {f"user:second-{number}" for number in range(10)}
