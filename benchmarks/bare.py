"""The peer of `list` and `submit`: bare FastAPI handlers, with our authentication and our JSON.

`bare PORT`, the rest in PULP_POSTGRES, PULP_KAFKA and PULP_TOPIC_PREFIX.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI, Request, Response
from pulp_api.auditing.audit import Audit
from pulp_api.logins.authenticator import Authenticator
from pulp_api.main import connection_pool
from pulp_api.respond import json
from pulp_api.submitting import submission
from pulp_api.v3.filters import TASK_FILTERS
from pulp_api.v3.tasks import shape
from pulp_events.events import Accepted, Event
from pulp_events.ids import new_id
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_projections.reading import queries
from pulp_runtime.gc_tuning import collect_seldom

from benchmarks.scene import PARTITIONS


def build(postgres: str, kafka: str, topic: str) -> FastAPI:
    """The app. GET /tasks returns the hundred newest matching tasks, without a count. POST answers once the event is
    in the log, and validates nothing.
    """
    pool = connection_pool(postgres, 8)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.log = log = KafkaLog(kafka, topic, PARTITIONS)
        await log.start()
        async with pool:
            yield
        await log.close()

    app = FastAPI(lifespan=lifespan)
    authenticator = Authenticator(pool.connection, Audit(lambda record: None))

    @app.get("/tasks")
    async def list_tasks(request: Request) -> Response:
        await authenticator.principal(request)
        conditions = [TASK_FILTERS.condition(name, [value]) for name, value in request.query_params.items()]
        async with pool.connection() as connection:
            rows = await queries.tasks(connection, conditions, limit=100)
        return json({"results": [shape(row, None) for row in rows]})

    @app.post("/pulp/api/v3/tasks/")
    async def submit_task(request: Request) -> Response:
        principal = await authenticator.principal(request)
        wanted = submission.parse(await request.body())
        data = Accepted(operation=wanted.operation, resources=wanted.resources or ())
        event = Event(id=new_id(), task_id=new_id(), time=datetime.now(UTC), actor=principal.actor, data=data)
        log: KafkaLog = app.state.log
        await log.append(event, event.task_id.int % PARTITIONS)
        return json({"task": str(event.task_id)}, 202)

    return app


if __name__ == "__main__":
    topics = Topics.named(os.environ["PULP_TOPIC_PREFIX"])
    application = build(os.environ["PULP_POSTGRES"], os.environ["PULP_KAFKA"], topics.events)
    collect_seldom()
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
