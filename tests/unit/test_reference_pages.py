"""The generated pages of docs/reference match the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pulp_api.app import routes
from pulp_api.openapi.page import meaning_of
from pulp_deploy.reference import PAGES, differences, write
from pulp_deploy.reference.commands import contexts
from pulp_deploy.reference.events import example
from pulp_deploy.reference.exit_codes import KINDS
from pulp_deploy.reference.handlers import Access, access_of, status_of
from pulp_deploy.reference.http import documented
from pulp_events.codec import EVERY_TYPE, decode, type_of
from pulp_events.events import Event

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
ROUTES = {(method, route.path): route for route in routes() for method in route.methods or ()}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_that_of_the_code(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run python -m pulp_deploy.reference --write"


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"description": "Why.", "maxLength": 1024}, "Why. At most 1024 characters."),
        ({"description": "UUIDs", "maxItems": 10}, "UUIDs; at most 10 items"),
        ({"minimum": 1, "maximum": 9, "default": 5}, "at least 1; at most 9; default 5"),
        ({"description": "Refused.", "enum": [None]}, "Refused. Only null."),
        ({"enum": ["skip", 0, None], "default": "skip"}, 'one of skip, 0, null; default "skip"'),
    ],
)
def test_limits_of_a_value_are_told_in_words(schema: dict[str, Any], told: str) -> None:
    assert meaning_of(schema) == told


def test_a_page_that_differs_or_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, tmp_path / "names.txt")
    assert differences(tmp_path, tmp_path / "names.txt") == []
    (tmp_path / "http.md").write_text("# HTTP\n")
    (tmp_path / "events.md").unlink()
    assert differences(tmp_path, tmp_path / "names.txt") == [tmp_path / "events.md", tmp_path / "http.md"]


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each[1].startswith("/pulp/api/v3/")])
def test_what_a_handler_says_agrees_with_the_openapi_document(method: str, path: str) -> None:
    call, route = documented(method, path), ROUTES[method, path]
    assert call is not None
    answers = call["responses"].keys()
    assert str(status_of(route)) in answers
    access = access_of(route)
    assert (access not in (Access.ANYONE, Access.USER)) == ("403" in answers)
    assert (access is Access.ANYONE) == ("security" not in call)


@pytest.mark.parametrize(
    ("method", "path", "access", "status"),
    [
        ("GET", "tasks/", Access.USER, 200),
        ("POST", "tasks/search/", Access.USER, 200),
        ("DELETE", "tasks/{task_id}/", Access.OPERATOR, 202),
        ("DELETE", "content/orphans/", Access.SUBMITTER, 202),
        ("POST", "repositories/", Access.SUBMITTER, 201),
        ("PUT", "repositories/{repo_id}/", Access.SUBMITTER, 200),
        ("DELETE", "repositories/{repo_id}/", Access.SUBMITTER, 202),
        ("POST", "repositories/{repo_id}/actions/{action}/", Access.SUBMITTER, 202),
        ("GET", "", Access.ANYONE, 200),
    ],
)
def test_who_may_use_a_route_of_v2_and_what_it_answers(method: str, path: str, access: Access, status: int) -> None:
    route = ROUTES[method, f"/pulp/api/v2/{path}"]
    assert (access_of(route), status_of(route)) == (access, status)


def test_every_route_and_command_is_in_its_page() -> None:
    http, commands = PAGES["http.md"](), PAGES["commands.md"]()
    for method, path in ROUTES:
        assert re.search(rf"(### |`){method} {re.escape(path)}[`\n]", http), (method, path)
    paths = [context.command_path for context in contexts()]
    assert re.findall(r"^##+ (pulp-.*)$", commands, re.MULTILINE) == paths
    assert len(paths) > 60


@pytest.mark.parametrize("wire_type", EVERY_TYPE.values())
def test_the_example_of_an_event_is_one(wire_type: str) -> None:
    shown = example(wire_type)
    event = decode(shown["subject"].encode(), json.dumps(shown).encode())
    assert isinstance(event, Event)
    assert type_of(event) == wire_type
    assert f"## {wire_type}\n" in PAGES["events.md"]()


def test_every_exit_code_of_the_page_has_a_meaning() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|(.*)\|$", PAGES["exit-codes.md"](), re.MULTILINE)
    assert {int(code) for code, _, _ in rows} >= KINDS.keys()
    assert all(re.search(r"\w", meanings) for _, _, meanings in rows)
