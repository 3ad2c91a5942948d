"""What the workers of a schedule run."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from pulp_worker import Context
from pulp_worker.loading import Loaded
from pulp_worker.sdk import Operation

from tests.model.memory_read_model import MemoryReadModel
from tests.model.network import Network
from tests.model.witness import Breach, Witness


class Operations:
    """Operations that tell the witness what they do, and write at each step; `tell` notes it."""

    def __init__(self, network: Network, model: MemoryReadModel, witness: Witness, tell: Callable[[str], None]) -> None:
        self.breaches: list[Breach] = []
        """What the witness objected to: an operation may raise what it likes, so that alone breaks nothing."""
        self._network = network
        self._model = model
        self._witness = witness
        self._tell = tell

    def loaded(self) -> dict[str, Loaded]:
        """By name: one that heeds a cancel, one that does not, and one that cannot be cancelled."""

        async def gentle(context: Context) -> object:
            return await self._operate(context, heeds=True)

        async def deaf(context: Context) -> object:
            return await self._operate(context, heeds=False)

        made = [
            Operation(name=name, cancellable=can, description="", resources=(), tags=None, function=function)
            for name, can, function in (("gentle", True, gentle), ("deaf", True, deaf), ("firm", False, deaf))
        ]
        return {operation.name: Loaded(operation, __name__, operation.name) for operation in made}

    async def _operate(self, context: Context, *, heeds: bool) -> object:
        me = self._witnessed(self._witness.begins, context, self._model.tasks[context.task_id])
        self._tell(f"{short(context.task_id)} begins on {me.process}")
        try:
            for step in range(context.arguments["steps"]):
                await asyncio.sleep(context.arguments["seconds"])
                await self._may_stop(me.process)
                if heeds:
                    context.check_cancelled()
                self._witnessed(self._witness.works, me, context)
                context.report({"step": step})
            self._witness.succeeded.add(context.attempt_id)
        finally:
            self._witness.ends(me)
            self._tell(f"{short(context.task_id)} ends on {me.process}")
        return "done"

    async def _may_stop(self, process: str) -> None:
        """In the middle of an operation, for longer than others wait."""
        network = self._network
        if not network.is_calm and network.random.random() < 0.05:
            self._tell(f"{process} is stopped at work")
            network.loop.stop_process(process, network.random.choice([7.0, 12.0, 20.0]))
            await asyncio.sleep(0)

    def _witnessed(self, look: Any, *arguments: Any) -> Any:
        try:
            return look(*arguments)
        except Breach as breach:
            self.breaches.append(breach)
            raise


def short(task_id: UUID) -> str:
    """Enough of a task's id to tell it from the others of a schedule."""
    return f"task {task_id.int & 0xFFF}"
