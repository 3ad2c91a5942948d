"""Shell completion of ids, operations, queues, workers and states. Offers nothing if the server does not answer."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import click
from click.shell_completion import CompletionItem
from pulp_console.escaping import one_line

from pulp_admin.app import App
from pulp_admin.config import read_config
from pulp_admin.paths import ApiPath, api_path
from pulp_admin.words import STATES, state_of

_TIMEOUT_S: Final = 1.5
_MOST: Final = 50


def task_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest tasks."""
    return _tasks(context, incomplete, {})


def unfinished_task_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest tasks that have not ended."""
    return _tasks(context, incomplete, {"state__in": "waiting,running,canceling"})


def operations(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Operations that can be submitted."""
    found = _results(context, api_path("v3", "operations"), {})
    return [
        CompletionItem(row["name"], help=one_line(row["description"]))
        for row in found
        if str(row["name"]).startswith(incomplete)
    ]


def arguments(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`NAME=` for each argument not given yet, and the values of an argument that has only a few."""
    name, equals, begun = incomplete.partition("=")
    found = operation(context, str(context.params.get("operation") or ""))
    parameters = (found or {}).get("parameters") or []
    if equals:
        kinds = [str(each["type"]) for each in parameters if each["name"] == name]
        values = [value for kind in kinds for value in ("true|false" if kind == "boolean" else kind).split("|")]
        return [CompletionItem(f"{name}={value}") for value in values if len(values) > 1 and value.startswith(begun)]
    given = {pair.partition("=")[0] for pair in context.params.get("pairs") or ()}
    return [
        CompletionItem(f"{each['name']}=", help=one_line(each["description"] or each["expected"]))
        for each in parameters
        if each["name"] not in given and each["name"].startswith(name)
    ]


def operation(context: click.Context, name: str) -> dict[str, Any] | None:
    """The server's description of one operation, if it answers quickly."""
    try:
        found = _answer(context, api_path("v3", "operations", name), {})
    except Exception:  # completion prints no message: the command itself will report the error
        return None
    return found if isinstance(found, dict) and "parameters" in found else None


def repositories(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """All repositories."""
    begun = {"name__startswith": incomplete} if incomplete else {}
    found = _results(context, api_path("v3", "repositories"), {**begun, "limit": _MOST, "fields": "name"})
    return [CompletionItem(one_line(str(row["name"]))) for row in found]


def named(context: click.Context, path: ApiPath, incomplete: str) -> list[CompletionItem]:
    """The items of a list, by name."""
    found = _results(context, path, {"limit": _MOST, "fields": "name", "ordering": "name"})
    names = [one_line(str(row["name"])) for row in found]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def workers(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The workers that are online."""
    names = sorted({str(row["name"]) for row in _online(context)})
    return [CompletionItem(one_line(name)) for name in names if name.startswith(incomplete)]


def dead_letters(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The positions of dead letters, the newest first."""
    found = _results(context, api_path("v3", "dead-letters"), {"limit": _MOST})
    return [
        CompletionItem(row["position"], help=one_line(str(row["reason"])))
        for row in found
        if str(row["position"]).startswith(incomplete)
    ]


def queues(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The queues that workers serve."""
    names = sorted({str(name) for row in _online(context) for name in row["queues"]})
    return [CompletionItem(one_line(name)) for name in names if name.startswith(incomplete)]


def states(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The guide's words for states; after a comma, all of them again."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(before + comma + state.guide)
        for state in STATES
        if state.guide.lower().startswith(last.strip().lower())
    ]


def _tasks(context: click.Context, incomplete: str, params: Mapping[str, str]) -> list[CompletionItem]:
    begun = {"pulp_id__startswith": incomplete} if incomplete else {}
    wanted = {**params, **begun, "ordering": "-pulp_created", "limit": _MOST, "fields": "pulp_href,name,state"}
    return [
        CompletionItem(
            row["pulp_href"].rstrip("/").rsplit("/", 1)[-1],
            help=one_line(f"{row['name']} {state_of(row['state']).guide}"),
        )
        for row in _results(context, api_path("v3", "tasks"), wanted)
    ]


def _online(context: click.Context) -> list[dict[str, Any]]:
    return _results(context, api_path("v3", "workers"), {"online": "true", "limit": 1000})


def _results(context: click.Context, path: ApiPath, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Request one page, once: completion must not wait, and prints no message."""
    try:
        return list(_answer(context, path, params)["results"])
    except Exception:  # as above
        return []


def _answer(context: click.Context, path: ApiPath, params: Mapping[str, Any]) -> Any:
    root = context.find_root()
    if isinstance(root.obj, App) and root.obj.make_client is not None:
        return root.obj.client.get(path, params)
    from pulp_admin.connection import Connection

    config, _ = read_config(root.params, os.environ)
    return Connection(replace(config, timeout_s=_TIMEOUT_S)).http.get(path, params=dict(params)).json()
