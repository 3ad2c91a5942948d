"""Calls methods of the released pubtools-pulplib, and prints what they return.

Run by the Python of the environment that holds the library: URL NAME PASSWORD METHOD JSON.
"""

import json
import sys
from importlib import import_module
from typing import Any

pulplib: Any = import_module("pubtools.pulplib")  # of an environment that the tests are not checked in


def repository(client: Any, repo_id: str) -> dict[str, Any]:
    """A repository, as the client understood it."""
    found = client.get_repository(repo_id).result()
    return {
        "id": found.id,
        "class": type(found).__name__,
        "relative_url": found.relative_url,
        "distributors": [each.id for each in found.distributors],
    }


def repositories(client: Any, pattern: str) -> list[str]:
    """The repositories whose id matches."""
    criteria = pulplib.Criteria.with_field("id", pulplib.Matcher.regex(pattern))
    return [each.id for each in client.search_repository(criteria).result()]


def sync(client: Any, repo_id: str, feed: str) -> list[dict[str, Any]]:
    """Sync, and wait, as the client does."""
    options = pulplib.YumSyncOptions(feed=feed, ssl_validation=False)
    return shown(client.get_repository(repo_id).sync(options).result())


def publish(client: Any, repo_id: str, force: bool) -> list[dict[str, Any]]:
    """Publish, and wait, as the client does."""
    options = pulplib.PublishOptions(force=True) if force else pulplib.PublishOptions()
    return shown(client.get_repository(repo_id).publish(options).result())


def delete(client: Any, repo_id: str) -> list[dict[str, Any]]:
    """Delete, and wait as the client does."""
    return shown(client.get_repository(repo_id).delete().result())


def tasks(client: Any, tag: str) -> list[dict[str, Any]]:
    """The tasks with a tag that have succeeded or failed."""
    ended = pulplib.Criteria.or_(
        pulplib.Criteria.with_field("state", "finished"),
        pulplib.Criteria.with_field("state", pulplib.Matcher.in_(["error", "canceled"])),
    )
    criteria = pulplib.Criteria.and_(ended, pulplib.Criteria.with_field("tags", pulplib.Matcher.in_([tag])))
    return shown(client.search_task(criteria).result())


def types(client: Any) -> list[str]:
    """The content types that the server has."""
    return list(client.get_content_type_ids().result())


def note(client: Any, repo_id: str, version: str) -> list[str]:
    """Change a note of a repository, and read it again."""
    evolve = import_module("attr").evolve
    found = client.get_repository(repo_id).result()
    client.update_repository(evolve(found, product_versions=[version])).result()
    return list(client.get_repository(repo_id).result().product_versions)


def shown(found: Any) -> list[dict[str, Any]]:
    """Tasks, as the client understood them."""
    return [
        {
            "id": each.id,
            "completed": each.completed,
            "succeeded": each.succeeded,
            "repo_id": each.repo_id,
            "error": each.error_summary,
            "details": each.error_details,
        }
        for each in found
    ]


def main(url: str, name: str, password: str, method: str, arguments: str) -> None:
    """Print the result, or the error, as JSON."""
    with pulplib.Client(url, auth=(name, password)) as client:
        try:
            answer = {"result": globals()[method](client, *json.loads(arguments))}
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
