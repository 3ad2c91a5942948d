"""Each role's ACLs suffice for what its processes do, each of them is needed, and nobody can do more."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AclOperation
from pulp_deploy import acl_admin
from pulp_deploy.acls import RIGHTS, Acl, Right, Role, wanted
from pulp_events import admin, topic_states
from pulp_events.audit import What, audit_record
from pulp_events.audit_log import write_audit
from pulp_events.audit_reader import read_audit
from pulp_events.checkpoints import last_records
from pulp_events.errors import LogError, LogRefused, LogUnavailable, PulpError
from pulp_events.kafka import Kafka
from pulp_events.log import KafkaLog
from pulp_events.ordered_topic import look_at_topic
from pulp_events.reader import Reader
from pulp_events.schedule_log import KafkaScheduleLog
from pulp_events.security import KEYS
from pulp_events.settings import kafka
from pulp_events.subscription import subscribe
from pulp_events.topic_checks import check_topic
from pulp_events.topics import Topics
from pulp_events.webhook_log import KafkaWebhookLog
from pulp_processor.consuming.aiokafka_settings import aiokafka_settings
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.publishing.state_log import StateLog, StatePlace, StateRecord, start_over
from pulp_transparency.published import CheckpointTopic, Published

from tests.support.events import accepted
from tests.support.schedules import created
from tests.support.secured_kafka import SecuredKafka, secured_kafka, unsigned_token
from tests.support.webhooks import created as created_webhook

PREFIX = "secured"
TOPICS = Topics.named(PREFIX)
GROUP = f"{TOPICS.events}.processor"
LIMIT_S = 30
Attempt = Callable[[Kafka], Awaitable[None]]
USERS = {role: f"pulp-{role}" for role in Role}
RULES = wanted(TOPICS, {role: (f"User:{user}",) for role, user in USERS.items()})


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredKafka]:
    """A broker with the topics and, for a user of each role, exactly the rules of its role."""
    with secured_kafka() as secured:
        secured.add_users(*USERS.values(), "nobody")
        connection = admin.connect(Kafka(secured.bootstrap, secured.operator))
        admin.create_topics(connection.kafka, TOPICS, partitions=2, replication=1)
        acl_admin.add(connection, RULES)
        settle(secured, set(RULES))
        yield secured


def settle(broker: SecuredKafka, rules: set[Acl]) -> None:
    """Wait until the broker's authorizer has exactly these rules."""
    connection = admin.connect(Kafka(broker.bootstrap, broker.operator))
    things = [(rule.resource, rule.name) for rule in RULES]
    ends = time.monotonic() + LIMIT_S
    while set(acl_admin.present(connection, dict.fromkeys(things))) != rules:
        assert time.monotonic() < ends
        time.sleep(0.02)


async def append(servers: Kafka, topic: str) -> None:
    producer = raw_producer.make(servers)
    await asyncio.to_thread(raw_producer.append, producer, topic, [RawRecord(b"k", b"v", (), 0)])


async def append_event(servers: Kafka) -> None:
    log = KafkaLog(servers, TOPICS.events, 2)
    try:
        await log.start()
        await log.append(accepted(), 0)
    finally:
        await log.close()


async def read_events(servers: Kafka) -> None:
    def read() -> None:
        with subscribe(servers, prefix=PREFIX, follow=False) as events:
            assert list(events)

    await asyncio.to_thread(read)


async def read_as_processor(servers: Kafka) -> None:
    await asyncio.to_thread(admin.describe, servers, TOPICS.events, rights=[AclOperation.READ])
    async with AIOKafkaConsumer(**aiokafka_settings(servers), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(TOPICS.events, 0)])
        assert await consumer.getmany(timeout_ms=LIMIT_S * 1000)


async def join_group(servers: Kafka) -> None:
    consumer = AIOKafkaConsumer(TOPICS.events, **aiokafka_settings(servers), group_id=GROUP)
    try:
        await consumer.start()
        async with asyncio.timeout(LIMIT_S):
            while not consumer.assignment():  # noqa: ASYNC110  # aiokafka announces it to nobody
                await asyncio.sleep(0.02)
    except GroupAuthorizationFailedError as error:
        raise LogRefused(str(error)) from error
    finally:
        await consumer.stop()


def check_settings(topic: str) -> Attempt:
    """Checking whether Kafka keeps the contents of a topic."""

    async def attempt(servers: Kafka) -> None:
        state = await asyncio.to_thread(
            topic_states.read_topic, admin.connect(servers), topic, is_compacted=TOPICS.is_compacted(topic)
        )
        if findings := check_topic(state, brokers=1):
            raise LogError(str(findings))

    return attempt


