"""One delivery: where it may go, how it is signed, and what an answer means. Nothing leaves this machine."""

import asyncio
import base64
import hashlib
import hmac
import logging
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace
from pulp_events.task import Position
from pulp_processor.delivering.outbox import Verdict
from pulp_processor.delivering.sender import Sender, WebhookMessage, signed_headers
from pulp_processor.delivering.settings import WebhookSettings
from standardwebhooks import Webhook

from tests.support.mirror import Connector, Names
from tests.support.webhooks import SECRET, Received, endpoint

USUAL = WebhookSettings.read({})
LOCAL = WebhookSettings.read({"PULP_WEBHOOK_ALLOW": "loopback", "PULP_WEBHOOK_TOTAL_S": "5"})
PUBLIC = "93.184.215.14"
REFUSED = (
    "the settings of the processor do not allow to deliver there (PULP_WEBHOOK_ALLOW, PULP_WEBHOOK_DENY,"
    " PULP_WEBHOOK_PORTS)"
)


def message(url: str, *secrets: bytes) -> WebhookMessage:
    """A small message."""
    return WebhookMessage(url, "msg_1", b'{"hello":"world"}', secrets or (SECRET,), {})


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.7"],
        ["192.168.1.1"],
        ["172.16.0.1"],
        ["100.64.0.1"],
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["0.0.0.0"],
        ["::1"],
        ["fe80::1"],
        ["fd00:ec2::254"],
        ["::ffff:10.0.0.7"],
        ["64:ff9b::a00:7"],
        [PUBLIC, "10.0.0.7"],
    ],
)
async def test_a_name_that_leads_inside_gets_nothing(addresses: list[str]) -> None:
    names, connector = Names(inside_example=[addresses]), Connector(1)
    sender = Sender(USUAL, {}, lookup=names, network=connector)
    answer = await sender.send(message("http://inside.example/hook"))
    await sender.close()
    assert (answer.verdict, answer.error) == (Verdict.FAILED, REFUSED)
    assert connector.connections == []


async def test_the_log_says_whose_delivery_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pulp.deliverer")
    sender = Sender(USUAL, {}, lookup=Names(inside_example=[["10.0.0.7"]]), network=Connector(1))
    test = message("http://inside.example/hook")._replace(headers={"Pulp-Subscription": "0193f3f0"})
    await sender.send(test._replace(task_id=UUID(int=7), position=Position(3, 1042)))
    await sender.send(test)
    await sender.close()
    names = ("subscription", "event", "task_id", "partition", "offset")
    found = [{name: line.__dict__[name] for name in names if name in line.__dict__} for line in caplog.records]
    named = {"subscription": "0193f3f0", "event": "msg_1"}
    assert found == [{**named, "task_id": str(UUID(int=7)), "partition": 3, "offset": 1042}, named]
    assert "inside.example" not in str([line.__dict__ for line in caplog.records])


async def test_the_log_says_whose_endpoint_did_not_answer_in_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pulp.deliverer")
    never = asyncio.Event()

    async def hang(_: Received) -> int:
        await never.wait()
        return 204

    async with endpoint(hang) as receiver:
        sender = Sender(replace(LOCAL, total_s=0.1), {})
        await sender.send(message(receiver.url())._replace(task_id=UUID(int=7)))
        await sender.close()
    [line] = caplog.records
    assert (line.getMessage(), line.__dict__["task_id"]) == ("a delivery has failed", str(UUID(int=7)))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.1.2.3:8080/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://metadata.google.internal/",
        f"http://{PUBLIC}:22/",
    ],
)
async def test_what_is_refused_by_its_url_is_not_even_looked_up(url: str) -> None:
    names, connector = Names(), Connector(1)
    sender = Sender(USUAL, {}, lookup=names, network=connector)
    answer = await sender.send(message(url))
    await sender.close()
    assert (answer.error, names.asked, connector.connections) == (REFUSED, [], [])


