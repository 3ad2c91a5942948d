"""The paths of the OpenAPI document: as hrefs, which pulp-cli needs, or with the ids in them. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pulp_api.v3.dialect import ROOT

_FOLDERS: Final = {
    "task_href": "tasks",
    "task_group_href": "task-groups",
    "task_schedule_href": "task-schedules",
    "subscription_href": "subscriptions",
    "dead_letter_href": "dead-letters",
    "worker_href": "workers",
    "operation_href": "operations",
    "auth_user_href": "users",
    "group_href": "groups",
    "token_href": "tokens",
    "subject_href": "subjects",
    "rpm_rpm_repository_href": "repositories/rpm/rpm",
}
_VERSION: Final = "rpm_rpm_repository_version_href"
_ID: Final = "pulp_id"
_PATTERNS: Final = {"dead_letter_href": "^[0-9]+:[0-9]+$"}
"""How an id is written where Pulp has no such thing: a dead letter is named by its PARTITION:OFFSET."""
_HREF: Final = re.compile(r"^\{(\w+)\}")


def by_ids(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The paths with `/pulp/api/v3/tasks/{pulp_id}/` instead of `{task_href}`, without hrefs that are not served."""
    found: dict[str, Any] = {}
    for path, calls in paths.items():
        match = _HREF.match(path)
        if match is None:
            found[path] = calls
        elif match[1] == _VERSION:
            root = f"{ROOT}/{_FOLDERS['rpm_rpm_repository_href']}/{{{_ID}}}/versions/{{number}}/"
            found[_HREF.sub(root, path)] = _with(calls, match[1], [_ID, "number"])
        elif match[1] in _FOLDERS:
            found[_HREF.sub(f"{ROOT}/{_FOLDERS[match[1]]}/{{{_ID}}}/", path)] = _with(calls, match[1], [_ID])
    return found


def _with(calls: Mapping[str, Any], href: str, names: list[str]) -> dict[str, Any]:
    """The calls with these parameters in place of the href."""
    return {
        method: {**call, "parameters": _parameters(call["parameters"], href, names)} for method, call in calls.items()
    }


def _parameters(parameters: list[dict[str, Any]], href: str, names: list[str]) -> list[dict[str, Any]]:
    pattern = {"pattern": _PATTERNS[href]} if href in _PATTERNS else {}
    found = []
    for each in parameters:
        if each["name"] == href:
            found += [{**each, "name": name, "schema": {**each["schema"], **pattern}} for name in names]
        else:
            found.append(each)
    return found