def create(topic: str) -> Attempt:
    """Creating one topic of an installation; the others exist."""

    async def attempt(servers: Kafka) -> None:
        await asyncio.to_thread(admin.describe, servers, topic, rights=[AclOperation.CREATE])

    return attempt


def mend(topic: str) -> Attempt:
    async def attempt(servers: Kafka) -> None:
        connection = admin.connect(servers)
        state = await asyncio.to_thread(topic_states.read_topic, connection, topic)
        assert state.settings is None or state.settings["retention.ms"] == "-1"
        await asyncio.to_thread(topic_states.mend, connection, topic, {"retention.ms": "-1"})

    return attempt


async def write_to_audit(servers: Kafka) -> None:
    record = audit_record(What.LOGIN_FAILED, actor="user:jo", address="127.0.0.1")
    await asyncio.to_thread(write_audit, servers, TOPICS.audit, record)


async def read_the_audit(servers: Kafka) -> None:
    await asyncio.to_thread(lambda: list(read_audit(servers, TOPICS.audit)))


async def write_to_schedules(servers: Kafka) -> None:
    log = KafkaLog(servers, TOPICS.events, 2)
    try:
        await KafkaScheduleLog(log, servers, TOPICS.schedules).append(created())
    finally:
        await log.close()


async def read_the_schedules(servers: Kafka) -> None:
    def read() -> None:
        admin.describe(servers, TOPICS.schedules, rights=[AclOperation.READ])
        with Reader(servers, TOPICS.schedules, {0: 0}) as reader:
            reader.poll(LIMIT_S / 4)

    await asyncio.to_thread(read)


def look_at_schedules(servers: Kafka) -> None:
    look_at_topic(admin.connect(servers), TOPICS.schedules)


async def write_to_subscriptions(servers: Kafka) -> None:
    log = KafkaLog(servers, TOPICS.events, 2)
    try:
        await KafkaWebhookLog(log, servers, TOPICS.subscriptions).append(created_webhook("https://e.example/"))
    finally:
        await log.close()


async def read_the_subscriptions(servers: Kafka) -> None:
    def read() -> None:
        admin.describe(servers, TOPICS.subscriptions, rights=[AclOperation.READ])
        with Reader(servers, TOPICS.subscriptions, {0: 0}) as reader:
            reader.poll(LIMIT_S / 4)

    await asyncio.to_thread(read)


async def publish_states(servers: Kafka) -> None:
    def publish() -> None:
        log = StateLog.open(servers, TOPICS, 2)
        try:
            place = log.places().get(0, StatePlace(0, 1))
            log.publish([StateRecord(b"k", None, 0)], {0: StatePlace(place.next_offset, 1)})
        finally:
            log.close()

    await asyncio.to_thread(publish)


async def rebuild_states(servers: Kafka) -> None:
    await asyncio.to_thread(start_over, servers, TOPICS, 2)


async def read_the_states(servers: Kafka) -> None:
    def read() -> None:
        admin.describe(servers, TOPICS.states, rights=[AclOperation.READ])
        with Reader(servers, TOPICS.states, {0: 0}) as reader:
            reader.poll(LIMIT_S / 4)

    await asyncio.to_thread(read)


def look_at_states(servers: Kafka) -> None:
    admin.describe(servers, TOPICS.states)


def look_at_subscriptions(servers: Kafka) -> None:
    look_at_topic(admin.connect(servers), TOPICS.subscriptions)


async def read_the_checkpoints(servers: Kafka) -> None:
    await asyncio.to_thread(last_records, servers, TOPICS.checkpoints)


async def publish_a_checkpoint(servers: Kafka) -> None:
    topic = CheckpointTopic(servers, TOPICS.checkpoints)
    await asyncio.to_thread(topic.append, Published(0, "log/0", 0, "no checkpoint, but nobody looks here", 0))


def list_dead_letters(servers: Kafka) -> None:
    admin.end_offsets(servers, TOPICS.dead_letters, admin.describe(servers, TOPICS.dead_letters).partitions)


