"""The example that posts to a chat when a sync fails, against a chat on this machine."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest
from pulp_events.codec import encode
from pulp_events.events import Event, Outcome
from pulp_processor.delivering.outbox import Verdict
from pulp_processor.delivering.sender import EndpointAnswer, Sender, WebhookMessage
from pulp_processor.delivering.settings import WebhookSettings

from examples.chat_on_failure import serve
from tests.support.events import accepted, finished
from tests.support.mirror import Mirror, mirror, ok
from tests.support.webhooks import SECRET

SETTINGS = WebhookSettings.read({"PULP_WEBHOOK_ALLOW": "loopback"})


class Scene:
    """The receiver, and the chat behind it."""

    def __init__(self, chat: Mirror, said: list[str]) -> None:
        self.chat, self.said = chat, said
        server = serve(f"whsec_{b64encode(SECRET).decode()}", chat.url("/hook"), 0)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/"
        self.server, self.thread = server, threading.Thread(target=server.serve_forever)
        self.thread.start()

    async def deliver(self, event: Event, secret: bytes = SECRET) -> EndpointAnswer:
        """As a processor does."""
        sender = Sender(SETTINGS, {})
        answer = await sender.send(WebhookMessage(self.url, str(event.id), encode(event), [secret], {}))
        await sender.close()
        return answer

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with mirror({"/hook": ok(b"ok")}) as chat:
        made = Scene(chat, [])
        try:
            yield made
        finally:
            await asyncio.to_thread(made.close)


def failed() -> Event:
    return finished(outcome=Outcome.FAILED)


async def test_a_failed_sync_is_told_once_and_others_are_not(scene: Scene) -> None:
    event = failed()
    for each in (accepted(), finished(), event, event):
        assert (await scene.deliver(each)).verdict is Verdict.DELIVERED
    assert scene.chat.asked() == ["/hook"]


async def test_while_the_chat_is_away_the_event_is_asked_for_again(scene: Scene) -> None:
    event = failed()
    scene.chat.answers["/hook"] = ok(b"", status="500 Internal Server Error")
    assert (await scene.deliver(event)).status == 503
    scene.chat.answers["/hook"] = ok(b"ok")
    assert (await scene.deliver(event)).status == 204


async def test_what_is_signed_by_another_secret_is_refused(scene: Scene) -> None:
    assert (await scene.deliver(failed(), b"another secret, of 24 by")).status == 401
    assert scene.chat.asked() == []