async def test_a_name_is_resolved_once_and_its_checked_address_is_the_one_that_is_used() -> None:
    async with endpoint() as receiver:
        names, connector = Names(chat_example=[[PUBLIC], ["127.0.0.1"]]), Connector(receiver.port)
        sender = Sender(USUAL, {}, lookup=names, network=connector)
        answer = await sender.send(message("http://chat.example/hook"))
        await sender.close()
    assert (answer.verdict, names.asked, connector.connections) == (
        Verdict.DELIVERED,
        ["chat.example"],
        [(PUBLIC, 80)],
    )
    assert receiver.requests[0].headers["host"] == "chat.example"


async def test_a_redirect_is_not_followed() -> None:
    async with endpoint() as inside, endpoint(lambda _: (302, {"Location": inside.url()})) as receiver:
        sender = Sender(LOCAL, {})
        answer = await sender.send(message(receiver.url()))
        await sender.close()
    assert (answer.verdict, answer.status) == (Verdict.FAILED, 302)
    assert inside.requests == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.DELIVERED) for status in (200, 202, 204)),
        *((status, Verdict.REFUSED) for status in (400, 409, 413, 415, 422)),
        *((status, Verdict.FAILED) for status in (301, 401, 403, 404, 408, 425, 429, 500, 503)),
        (410, Verdict.GONE),
    ],
)
async def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    async with endpoint(lambda _: (status, {"Retry-After": "7"})) as receiver:
        sender = Sender(LOCAL, {})
        answer = await sender.send(message(receiver.url()))
        await sender.close()
    assert (answer.verdict, answer.status, answer.pause_s) == (verdict, status, 7)


async def test_an_endpoint_that_hangs_is_given_up_after_the_limit() -> None:
    async def hang(_: Received) -> int:
        await asyncio.sleep(3600)
        return 204

    async with endpoint(hang) as receiver:
        sender = Sender(WebhookSettings.read({"PULP_WEBHOOK_ALLOW": "loopback", "PULP_WEBHOOK_TOTAL_S": "0.2"}), {})
        answer = await sender.send(message(receiver.url()))
        await sender.close()
    assert (answer.verdict, answer.error) == (
        Verdict.FAILED,
        "no complete answer within 0.2 s (PULP_WEBHOOK_TOTAL_S)",
    )


async def test_no_connection_and_no_name_are_told_and_no_text_of_a_server_is() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-secret\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender(LOCAL, {}, lookup=Names())
    found = [await sender.send(message(f"http://127.0.0.1:{port}/")), await sender.send(message("http://no.example/"))]
    await sender.close()
    server.close()
    assert "secret" not in (found[0].error or "")
    assert found[1].error == "the name of the host has no address"


async def test_a_proxy_is_used_for_hosts_that_may_be_public() -> None:
    connector = Connector()
    sender = Sender(USUAL, {"http_proxy": "http://jo:secret@proxy.example:3128"}, network=connector, lookup=Names())
    answer = await sender.send(message("http://chat.example/"))
    await sender.close()
    assert connector.connections == [("proxy.example", 3128)]
    assert "secret" not in (answer.error or "")


def test_each_secret_signs_and_the_library_verifies_it() -> None:
    now = datetime.now(UTC)
    other = b"fedcba9876543210fedcba98"
    sent = message("http://e.example/", SECRET, other)
    headers = signed_headers(sent, now)
    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    for secret in (SECRET, other):
        assert Webhook(secret).verify(sent.body, headers) == {"hello": "world"}


def test_the_signature_is_the_one_of_the_specification() -> None:
    now = datetime(2021, 2, 25, 18, 8, 50, tzinfo=UTC)
    sent = message("http://e.example/", SECRET)
    expected = hmac.new(SECRET, b"msg_1." + str(int(now.timestamp())).encode() + b"." + sent.body, hashlib.sha256)
    assert signed_headers(sent, now)["webhook-signature"] == f"v1,{base64.b64encode(expected.digest()).decode()}"


async def test_a_connection_is_used_again() -> None:
    async with endpoint() as receiver:
        connector = Connector(receiver.port)
        sender = Sender(USUAL, {}, lookup=Names(chat_example=[[PUBLIC]]), network=connector)
        for _ in range(3):
            await sender.send(message("http://chat.example/hook"))
        await sender.close()
    assert (len(receiver.requests), len(connector.connections)) == (3, 1)
