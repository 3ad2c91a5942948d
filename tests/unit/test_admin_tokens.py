"""`pulp-admin tokens`: what a person sees, what a script gets, and that no token is in a command line."""

import json
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from pulp_admin.main import cli
from pulp_console.exits import DATA, USAGE

from tests.support import documented
from tests.support.admin import admin

SECRET = "pulp_7eqIzmYqM2Xk3b5m3Zk9y0n7R1s5T8u2W4x6Z0a1B2c"
ID = "e239ae4f-7fad-4004-bfb6-8e06f17d22ea"
TOKEN = {
    **{"pulp_href": f"/pulp/api/v3/tokens/{ID}/", "id": ID, "name": "ci", "user": "jo", "role": "submitter"},
    **{"pulp_created": "2026-11-24T12:00:00.000000Z", "expires_at": "2026-12-24T12:00:00.000000Z"},
    **{"last_used_at": None, "revoked_at": None, "revoked_by": None, "valid": True},
}
ROOT = "/pulp/api/v3/tokens/"


class Server:
    """Answers with one token, and records requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        match request.method, request.url.path:
            case "POST", _:
                return httpx.Response(201, json={**TOKEN, "token": SECRET})
            case "DELETE", _:
                return httpx.Response(200, json={**TOKEN, "revoked_at": TOKEN["pulp_created"], "valid": False})
            case _:
                return httpx.Response(200, json={"count": 1, "next": None, "previous": None, "results": [TOKEN]})


def test_a_new_token_is_all_of_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    arguments = ("tokens", "create", "--name", "ci", "--role", "submitter", "--expires", "90d")
    assert admin(tmp_path, server, *arguments) == 0
    assert server.asked == [
        ("POST", ROOT, {"name": "ci", "role": "submitter", "expires_in_seconds": 90 * 86_400}),
    ]
    said = capsys.readouterr()
    assert said.out == f"{SECRET}\n"
    assert "Token ci of jo, with the role submitter, until 2026-12-24T12:00:00Z." in said.err
    assert SECRET not in said.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text()]


@pytest.mark.parametrize("words", ["", "0s", "soon", "-1d", "999999999w", "1"])
def test_what_is_no_duration_is_refused_before_anything_is_asked(tmp_path: Path, words: str) -> None:
    server = Server()
    assert admin(tmp_path, server, "tokens", "create", "--name", "ci", "--expires", words) == USAGE
    assert server.asked == []


def test_a_list_has_a_line_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, Server(), "tokens", "list") == 0
    assert capsys.readouterr().out == (
        "NAME  USER  ROLE       CREATED               EXPIRES               LAST USED  ID"
        "                                    STATE\n"
        f"ci    jo    submitter  2026-11-24T12:00:00Z  2026-12-24T12:00:00Z  -          {ID}  valid\n"
    )
    assert admin(tmp_path, Server(), "--output", "json", "tokens", "list", "--all") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [TOKEN]
    documented.check("tokens list", found, "pulp-admin")
    assert admin(tmp_path, Server(), "--output", "json", "tokens", "create", "--name", "ci") == 0
    documented.check("tokens create", json.loads(capsys.readouterr().out), "pulp-admin")
    assert admin(tmp_path, Server(), "--output", "json", "tokens", "revoke", "--name", "ci", "--yes") == 0
    documented.check("tokens revoke", json.loads(capsys.readouterr().out), "pulp-admin")


def test_a_token_is_revoked_by_its_name_or_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (("--name", "ci"), ("--id", ID)):
        server = Server()
        assert admin(tmp_path, server, "tokens", "revoke", *option, "--yes") == 0
        assert server.asked[-1] == ("DELETE", f"{ROOT}{ID}/", {})
        assert capsys.readouterr().out == "revoked ci of jo\n"
    server = Server()
    assert admin(tmp_path, server, "tokens", "revoke", "--name", "none", "--yes") == DATA
    assert admin(tmp_path, server, "tokens", "revoke", "--id", "../tasks", "--yes") == 0
    assert server.asked[-1][1] == f"{ROOT}..%2Ftasks/"  # it leads to no other path
    assert admin(tmp_path, server, "tokens", "revoke", "--yes") == USAGE


def test_no_option_takes_a_token_since_others_see_command_lines() -> None:
    def commands(command: click.Command, context: click.Context) -> list[click.Command]:
        if not isinstance(command, click.Group):
            return [command]
        found = [command.get_command(context, name) for name in command.list_commands(context)]
        return [command, *(leaf for each in found if each is not None for leaf in commands(each, context))]

    options = {
        option for each in commands(cli, click.Context(cli)) for parameter in each.params for option in parameter.opts
    }
    assert {"--password-file", "--name"} <= options
    assert not {option for option in options if "token" in option and not option.endswith("-file")}
