"""The operations of a schedule."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from pulp_worker import Context, OperationError
from pulp_worker.loading import Loaded
from pulp_worker.sdk import Operation

from tests.model.breach import Breach
from tests.model.memory_read_model import MemoryReadModel
from tests.model.network import Network
from tests.model.witness import Witness

OPERATIONS: Final = ("gentle", "deaf", "firm")
"""One that honours a cancel, one that ignores it, and one that is not cancellable."""


class Operations:
    """Operations that report to the witness and write at each step; `tell` records it."""

    def __init__(self, network: Network, model: MemoryReadModel, witness: Witness, tell: Callable[[str], None]) -> None:
        self.breaches: list[Breach] = []
        """The witness's objection: kept here, since an exception in an operation does not end the schedule."""
        self._network = network
        self._model = model
        self._witness = witness
        self._tell = tell

    def loaded(self) -> dict[str, Loaded]:
        """`OPERATIONS`, by name."""

        async def gentle(context: Context) -> object:
            return await self._operate(context, heeds=True)

        async def deaf(context: Context) -> object:
            return await self._operate(context, heeds=False)

        made = [
            Operation(name=name, cancellable=can, description="", resources=(), tags=None, function=function)
            for name, can, function in zip(OPERATIONS, (True, True, False), (gentle, deaf, deaf), strict=True)
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
            if self._network.random.random() < context.arguments["fails"]:
                raise OperationError("planned", "it was planned to fail")
            self._witness.succeeded.add(context.attempt_id)
        finally:
            self._witness.ends(me)
            self._tell(f"{short(context.task_id)} ends on {me.process}")
        return "done"

    async def _may_stop(self, process: str) -> None:
        """Stop the process in the middle of an operation, for longer than other processes wait."""
        network = self._network
        if not network.is_calm and network.random.random() < 0.25:
            self._tell(f"{process} is stopped at work")
            network.loop.stop_process(process, network.random.choice([7.0, 12.0, 16.0, 20.0]))
            await asyncio.sleep(0)

    def _witnessed(self, look: Any, *arguments: Any) -> Any:
        try:
            return look(*arguments)
        except Breach as breach:
            self.breaches.append(breach)
            raise


def short(task_id: UUID) -> str:
    """A short form of a task's id, unique within a schedule."""
    return f"task {task_id.int & 0xFFF}"
