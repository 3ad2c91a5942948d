"""Calls methods of the released pulp-glue, and prints what they return.

Run by the Python of the environment that holds the library: URL NAME PASSWORD SECONDS METHOD JSON. SECONDS limits each
wait; 0 waits for nothing, as `background_tasks` does.
"""

import json
import sys
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

context: Any = import_module("pulp_glue.common.context")  # of an environment that the tests are not checked in
core: Any = import_module("pulp_glue.core.context")

ENTITIES = {
    "task": core.PulpTaskContext,
    "task-group": core.PulpTaskGroupContext,
    "worker": core.PulpWorkerContext,
    "group": core.PulpGroupContext,
    "user": core.PulpUserContext,
    "artifact": core.PulpArtifactContext,
}


def listed(server: Any, kind: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The entities of a kind that match the parameters."""
    return list(ENTITIES[kind](server).list(limit=10, offset=0, parameters=parameters))


def every_page(server: Any, kind: str) -> int:
    """How many entities there are, from reading all pages."""
    return len(ENTITIES[kind](server).list(limit=sys.maxsize, offset=0, parameters={}))


def shown(server: Any, kind: str, href: str) -> dict[str, Any]:
    """One entity, by its href."""
    return dict(ENTITIES[kind](server, pulp_href=href).entity)


def found(server: Any, kind: str, by: dict[str, Any]) -> str:
    """The href of the one entity with these properties."""
    return str(ENTITIES[kind](server, entity=by).pulp_href)


def wait(server: Any, href: str) -> dict[str, Any]:
    """The task once it has ended."""
    return dict(server.wait_for_task(core.PulpTaskContext(server, pulp_href=href).entity))


def wait_for_group(server: Any, href: str) -> None:
    """Wait until every task of the group has ended."""
    server.wait_for_task_group(core.PulpTaskGroupContext(server, pulp_href=href).entity)


def cancel(server: Any, href: str, background: bool) -> str:
    """The state of a task after its cancel."""
    return str(core.PulpTaskContext(server, pulp_href=href).cancel(background=background)["state"])


def delete(server: Any, href: str) -> None:
    """Delete a task."""
    core.PulpTaskContext(server, pulp_href=href).delete()


def purge(server: Any, days: int, states: list[str]) -> dict[str, Any]:
    """The task of a purge, once it has ended."""
    before = datetime.now().astimezone() - timedelta(days=days)
    return dict(core.PulpTaskContext(server).purge(before, states))


def clean_up_orphans(server: Any) -> dict[str, Any]:
    """The task of a removal of orphans, once it has ended."""
    return dict(core.PulpOrphanContext(server).cleanup())


def summary(server: Any) -> dict[str, int]:
    """How many tasks are in each state."""
    return dict(core.PulpTaskContext(server).summary())


def permissions(server: Any, href: str) -> list[str]:
    """What the caller may do with a task."""
    return list(core.PulpTaskContext(server, pulp_href=href).my_permissions()["permissions"])


def change_role(server: Any, href: str, change: str, user: str) -> list[dict[str, Any]]:
    """The roles on a task after `add_role` or `remove_role` for a user."""
    task = core.PulpTaskContext(server, pulp_href=href)
    getattr(task, change)("core.task_viewer", [user], [])
    return list(task.list_roles()["roles"])


def _login(name: str, password: str) -> Any:
    """Older releases have the class in another module."""
    modules = [import_module(f"pulp_glue.common.{each}") for each in ("openapi", "authentication")]
    [kind] = {each.BasicAuthProvider for each in modules if hasattr(each, "BasicAuthProvider")}
    return kind(username=name, password=password)


def main(url: str, name: str, password: str, seconds: str, method: str, arguments: str) -> None:
    """Print the result, or the error, as JSON."""
    login = _login(name, password)
    server = context.PulpContext(
        api_root="/pulp/",
        api_kwargs={"base_url": url, "auth_provider": login, "refresh_cache": True},
        background_tasks=seconds == "0",
        timeout=int(seconds),
    )
    try:
        answer = {"result": globals()[method](server, *json.loads(arguments))}
    except (context.PulpException, context.PulpNoWait) as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print("\n" + json.dumps(answer, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