def attempts(role: Role) -> Mapping[tuple[str, str], Attempt]:
    """What each right of the role is for, by thing and operation."""
    reading = read_as_processor if role is Role.PROCESSOR else read_events
    return {
        ("{events}", "Write"): append_event,
        ("{events}", "Read"): reading,
        ("{events}", "DescribeConfigs"): check_settings(TOPICS.events),
        ("{audit}", "DescribeConfigs"): check_settings(TOPICS.audit),
        ("{dead_letters}", "Write"): lambda servers: append(servers, TOPICS.dead_letters),
        ("{events}.processor", "Read"): join_group,
        ("{audit}", "Write"): write_to_audit,
        ("{audit}", "Read"): read_the_audit,
        ("{dead_letters}", "Describe"): lambda servers: asyncio.to_thread(list_dead_letters, servers),
        ("{schedules}", "Write"): write_to_schedules,
        ("{schedules}", "Read"): read_the_schedules,
        ("{schedules}", "DescribeConfigs"): check_settings(TOPICS.schedules),
        ("{schedules}", "Describe"): lambda servers: asyncio.to_thread(look_at_schedules, servers),
        ("{checkpoints}", "Write"): publish_a_checkpoint,
        ("{checkpoints}", "Read"): read_the_checkpoints,
        ("{subscriptions}", "Write"): write_to_subscriptions,
        ("{subscriptions}", "Read"): read_the_subscriptions,
        ("{subscriptions}", "DescribeConfigs"): check_settings(TOPICS.subscriptions),
        ("{subscriptions}", "Describe"): lambda servers: asyncio.to_thread(look_at_subscriptions, servers),
        ("{states}", "Write"): rebuild_states if role is Role.OPERATOR else publish_states,
        ("{events}.states", "Read"): rebuild_states if role is Role.OPERATOR else publish_states,
        ("{states}", "Read"): read_the_states,
        ("{states}", "DescribeConfigs"): check_settings(TOPICS.states),
        ("{states}", "Describe"): lambda servers: asyncio.to_thread(look_at_states, servers),
        **{(f"{{{name}}}", "Create"): create(topic) for name, topic in TOPICS._asdict().items()},
        **{(f"{{{name}}}", "AlterConfigs"): mend(topic) for name, topic in TOPICS._asdict().items()},
    }


@pytest.mark.parametrize(
    ("role", "right"),
    [(role, right) for role, rights in RIGHTS.items() for right in rights],
    ids=lambda each: (
        str(each) if isinstance(each, Role) else f"{each.operation} {each.resource} {each.name.strip('{}')}"
    ),
)
async def test_each_right_suffices_and_is_needed(role: Role, right: Right, broker: SecuredKafka) -> None:
    servers = broker.client(USERS[role])
    attempt = attempts(role)[right.name, right.operation]
    await append(Kafka(broker.bootstrap, broker.operator), TOPICS.events)  # there is something to read
    await attempt(servers)
    rule = Acl(f"User:{USERS[role]}", right.resource, right.of(TOPICS).name, right.operation)
    connection = admin.connect(Kafka(broker.bootstrap, broker.operator))
    acl_admin.remove(connection, rule)
    try:
        settle(broker, set(RULES) - {rule})
        with pytest.raises(PulpError, match=r"(?i)refuse|does not let|lacks a right|authoriz|may not be read"):
            await attempt(servers)
    finally:
        acl_admin.add(connection, [rule])
        settle(broker, set(RULES))


@pytest.mark.parametrize("is_started", [False, True])
async def test_a_log_that_was_refused_appends_once_the_right_is_there(is_started: bool, broker: SecuredKafka) -> None:
    """A producer without an id can never write, and one with an id remembers for minutes that it was refused."""
    user = USERS[Role.WORKER]
    [rule] = [
        each
        for each in RULES
        if (each.principal, each.name, each.operation) == (f"User:{user}", TOPICS.events, "Write")
    ]
    connection = admin.connect(Kafka(broker.bootstrap, broker.operator))
    log = KafkaLog(broker.client(user), TOPICS.events, 2)
    try:
        if is_started:
            await log.start()
        acl_admin.remove(connection, rule)
        try:
            settle(broker, set(RULES) - {rule})
            for _ in range(2):
                with pytest.raises(PulpError):
                    await log.append(accepted(), 0)
        finally:
            acl_admin.add(connection, [rule])
            settle(broker, set(RULES))
        assert (await log.append(accepted(), 1)).partition == 1
    finally:
        await log.close()


REFUSED: Mapping[str, tuple[Role, Attempt]] = {
    "a worker creates no topics": (Role.WORKER, lambda s: asyncio.to_thread(create_another, s)),
    "a worker reads no events": (Role.WORKER, read_events),
    "a worker writes no audit": (Role.WORKER, write_to_audit),
    "a worker writes no dead letters": (Role.WORKER, lambda s: append(s, TOPICS.dead_letters)),
    "a worker joins no processors": (Role.WORKER, join_group),
    "a worker changes no topics": (Role.WORKER, mend(TOPICS.events)),
    "a reader writes no events": (Role.READER, append_event),
    "a reader reads no audit": (Role.READER, read_the_audit),
    "a reader creates no topics": (Role.READER, lambda s: asyncio.to_thread(create_another, s)),
    "an API reads no audit": (Role.API, read_the_audit),
    "an API creates no topics": (Role.API, lambda s: asyncio.to_thread(create_another, s)),
    "an API changes no topics": (Role.API, mend(TOPICS.events)),
    "a processor writes no audit": (Role.PROCESSOR, write_to_audit),
    "a processor creates no topics": (Role.PROCESSOR, lambda s: asyncio.to_thread(create_another, s)),
    "an operator gives no rights": (Role.OPERATOR, lambda s: asyncio.to_thread(give_rights, s)),
}


