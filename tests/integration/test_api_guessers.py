"""The API's process while two hundred clients guess passwords: who gets in, and what the audit holds afterwards."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest
from pulp_accounts.users import Role, add_user
from pulp_events.audit_reader import read_audit
from pulp_events.topics import Topics
from pulp_projections.connection import connect

from tests.support.api_process import LIMIT_S, add_admin, api_process
from tests.support.backends import Backend
from tests.support.site import PASSWORD, V3

GUESSERS = 200
TASKS = f"{V3}/tasks/"


async def guess(client: httpx.AsyncClient, name: str, number: int, seen: "Counter[int]", answers: list[int]) -> None:
    """Guess again and again, over connections that stay open."""
    for attempt in range(10**6):
        try:
            answer = await client.get(TASKS, auth=(name, f"wrong-{number}-{attempt}"))
        except httpx.TransportError:  # more connections than one address may have
            await asyncio.sleep(1)
            continue
        assert answer.status_code in (401, 429, 503), answer.text
        seen[answer.status_code] += 1
        answers[number] += 1


@pytest.mark.parametrize("names", ["one", "many"])
async def test_honest_clients_get_in_beside_two_hundred_that_guess(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, names: str
) -> None:
    await add_admin(database)
    async with await connect(database, "test") as connection:
        for number in range(5):
            await add_user(connection, f"person-{number}", PASSWORD, Role.VIEWER)
    limits = httpx.Limits(max_connections=GUESSERS, max_keepalive_connections=GUESSERS)
    seen: Counter[int] = Counter()
    answers = [0] * GUESSERS
    async with (
        api_process(backend.kafka, database, topics, tmp_path) as api,
        api.client() as known,
        httpx.AsyncClient(base_url=api.url, limits=limits, timeout=LIMIT_S, trust_env=False) as guessing,
    ):
        assert (await known.get(TASKS)).status_code == 200
        guessers = [
            asyncio.create_task(guess(guessing, "admin" if names == "one" else f"name-{number}", number, seen, answers))
            for number in range(GUESSERS)
        ]
        try:
            async with asyncio.timeout(3 * LIMIT_S):
                while min(answers) < 2:  # some seconds, in which the trust in the known client lapses too
                    assert (await known.get(TASKS)).status_code == 200
            for number in range(5):
                async with httpx.AsyncClient(base_url=api.url, timeout=LIMIT_S, trust_env=False) as fresh:
                    answer = await fresh.get(TASKS, auth=(f"person-{number}", PASSWORD))
                assert answer.status_code == 200, answer.text
        finally:
            for each in guessers:
                each.cancel()
            failures = [each for each in await asyncio.gather(*guessers, return_exceptions=True) if each is not None]
        assert {type(each) for each in failures} == {asyncio.CancelledError}
        api.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(api.process.wait, 60) == 0
    records = [entry.record for entry in read_audit(backend.kafka, topics.audit) if entry and entry.record]
    counts = Counter[str]()
    for record in records:
        counts[record.what] += record.count
    assert counts["login-failed"] >= seen[401]  # every one is counted, even if its client did not wait for the answer
    assert counts["login-limited"] > 0
    assert {each.actor for each in records if each.what == "login-succeeded"} >= {"user:admin", "user:person-4"}
    assert len(records) < sum(counts.values())  # repeated failures are one record with a count
