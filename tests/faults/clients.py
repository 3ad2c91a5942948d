"""The API's clients: they submit, read, list and cancel as planned, and record the answers in the ledger."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid5

import httpx
from pulp_events.ids import NAMESPACE

from tests.faults.ledger import Ledger, Seen
from tests.faults.plan import Planned, planned
from tests.faults.recurring import Recurring

TASKS: Final = "/pulp/api/v3/tasks/"
_RETRY_S: Final = 0.5
_MOST_UNFINISHED: Final = 60
_EXPECTED: Final = {200, 201, 202, 400, 404, 409, 501, 503, 504}


class Load:
    """Clients that share one plan. `stop` lets them finish what they have begun."""

    def __init__(self, url: str, auth: tuple[str, str], ledger: Ledger, seed: int, *, clients: int = 4) -> None:
        self.ledger = ledger
        self.seed = seed
        self.is_paused: Callable[[], bool] = lambda: ledger.unfinished() >= _MOST_UNFINISHED
        self._numbers: Iterator[int] = itertools.count(1)
        self._stopping = asyncio.Event()
        self._http = httpx.AsyncClient(base_url=url, auth=auth, timeout=20.0, trust_env=False)
        self._tasks = [asyncio.create_task(self._work(), name=f"client-{number}") for number in range(clients)]
        self._tasks.append(asyncio.create_task(self._follow(), name="reader"))
        recurring = Recurring(self._send, seed, self._stopping)
        self._tasks.append(asyncio.create_task(recurring.run(), name="schedules-and-purges"))

    async def stop(self) -> None:
        """Begin no new tasks, and wait; raises a client's error."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._http.aclose()

    async def cancel(self) -> None:
        """Stop at once, ignoring errors."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def check(self) -> None:
        """Raise a client's error, if any."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            if self.is_paused():
                await asyncio.sleep(0.2)
                continue
            item = planned(self.seed, next(self._numbers))
            await self._live(item)
            await asyncio.sleep(item.pause_s)

    async def _live(self, item: Planned) -> None:
        task_id = await self._submit(item)
        if task_id is None:
            return
        if item.cancel_after_s is not None:
            await asyncio.sleep(item.cancel_after_s)
            await self._cancel(item, task_id)
        for _ in range(item.reads):
            await self.read(task_id)

    async def _follow(self) -> None:
        """Read tasks that may still run, and lists."""
        while not self._stopping.is_set():
            for task_id, seen in list(self.ledger.seen.items()):
                if self._stopping.is_set():
                    return
                if seen.state in ("waiting", "running", "cancelling"):
                    await self.read(task_id)
                    await asyncio.sleep(0.02)
            await self._send("list", "GET", TASKS, params={"limit": "20", "ordering": "-pulp_created"})
            await asyncio.sleep(0.3)

    async def _submit(self, item: Planned) -> str | None:
        body = self._body(item)
        headers = {"Idempotency-Key": str(uuid5(NAMESPACE, f"{self.seed}/{item.number}"))} if item.is_keyed else {}
        if item.is_keyed:
            self.ledger.keyed.add(item.number)
        while True:
            answer = await self._send("submit", "POST", TASKS, json=body, headers=headers)
            if answer is not None and answer.status_code == 202:
                task_id = answer.json()["task"].rstrip("/").rpartition("/")[2]
                self.ledger.tell("accepted", item.number, task_id, answer.headers["Pulp-Position"])
                return str(task_id)
            if answer is not None and answer.status_code == 400:
                self._judge_refusal(item, answer)
                return None
            if not item.is_keyed:
                return None
            await asyncio.sleep(_RETRY_S)

    def _judge_refusal(self, item: Planned, answer: httpx.Response) -> None:
        if item.parent is None:  # a child that needs its parent's resources is refused, correctly
            self.ledger.breach("API", f"task {item.number} of the plan", f"refused: {answer.text:.300}")

    def _body(self, item: Planned) -> dict[str, Any]:
        known = self.ledger.tasks
        body = dict(item.body)
        if item.parent in known:
            body["parent_task"] = f"{TASKS}{known[item.parent]}/"
        body["depends_on"] = [known[number] for number in item.depends_on if number in known]
        return body

    async def _cancel(self, item: Planned, task_id: str) -> None:
        if item.dialect == "v2":
            answer = await self._send("cancel", "DELETE", f"/pulp/api/v2/tasks/{task_id}/")
        else:
            answer = await self._send("cancel", "PATCH", f"{TASKS}{task_id}/", json={"state": "canceled"})
        if answer is None:
            return
        position = answer.headers.get("Pulp-Position")
        if answer.status_code in (200, 202):
            self.ledger.tell("cancelled", item.number, task_id, position)
        elif answer.status_code == 501 or (answer.status_code == 409 and "detail" in answer.json()):
            self.ledger.tell("refused", item.number, task_id, position)
        elif answer.status_code in (404, 409):
            self.ledger.tell("ended", item.number, task_id, position)

    async def read(self, task_id: str) -> None:
        """Read a task with the newest position that any client was shown; the answer may not be older."""
        before = self.ledger.seen.get(task_id)
        headers = {} if before is None else {"Pulp-Min-Position": f"{before.partition}:{before.offset}"}
        answer = await self._send("read", "GET", f"{TASKS}{task_id}/", headers=headers)
        if answer is None or answer.status_code in (503, 504):
            return
        if answer.status_code == 200:
            self.ledger.show(before, answer.json())
        elif answer.status_code == 404:
            self.ledger.miss(task_id)  # judged at the end, when the purged tasks are known
        else:
            self.ledger.breach("I9", _place(before), f"task {task_id}, accepted before, reads {answer.status_code}")

    async def _send(self, what: str, method: str, path: str, **more: Any) -> httpx.Response | None:
        """The answer; None if the connection broke or timed out, so that the outcome is unknown."""
        try:
            answer = await self._http.request(method, path, **more)
        except httpx.TransportError as error:
            self.ledger.answers[f"{what} {type(error).__name__}"] += 1
            return None
        self.ledger.answers[f"{what} {answer.status_code}"] += 1
        if answer.status_code not in _EXPECTED:
            self.ledger.breach("API", path, f"{method} was answered {answer.status_code}: {answer.text:.300}")
        if answer.status_code == 503 and "Retry-After" not in answer.headers:
            self.ledger.breach("API", path, "503 without Retry-After")
        return answer


def _place(seen: Seen | None) -> str:
    return "?" if seen is None else f"{seen.partition}:{seen.offset}"
