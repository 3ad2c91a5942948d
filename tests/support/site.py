"""The API of one test: a log in memory, a real Postgres, and a projector that can be paused."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Json
from pulp_accounts.passwords import hash_password
from pulp_accounts.users import Role
from pulp_api.app import build
from pulp_api.auditing.audit import Audit
from pulp_api.fairness.connections import Connections
from pulp_api.front.limits import Limits
from pulp_api.logins.authenticator import Authenticator
from pulp_api.main import connection_pool
from pulp_api.service import Service
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.seats import Seats
from pulp_api.streaming.task_origins import TaskOrigins
from pulp_api.task_rights import TaskRights
from pulp_events.audit import AuditRecord
from pulp_events.codec import decode
from pulp_events.events import Event, RequestFacts, Resource
from pulp_events.filters import Origin
from pulp_events.ids import new_id
from pulp_events.memory import MemoryLog
from pulp_events.task import Position
from pulp_events.topics import partition_of
from pulp_projections.connection import connect
from pulp_projections.reading.positions import Positions
from pulp_projections.writing.projector import Projector

from tests.support.events import accepted

PARTITIONS = 4
ASKED = RequestFacts(authentication="basic", client=f"python-httpx/{httpx.__version__}")
"""What events record of a request of a site's clients."""
PASSWORD = "correct horse"
START_MS = 1_700_000_000_000
V2, V3 = "/pulp/api/v2", "/pulp/api/v3"
QUEUES = ("slow", "elsewhere")
"""The queues that tasks may be submitted to, besides the default one."""
FOR_EVER_S = 1e9
TEN_YEARS_S = 315_360_000

OPERATIONS: list[dict[str, Any]] = [
    {
        "name": "sync",
        "cancellable": True,
        "description": "Fetch a repository.",
        "resources": [
            {"type": "repository", "id": "{repo_id}", "access": "exclusive"},
            {"type": "content_unit", "id": "orphans", "access": "shared"},
        ],
        "tags": None,
    },
    {
        "name": "publish",
        "cancellable": False,
        "description": "",
        "resources": [],
        "tags": ["pulp:repository:{repo_id}"],
    },
    {
        "name": "remove-orphans",
        "cancellable": False,
        "description": "",
        "resources": [],
        "tags": ["pulp:content_unit:orphans"],
    },
]


class SiteLog(MemoryLog):
    """A log that can fail."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS, self._tick)
        self.fault: Exception | None = None
        """Raised by the next append instead of writing."""
        self.late_fault: Exception | None = None
        """Raised by the next append after writing."""
        self.after_append: Callable[[], Awaitable[None]] | None = None
        """Called once, when the next event is written but not yet acknowledged."""
        self.appended = asyncio.Event()
        self._now_ms = START_MS

    def _tick(self) -> int:
        self._now_ms += 1000
        return self._now_ms

    def next_at(self, time_ms: int) -> None:
        """The next event gets this time of the broker."""
        self._now_ms = time_ms - 1000

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        position = await super().append(event, partition)
        self.appended.set()
        meanwhile, self.after_append = self.after_append, None
        if meanwhile is not None:
            await meanwhile()
        fault, self.late_fault = self.late_fault, None
        if fault is not None:
            raise fault
        return position

    @property
    def events(self) -> list[Event]:
        """All that was appended, by partition."""
        found = [decode(record.key, record.value) for records in self.records for record in records]
        return [event for event in found if isinstance(event, Event)]


class Site:
    """API, log and database of a test; `client` is the admin's."""

    service: Service

    def __init__(self, database: str, app_client: httpx.AsyncClient, log: SiteLog, positions: Positions) -> None:
        self.database, self.client, self.log, self.positions = database, app_client, log, positions
        self.may_project = asyncio.Event()
        self.may_project.set()
        self.is_located = asyncio.Event()
        """Wait until the projector has read its positions; until then it needs Postgres, even if paused."""
        self.audited: list[AuditRecord] = []
        """The audit records so far."""
        self._projectors = [Projector(database, partition) for partition in range(PARTITIONS)]

    def as_user(self, name: str, password: str = PASSWORD) -> httpx.AsyncClient:
        """A client of another user, or without a login."""
        transport = self.client._transport
        auth = httpx.BasicAuth(name, password) if name else None
        return httpx.AsyncClient(transport=transport, base_url=self.client.base_url, auth=auth)

    async def add(self, event: Event, partition: int = 0) -> Position:
        """Append an event as another process would; it is projected when this returns, unless paused."""
        position = await self.log.append(event, partition)
        if self.may_project.is_set():
            await self.positions.reach({partition: position.offset + 1}, 10)
        return position

    async def task(self, operation: str = "sync", *, resources: tuple[Resource, ...] = (), **data: Any) -> UUID:
        """A task in the partition where the API would put it."""
        task_id = new_id()
        event = accepted(task_id, operation=operation, resources=resources, **data)
        await self.add(event, partition_of(task_id, resources, PARTITIONS))
        return task_id

    async def until(self, task_id: UUID, state: str) -> None:
        """Returns when the projection shows the task in this state."""
        seen = 0
        async with asyncio.timeout(20):
            while await self.execute("select state from tasks where task_id = %s", task_id) != [(state,)]:
                seen = await self.positions.changed(seen, 1)

    def partition_of(self, task_id: UUID, *resources: Resource) -> int:
        """The partition of a task's events."""
        return partition_of(task_id, resources, PARTITIONS)

    async def submit(self, body: dict[str, Any], **headers: str) -> UUID:
        """Submit as admin; the task's id."""
        answer = await self.client.post(f"{V3}/tasks/", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["task"].rstrip("/").rsplit("/", 1)[-1])

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of one's own to the database."""
        async with await connect(self.database, "test") as connection:
            yield connection

    async def execute(self, statement: str, *parameters: Any) -> list[Any]:
        """Rows, or []."""
        async with self.connect() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def cut_postgres(self) -> None:
        """End every connection to the database, and refuse new ones."""
        name = str(psycopg.conninfo.conninfo_to_dict(self.database)["dbname"])
        async with await psycopg.AsyncConnection.connect(self.database, dbname="postgres", autocommit=True) as server:
            await server.execute(SQL("alter database {} with allow_connections false").format(Identifier(name)))
            await server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    async def add_user(self, name: str, role: Role) -> None:
        """A user with `PASSWORD`."""
        await self.execute(
            "insert into users (name, password_hash, role) values (%s, %s, %s)", name, _hash(PASSWORD), role
        )

    async def project(self) -> None:
        """Write what arrives in the log, for ever."""
        try:
            for projector in self._projectors:
                await projector.locate()
            self.is_located.set()
            while True:
                await self.log.appended.wait()
                await self.may_project.wait()
                self.log.appended.clear()
                # Up to now: the projector may be paused while a partition is written.
                arrived = [list(records) for records in self.log.records]
                for projector, records in zip(self._projectors, arrived, strict=True):
                    if len(records) > projector.next_offset:
                        await projector.project(records[projector.next_offset :])
        finally:
            for projector in self._projectors:
                await projector.close()


