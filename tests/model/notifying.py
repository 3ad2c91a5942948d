"""Postgres's notifications in a schedule."""

import asyncio
from collections.abc import Callable
from typing import Final

from tests.model.loop import PROCESS
from tests.model.network import Network, away, context_of

_LOST: Final = 0.01
"""How often the connection of a listener breaks just when it would be notified."""


class Notifications:
    """Who listens to which channel. What is sent reaches each listener in order, late, or not at all: then its
    connection is broken, and it knows."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.listeners: list[SimulatedNotices] = []

    def send(self, channel: str, payload: str) -> None:
        """Notify everybody who listens."""
        for listener in [one for one in self.listeners if channel in one.channels]:
            if self.network.is_cut(listener.process) or self._is_lost():
                listener.break_off()
            else:
                listener.arrive(channel, payload)

    def _is_lost(self) -> bool:
        return not self.network.is_calm and self.network.random.random() < _LOST


class SimulatedNotices:
    """See `Notices`: a connection that listens."""

    def __init__(
        self, notifications: Notifications, name: str, channels: tuple[str, ...], on_notice: Callable[[str, str], None]
    ) -> None:
        self.name = name
        self.process = PROCESS.get()
        self.channels = channels
        self._notifications = notifications
        self._on_notice = on_notice
        self._heard = asyncio.Event()
        self._is_broken = False
        notifications.listeners.append(self)

    @property
    def connection(self) -> "SimulatedNotices":
        """What statements of the product are given."""
        return self

    async def wait(self, timeout_s: float) -> None:
        """See `Notices.wait`."""
        ends_s = self._notifications.network.loop.time() + timeout_s
        while await self.hear(max(0.0, ends_s - self._notifications.network.loop.time())):
            pass

    def wake(self) -> None:
        """See `Notices.wake`."""
        self._heard.set()

    async def hear(self, timeout_s: float | None) -> bool:
        """See `Notices.hear`."""
        self._heard.clear()
        if not self._is_broken:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._heard.wait()
            except TimeoutError:
                return False
        if self._is_broken:
            raise away()
        return True

    async def close(self) -> None:
        """See `Notices.close`."""
        self._leave()

    def arrive(self, channel: str, payload: str) -> None:
        """Called at the server: the process hears of it later."""
        network = self._notifications.network
        arrives_s = network.in_order_s("servers", f"notices of {self.process}")
        network.loop.call_at(arrives_s, self._hear, channel, payload, context=context_of(self.process))

    def break_off(self) -> None:
        """Called at the server: the connection is broken, which the process notices when it is next on turn."""
        self._leave()
        self._notifications.network.loop.call_soon(self._break, context=context_of(self.process))

    def _break(self) -> None:
        self._is_broken = True
        self._heard.set()

    def _hear(self, channel: str, payload: str) -> None:
        if self in self._notifications.listeners:
            self._on_notice(channel, payload)
            self._heard.set()

    def _leave(self) -> None:
        if self in self._notifications.listeners:
            self._notifications.listeners.remove(self)