def create_another(servers: Kafka) -> None:
    admin.create_topics(servers, Topics.named(f"other-{uuid4().hex[:8]}"), partitions=1, replication=1)


def give_rights(servers: Kafka) -> None:
    acl_admin.add(admin.connect(servers), [Acl("User:nobody", "topic", TOPICS.events, "Write")])


@pytest.mark.parametrize("what", REFUSED)
async def test_a_role_can_do_nothing_else(what: str, broker: SecuredKafka) -> None:
    role, attempt = REFUSED[what]
    with pytest.raises(PulpError, match=r"(?i)refuse|does not let|lacks a right|authoriz"):
        await attempt(broker.client(USERS[role]))


def own_token() -> str:
    now_s = time.time()
    return unsigned_token(sub="by-token", iat=now_s, exp=now_s + 3600)


class _Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"access_token": own_token(), "expires_in": 3600}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()


def login(way: str, broker: SecuredKafka, endpoint: str) -> tuple[str, dict[str, str]]:
    """A user's name, and the settings with which it logs in this way."""
    file = broker.token_settings("by-token")
    without = {key: value for key, value in file.items() if key != "PULP_KAFKA_OAUTH_TOKEN_FILE"}
    secret = {"PULP_KAFKA_OAUTH_CLIENT_ID": "c", "PULP_KAFKA_OAUTH_CLIENT_SECRET": "s"}
    match way:
        case "certificate":
            return "by-certificate", broker.mutual_settings("by-certificate")
        case "token file":
            return "by-token", file
        case "callback":
            return "by-token", {**without, "PULP_KAFKA_OAUTH_CALLBACK": f"{__name__}:own_token"}
        case "token endpoint":
            return "by-token", {**without, **secret, "PULP_KAFKA_OAUTH_TOKEN_URL": endpoint}
    user = "plain" if way == "PLAIN" else "nobody"
    return user, broker.settings(user, way)


@pytest.mark.parametrize(
    "way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "token file", "callback", "token endpoint", "certificate"]
)
async def test_each_kind_of_login_works_in_both_clients(way: str, broker: SecuredKafka, endpoint: str) -> None:
    user, env = login(way, broker, endpoint)
    servers = kafka(env)
    with pytest.raises(LogRefused, match="lacks a right"):  # the user is known, and may do nothing
        await read_events(servers)
    rules = {Acl(f"User:{user}", "topic", TOPICS.events, operation) for operation in ("Read", "Write")}
    connection = admin.connect(Kafka(broker.bootstrap, broker.operator))
    acl_admin.add(connection, rules)
    try:
        settle(broker, set(RULES) | rules)
        await append_event(servers)
        await read_events(servers)
        await read_as_processor(servers)
        named = {key: value for key, value in env.items() if key in KEYS}
        with subscribe(servers.bootstrap, security=named, prefix=PREFIX, follow=False) as events:
            assert list(events)
    finally:
        for rule in rules:
            acl_admin.remove(connection, rule)
        settle(broker, set(RULES))


@pytest.mark.parametrize("what", ["another authority", "no certificate"])
async def test_what_is_wrong_with_certificates_is_told_at_once(what: str, broker: SecuredKafka) -> None:
    if what == "another authority":
        env = broker.settings("nobody", PULP_KAFKA_CA=str(broker.another_authority))
    else:
        needed = ("PULP_KAFKA", "PULP_KAFKA_SECURITY_PROTOCOL", "PULP_KAFKA_CA")
        env = {key: value for key, value in broker.mutual_settings("nobody").items() if key in needed}
    with pytest.raises(LogRefused, match=r"no TLS connection .* PULP_KAFKA_CA .* PULP_KAFKA_CERTIFICATE"):
        await asyncio.to_thread(admin.describe, kafka(env), TOPICS.events, timeout_s=60)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
async def test_a_broker_that_hangs_up_may_ask_for_more(protocol: str, broker: SecuredKafka) -> None:
    env = {**broker.settings("nobody", PULP_KAFKA_SECURITY_PROTOCOL=protocol), "PULP_KAFKA_CA": ""}
    if protocol == "PLAINTEXT":
        env = {"PULP_KAFKA": broker.bootstrap}
    with pytest.raises(LogUnavailable, match=r"does it ask for TLS or a login\? See PULP_KAFKA_SECURITY_PROTOCOL"):
        await asyncio.to_thread(admin.describe, kafka(env), TOPICS.events, timeout_s=2)