async def no_origins(_: Collection[UUID]) -> Mapping[UUID, Origin]:
    """Nobody follows the events of a site."""
    return {}


@asynccontextmanager
async def site(
    database: str,
    *,
    unserved_s: float = FOR_EVER_S,
    is_scoped: bool = False,
    event_origin: str = "client",
    log: SiteLog | None = None,
) -> AsyncIterator[Site]:
    """A running site, without its event stream, which needs Kafka; by default the log is in memory."""
    log, positions, pool = log or SiteLog(), Positions(database), connection_pool(database, 4)
    told = TaskOrigins(positions, no_origins)
    hub = Hub("127.0.0.1:1", "events", b64encode(uuid4().bytes).decode()[:22], PARTITIONS, log.end_offsets, told)
    async with pool:
        await positions.start()
        service = Service(
            log=log,
            connections=Connections(pool),
            positions=positions,
            partitions=PARTITIONS,
            queues=QUEUES,
            unserved_s=unserved_s,
            listed_s=TEN_YEARS_S,  # the events of a site are old
        )
        audited: list[AuditRecord] = []
        audit = Audit(audited.append)
        authenticator = Authenticator(service.connection, audit, slow_s=0)
        rights = TaskRights(service.connection, is_scoped=is_scoped)
        app = build(service, authenticator, hub, audit, Seats(Limits()), task_rights=rights, event_origin=event_origin)
        transport = httpx.ASGITransport(app)
        auth = httpx.BasicAuth("admin", PASSWORD)
        async with httpx.AsyncClient(transport=transport, base_url="http://pulp", auth=auth) as client:
            made = Site(database, client, log, positions)
            made.service = service
            made.audited = audited
            await made.add_user("admin", Role.ADMIN)
            await made.execute("update dispatcher set renewed_at = 'infinity'")  # as if a processor ran all the time
            for row in OPERATIONS:
                await made.execute(
                    "insert into operations (name, cancellable, description, resources, tags, registered_by)"
                    " values (%s, %s, %s, %s, %s, 'w1')",
                    *(Json(value) if name == "resources" else value for name, value in row.items()),
                )
            projecting = asyncio.create_task(made.project())
            try:
                async with asyncio.timeout(20):
                    await made.is_located.wait()
                yield made
            finally:
                projecting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await projecting
                await positions.close()
                await hub.close()


@lru_cache
def _hash(password: str) -> str:
    return hash_password(password)
