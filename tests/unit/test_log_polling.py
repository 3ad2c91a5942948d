"""The thread that polls a Kafka client, with a clock that nobody waits for."""

import threading
from collections.abc import Callable

import pytest
from pulp_events.polling import Polling


class Client:
    """Waits by setting the clock, and counts its calls."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.on_their_way = 0
        self.wakes = 0

    def poll(self, timeout_s: float) -> None:
        self.wakes += 1
        self.now_s += timeout_s


class Given(threading.Event):
    """Whoever waits for it sets the client's clock. `while_resting` is called when the thread rests."""

    def __init__(self, client: Client, while_resting: Callable[[], None]) -> None:
        super().__init__()
        self._client = client
        self._while_resting = while_resting

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._client.now_s += timeout
        self._while_resting()
        return self.is_set()


@pytest.fixture
def client() -> Client:
    return Client()


def polling_of(client: Client, while_resting: Callable[[Polling], None], monkeypatch: pytest.MonkeyPatch) -> Polling:
    polling = Polling(client.poll, lambda: client.on_their_way, clock_s=lambda: client.now_s)
    monkeypatch.setattr(polling, "_given", Given(client, lambda: while_resting(polling)))
    return polling


def test_a_log_at_rest_wakes_no_more_than_every_ten_seconds(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def rest(polling: Polling) -> None:
        if client.now_s >= 100 + 60:
            polling._closing.set()

    polling_of(client, rest, monkeypatch)._run()
    assert client.wakes == 60 / 10


def test_it_polls_until_every_event_has_its_report_and_a_second_longer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    def poll(timeout_s: float) -> None:
        client.poll(timeout_s)
        if client.now_s >= began_s + 3:
            client.on_their_way = 0

    def rest(polling: Polling) -> None:
        rests.append(client.now_s)
        if len(rests) == 2:
            polling._closing.set()
        client.on_their_way = 1
        polling.wake()

    client.on_their_way, began_s = 1, client.now_s
    polling = polling_of(client, rest, monkeypatch)
    monkeypatch.setattr(polling, "_poll", poll)
    polling._run()
    assert rests[0] - began_s == pytest.approx(3 + 1 + 10, abs=0.2)


def test_an_event_that_is_given_while_it_falls_asleep_is_not_missed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    polling = Polling(client.poll, lambda: client.on_their_way, clock_s=lambda: client.now_s)

    class Clears(threading.Event):
        """A thread that sees the event set sends a record just before it is cleared."""

        def clear(self) -> None:
            client.on_their_way = 1
            polling.wake()
            super().clear()

        def wait(self, timeout: float | None = None) -> bool:
            pytest.fail("it rests although an event is on its way")

    polled: list[float] = []

    def poll(timeout_s: float) -> None:
        polled.append(timeout_s)
        if len(polled) == 2:
            polling._closing.set()

    monkeypatch.setattr(polling, "_given", Clears())
    monkeypatch.setattr(polling, "_poll", poll)
    polling._given.set()
    polling._run()
    assert polled == [0, 0.1]


def test_it_ends_at_once_while_it_rests() -> None:
    rests = threading.Event()
    polling = Polling(lambda _: rests.set(), lambda: 0)
    polling.start()
    polling.wake()
    assert rests.wait(30)
    polling.close()
