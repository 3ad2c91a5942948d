"""Calls one method of the released pulpcore-client, and prints what it returns.

Run by the Python of the environment that holds the library: URL NAME PASSWORD API METHOD JSON.
"""

import json
import sys
from importlib import import_module
from typing import Any

pulpcore: Any = import_module("pulpcore.client.pulpcore")  # of an environment that the tests are not checked in


def fields_of(found: Any) -> Any:
    """All fields of an answer; the newest release omits read-only ones from `to_dict`."""
    if hasattr(found, "model_dump"):
        return found.model_dump(mode="json")
    return found.to_dict() if hasattr(found, "to_dict") else found


def main(url: str, name: str, password: str, api: str, method: str, arguments: str) -> None:
    """Print the result, or the error, as JSON."""
    client = pulpcore.ApiClient(pulpcore.Configuration(host=url, username=name, password=password))
    given = json.loads(arguments)
    if "body" in given:
        kind, fields = given.pop("body")
        given[given.pop("as")] = getattr(pulpcore, kind)(**fields)
    try:
        found = getattr(getattr(pulpcore, api)(client), method)(**given)
        answer = {"result": fields_of(found)}
    except pulpcore.ApiException as error:
        answer = {"status": error.status, "body": error.body}
    print(json.dumps(answer, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
