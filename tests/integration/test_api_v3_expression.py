"""`q` in the v3 dialect: filters that NOT, AND, OR and parentheses join."""

import json
from uuid import uuid4

import pytest

from tests.support.events import accepted, finished, started
from tests.support.site import V3, Site

OPERATIONS = ("sync", "publish", "remove orphans")
FOUND: list[tuple[str, list[str]]] = [
    ("name=sync", ["sync"]),
    ("state=waiting", ["publish", "remove orphans"]),
    ("name=sync OR name=publish", ["sync", "publish"]),
    ('name="remove orphans"', ["remove orphans"]),
    ("name='remove orphans'", ["remove orphans"]),
    ("name = 'sync'", ["sync"]),
    ("name__in='sync,publish'", ["sync", "publish"]),
    ("NOT(name='sync')", ["publish", "remove orphans"]),
    ("", list(OPERATIONS)),
    ("  ", list(OPERATIONS)),
    ("name='it''s' OR name='sync'", ["sync"]),
    (r"name='a\'b' OR name='sync'", ["sync"]),
    ("NOT name=sync", ["publish", "remove orphans"]),
    ("NOT NOT name=sync", ["sync"]),
    ("state=waiting AND name__contains=pub", ["publish"]),
    # NOT binds before AND, AND before OR, whatever stands first.
    ("name=sync OR state=waiting AND name=sync", ["sync"]),
    ("(name=sync OR state=waiting) AND NOT name=sync", ["publish", "remove orphans"]),
    ("NOT (name=sync OR name=publish)", ["remove orphans"]),
    # An unknown value is not later than anything, so NOT finds it.
    ("NOT started_at__gt=2000-01-01T00:00:00Z", ["publish", "remove orphans"]),
    ("name__in=sync,publish AND state__ne=completed", ["publish"]),
    (" OR ".join(f"name={index}" for index in range(6)) + " OR name=sync", ["sync"]),
]
SYNTAX, COMPLEX = "Syntax error in expression.", "Filter expression exceeds allowed complexity."
REFUSED = [
    ("bogus=1", "Filter 'bogus' does not exist."),
    ("Bogus='1'", "Filter 'Bogus' does not exist."),
    ("q=1", "You cannot use 'q' in complex filtering."),
    ("ordering=name", "An ordering filter cannot be used in complex filtering."),
    ("name='sync", SYNTAX),
    ("'name'=sync", SYNTAX),
    ("name", SYNTAX),
    ("name=", SYNTAX),
    ("name=sync name=sync", SYNTAX),
    ("name=sync AND", SYNTAX),
    ("NOT", SYNTAX),
    ("(name=sync", SYNTAX),
    ("name=sync)", SYNTAX),
    ('name="sync', SYNTAX),
    ("name=sync; drop table tasks", SYNTAX),
    (" OR ".join(["name=sync"] * 8), COMPLEX),
    ("(" * 5000 + "name=sync" + ")" * 5000, COMPLEX),
]


async def shown(api: Site, **query: str) -> list[str]:
    answer = await api.client.get(f"{V3}/tasks/", params={"ordering": "pulp_created", **query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == len(answer.json()["results"])
    return [task["name"] for task in answer.json()["results"]]


async def test_an_expression(api: Site) -> None:
    for operation in OPERATIONS:
        event = accepted(uuid4(), operation=operation)
        await api.add(event, 1)
        if operation == "sync":
            await api.add(started(event.task_id), 1)
            await api.add(finished(event.task_id), 1)
    for expression, names in FOUND:
        assert await shown(api, q=expression) == names, expression
    assert await shown(api, q="name=sync OR state=waiting", name="publish") == ["publish"]


@pytest.mark.parametrize(("expression", "message"), REFUSED)
async def test_a_bad_expression_is_answered_as_pulp_does(api: Site, expression: str, message: str) -> None:
    answer = await api.client.get(f"{V3}/tasks/", params={"q": expression})
    assert (answer.status_code, answer.json()) == (400, {"q": [message]})


async def test_a_bad_value_in_an_expression_is_named(api: Site) -> None:
    answer = await api.client.get(f"{V3}/tasks/", params={"q": "name=sync AND state=nope"})
    assert answer.status_code == 400
    message = "Select a valid choice. nope is not one of the available choices."
    [text] = answer.json()["q"]
    assert json.loads(text) == {"state": [{"message": message, "code": "invalid_choice"}]}
    answer = await api.client.get(f"{V3}/tasks/", params={"q": "task_group=garbage"})
    assert (answer.status_code, answer.json()) == (400, ["URI couldn't be resolved: garbage"])
