"""Reads Pulp 2's repository bodies: importer and distributor settings become arguments of tasks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pulp_api.submitting.arguments import Problem
from pulp_api.submitting.repository_bodies import BadRepository, Change, change_of

IMPORTER: Final = "yum_importer"
DISTRIBUTOR: Final = "yum_distributor"
KIND: Final = {"_repo-type": "rpm-repo"}
"""The note by which Pulp 2's client recognizes an RPM repository: always shown, never stored."""
_FROM_PULP_2: Final = {"feed_url": "feed", "ssl_validation": "verify_tls", "max_downloads": "concurrency"}
"""Field of an importer's configuration → the equivalent argument of `sync`."""
_REMOVES: Final = "remove_missing"
"""Whether a sync removes packages that the feed no longer has: the argument `mode` of `sync`."""


def created(repo_id: str, body: Mapping[str, Any]) -> Change:
    """Read the body of a creation. Raises `BadRepository`, which names the refused fields."""
    _only(
        body,
        *("id", "display_name", "description", "notes"),
        *("importer_type_id", "importer_config", "distributors"),
    )
    if body.get("importer_type_id") not in (None, IMPORTER):
        raise BadRepository([Problem("importer_type_id", f"{IMPORTER!r} is the only one here", "invalid")])
    said = {name: body[name] for name in ("display_name", "description", "notes") if name in body}
    configs = {
        str(each.get("distributor_type_id") or each.get("distributor_type")): each.get("distributor_config")
        for each in _list(body, "distributors")
    }
    return _change(repo_id, said, {**body, "distributor_configs": configs})


def updated(repo_id: str, body: Mapping[str, Any]) -> Change:
    """Read the body of an update. Raises `BadRepository`."""
    _only(body, "delta", "importer_config", "distributor_configs")
    return _change(repo_id, _part(body, "delta"), body)


def _change(repo_id: str, said: Mapping[str, Any], body: Mapping[str, Any]) -> Change:
    _only(said, "display_name", "description", "notes")
    config = _part(body, "importer_config")
    known = _arguments_of(config)
    wanted: dict[str, Any] = {**said}
    if isinstance(said.get("notes"), dict):
        wanted["notes"] = {name: value for name, value in said["notes"].items() if name not in KIND}
    if "feed" in known:
        wanted["feed"] = known.pop("feed")
    if known:
        wanted["sync_options"] = known
    distributor = _part(_part(body, "distributor_configs"), DISTRIBUTOR)
    where = distributor.get("relative_url")
    if where is not None and str(where).strip("/") != repo_id:
        message = f"a repository is published under its id, {repo_id!r}: leave it out"
        raise BadRepository([Problem("relative_url", message, "invalid")])
    return change_of(wanted)


def _mode(removes_missing: object) -> str:
    if not isinstance(removes_missing, bool):
        raise BadRepository([Problem(_REMOVES, "true or false is expected", "invalid")])
    return "mirror" if removes_missing else "additive"


def _only(body: Mapping[str, Any], *known: str) -> None:
    unknown = [
        Problem(name if name.isidentifier() else "...", "unexpected field", "unknown")
        for name in body
        if name not in known
    ]
    if unknown:
        raise BadRepository(unknown)


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRepository([Problem(name, "an object is expected", "invalid")])
    return found


def _list(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = body.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadRepository([Problem(name, "a list of objects is expected", "invalid")])
    return found


def run_arguments(action: str, override: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one `sync` or `publish`, of its `override_config`. Raises `BadRepository`.

    As in Pulp 2, an option that is null is not given, nor is an empty feed. `force_full` changes nothing: each publish
    writes everything, and each sync looks for what the store lacks, also where the feed is unchanged.
    """
    given = {name: value for name, value in override.items() if value is not None and name != "force_full"}
    if action != "sync":
        return given
    arguments = _arguments_of(given)
    if arguments.get("feed") == "":
        del arguments["feed"]
    return arguments


def _arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `sync` in an importer's configuration."""
    found = {_FROM_PULP_2.get(name, name): value for name, value in config.items() if name != _REMOVES}
    if config.get(_REMOVES) is not None:
        found["mode"] = _mode(config[_REMOVES])
    return found
