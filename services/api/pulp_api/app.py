"""The application: its routes, what answers an error, and what holds for every request."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pulp_runtime.preconditions.watch import Watch
from starlette.exceptions import HTTPException

from pulp_api import argument_failures, failures
from pulp_api import root_pages as front
from pulp_api.auditing.audit import Audit
from pulp_api.edge import Edge
from pulp_api.failures import FieldErrors
from pulp_api.limiting.quotas import Quotas
from pulp_api.logins.auth import Authenticator
from pulp_api.repositories import Repositories
from pulp_api.service import Service
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.seats import Seats
from pulp_api.submitting.arguments import BadArguments
from pulp_api.submitting.remembering import NotThereYet
from pulp_api.submitting.repository_bodies import BadRepository
from pulp_api.v2 import repositories as v2_repositories
from pulp_api.v2 import routes as v2
from pulp_api.v3 import events as v3_events
from pulp_api.v3 import operations as v3_operations
from pulp_api.v3 import repositories as v3_repositories
from pulp_api.v3 import routes as v3
from pulp_api.v3 import system as v3_system
from pulp_api.v3 import workers as v3_workers


def build(
    service: Service,
    authenticator: Authenticator,
    hub: Hub,
    audit: Audit,
    seats: Seats,
    watch: Watch | None = None,
    *,
    quotas: Quotas | None = None,
    has_access_log: bool = False,
    hsts_s: int = 0,
) -> FastAPI:
    """The API over its parts; the options are those of `Edge`. Without a watch nothing is told of preconditions.

    Without `quotas` the default ones count.
    """
    parts = (v3, v2, v3_events, v3_workers, v3_operations, v3_repositories, v2_repositories, v3_system, front)
    routers = [*(part.router for part in parts), front.outside]
    # In one list: a router that is included looks for its route twice, for every request.
    routes = [route for router in routers for route in router.routes]
    app = FastAPI(routes=routes, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.service, app.state.authenticator, app.state.hub = service, authenticator, hub
    app.state.audit, app.state.seats, app.state.watch = audit, seats, watch
    app.state.quotas = quotas or Quotas(service.connection, {}, audit)
    app.state.repositories = Repositories(service.connection, audit)
    for kind, _ in failures.STATUS:
        app.add_exception_handler(kind, failures.failed)
    app.add_exception_handler(BadArguments, argument_failures.bad_arguments)
    app.add_exception_handler(BadRepository, argument_failures.bad_repository)
    app.add_exception_handler(NotThereYet, argument_failures.not_there_yet)
    app.add_exception_handler(FieldErrors, failures.bad_fields)
    app.add_exception_handler(RequestValidationError, failures.bad_parameters)
    app.add_exception_handler(HTTPException, failures.http_failed)
    app.add_middleware(Edge, has_access_log=has_access_log, hsts_s=hsts_s)
    return app
