"""A peer of `list`: a bare FastAPI handler on psycopg, with our authentication and our way of making JSON.

`bare PORT`, the database in PULP_POSTGRES.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from pulp_api.auth import Authenticator
from pulp_api.main import connection_pool
from pulp_api.respond import json
from pulp_api.v3_filters import condition_of
from pulp_api.v3_tasks import shape
from pulp_events.collecting import collect_seldom
from pulp_projections import queries


def build(postgres: str) -> FastAPI:
    """The app: GET /tasks gives the hundred youngest tasks that the query's filters let through, and no count."""
    pool = connection_pool(postgres, 8)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)
    authenticator = Authenticator(pool.connection)

    @app.get("/tasks")
    async def list_tasks(request: Request) -> Response:
        await authenticator.principal(request)
        conditions = [condition_of(name, [value]) for name, value in request.query_params.items()]
        async with pool.connection() as connection:
            rows = await queries.tasks(connection, conditions, limit=100)
        return json({"results": [shape(row) for row in rows]})

    return app


if __name__ == "__main__":
    application = build(os.environ["PULP_POSTGRES"])
    collect_seldom()
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
