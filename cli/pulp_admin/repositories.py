"""Repositories as the server reports them: found by id, and described for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pulp_console.exits import DATA
from pulp_console.groups import suggestion

from pulp_admin.errors import Failure
from pulp_admin.paths import ApiPath, api_path, id_in
from pulp_admin.words import state_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

ALL: Final = api_path("v3", "repositories")
COUNTS: Final = {
    "packages": "Packages",
    "errata": "Errata",
    "package_groups": "Package Groups",
    "modules": "Modules",
    "tree_files": "Tree Files",
}
"""What a sync counts, as printed."""


def find(client: "Client", repo_id: str) -> dict[str, Any]:
    """Return the repository. Raises `Failure`, which suggests a similar name."""
    if (found := client.named(ALL, repo_id)) is not None:
        return found
    names = [str(row["name"]) for row in client.pages(ALL, {"fields": "name"})]
    raise Failure(f"There is no repository {repo_id!r}.{suggestion(repo_id, names)} All: pulp-admin repo list", DATA)


def path_of(repository: Mapping[str, Any]) -> ApiPath:
    """Return the path of the repository on the server."""
    return api_path("v3", "repositories", "rpm", "rpm", id_in(repository["pulp_href"]))


def run_text(run: Mapping[str, Any] | None) -> str:
    """How the last task of a kind ended, and when; `-` for none."""
    if run is None:
        return "-"
    when = run["finished_at"] or run["started_at"] or run["submitted_at"]
    return f"{state_of(run['state']).guide} {_second(str(when))}"


def page(repository: Mapping[str, Any]) -> dict[str, Any]:
    """The fields shown for a repository, by key, in the order of its page."""
    content = repository["content"]
    return {
        "id": repository["name"],
        "display_name": repository["display_name"] or "-",
        "description": repository["description"] or "-",
        "feed": _feed(repository),
        "version": "-" if repository["version"] is None else repository["version"],
        **{name: content[name] for name in COUNTS if name in content},
        "last_sync": _run(repository["last_sync"]),
        "last_publish": _run(repository["last_publish"]),
        "created": f"{_second(repository['pulp_created'])} by {repository['created_by']}",
        "updated": f"{_second(repository['pulp_last_updated'])} by {repository['updated_by']}",
        "notes": repository["notes"],
        "sync_options": {name: value for name, value in repository["sync_options"].items() if name != "feed"},
        "publish_options": repository["publish_options"],
    }


def _feed(repository: Mapping[str, Any]) -> str:
    if repository["feed"] is None:
        return "-"
    return f"{repository['feed']}{' (of the last sync)' if repository['feed_source'] == 'sync' else ''}"


def _run(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "-"
    error = "" if run["error"] is None else f": {run['error']['description']}"
    return f"{run_text(run)}, task {id_in(run['task'])}{error}"


def _second(time: str) -> str:
    """A time to the second."""
    return time[:19] + "Z" if time[19:20] == "." else time
