"""The run of a task with personal arguments: it begins once they are decrypted, and not at all if they are
unavailable."""

import asyncio
import json
from uuid import UUID

import psycopg
import pytest
from msgspec import Raw
from pulp_events.events import Outcome
from pulp_projections.personal.envelope import Opened, Sight
from pulp_projections.personal.master import MasterKeyMissing
from pulp_worker.claims import Claim
from pulp_worker.outcome import Ended
from pulp_worker.personal import PersonalRun, holds_personal_data

SEALED = b'{"email":{"pulp_personal":1,"key":"x","nonce":"","data":""}}'
CLAIM = Claim(UUID(int=1), 0, "invite", SEALED, None, 1, UUID(int=2), UUID(int=3), UUID(int=4), 0, {})


class Inner:
    """The run of the operation itself."""

    def __init__(self) -> None:
        self.began_with: Claim | None = None
        self.told: list[str] = []

    def begin(self, claim: Claim) -> "Inner":
        self.began_with = claim
        return self

    async def wait(self) -> Ended:
        return Ended(Outcome.SUCCESSFUL)

    def cancel(self) -> None:
        self.told.append("cancel")

    def kill(self) -> None:
        self.told.append("kill")

    def extend(self) -> None:
        self.told.append("extend")


def opened(**sights: Sight) -> Opened:
    return Opened(Raw(b'{"email":"jo@example.org"}'), sights)


async def test_the_operation_gets_the_values() -> None:
    inner = Inner()

    async def open_(claim: Claim) -> Opened:
        assert claim == CLAIM
        return opened(email=Sight.SHOWN)

    run = PersonalRun(CLAIM, open_, inner.begin)
    run.cancel()  # it was asked to stop before it could begin
    assert (await run.wait()).outcome == "successful"
    run.extend()
    run.kill()
    assert inner.began_with is not None
    assert json.loads(inner.began_with.arguments) == {"email": "jo@example.org"}
    assert inner.told == ["cancel", "extend", "kill"]


@pytest.mark.parametrize(
    ("sight", "code", "may_repeat"),
    [(Sight.ERASED, "personal-data-erased", False), (Sight.UNREADABLE, "personal-data-unreadable", False)],
)
async def test_without_a_value_nothing_runs_and_no_attempt_follows(sight: Sight, code: str, may_repeat: bool) -> None:
    inner = Inner()

    async def open_(_: Claim) -> Opened:
        return opened(email=sight)

    ended = await PersonalRun(CLAIM, open_, inner.begin).wait()
    assert ended.error is not None
    assert (ended.outcome, ended.error.code, ended.may_repeat) == ("failed", code, may_repeat)
    assert "email" in ended.error.description
    assert inner.began_with is None


async def test_a_worker_without_the_master_key_says_so_and_another_may_try() -> None:
    async def open_(_: Claim) -> Opened:
        raise MasterKeyMissing("0123456789abcdef", None)

    ended = await PersonalRun(CLAIM, open_, Inner().begin).wait()
    assert ended.error is not None
    assert (ended.error.code, ended.may_repeat) == ("personal-data-unreadable", True)
    assert "PULP_PERSONAL_KEY_FILE is not set" in ended.error.description


async def test_it_waits_for_postgres_until_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_worker.personal._RETRY_S", 0)
    tries = asyncio.Semaphore(0)
    inner = Inner()

    async def open_(_: Claim) -> Opened:
        tries.release()
        raise psycopg.OperationalError("Postgres is away")

    run = PersonalRun(CLAIM, open_, inner.begin)
    for _ in range(3):
        await tries.acquire()
    run.kill()
    assert (await run.wait()).outcome == "cancelled"
    assert inner.began_with is None


def test_a_task_without_envelopes_needs_no_key() -> None:
    assert holds_personal_data(CLAIM)
    assert not holds_personal_data(CLAIM._replace(arguments=b'{"email": "jo@example.org"}'))
