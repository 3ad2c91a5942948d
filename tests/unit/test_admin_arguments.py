"""`pulp-admin` uses the declared arguments of an operation: types, checks, help, completion, pages."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import pytest
from click.shell_completion import ShellComplete
from msgspec import Meta, Struct
from pulp_admin.app import App
from pulp_admin.arguments import given_arguments, problem_with, typed
from pulp_admin.main import cli
from pulp_api.submitting.arguments import InvalidArguments, checker
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import Context, Operation, operation

from tests.support.admin import admin, client_of
from tests.support.declared import body_of, row_of
from tests.support.documented import check

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
FEED = "https://example.org/repos/zoo/"


class Odd(Struct, kw_only=True):
    count: int | None = None
    ratio: float = 1.0
    names: list[str] = []  # msgspec copies it
    mode: Literal["fast", "safe"] = "fast"
    either: int | str = 0
    sure: Annotated[bool, Meta(description="Whether it is.")] = False


@operation("odd", arguments=Odd)
async def odd(context: Context[Odd]) -> None:
    """Does odd things."""


class Nothing(Struct):
    pass


@operation("idle", arguments=Nothing)
async def idle(context: Context[Nothing]) -> None: ...


@operation("free")
async def free(context: Context) -> None: ...


@pytest.fixture
def server() -> "Server":
    return Server(sync, publish, remove_orphans, odd, idle, free)


class Server:
    """A server with operations; it records submissions."""

    def __init__(self, *operations: Operation) -> None:
        self.bodies = {each.name: body_of(each) for each in operations}
        self.submitted: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.refusal: dict[str, Any] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            name = request.url.path.rstrip("/").rsplit("/", 1)[-1]
            if name == "operations":
                return httpx.Response(200, json={"count": 6, "next": None, "results": list(self.bodies.values())})
            if name == ID:
                return httpx.Response(200, json={"task_id": ID, "task_type": "sync"})
            known = self.bodies.get(name)
            return httpx.Response(404, json={"detail": "none"}) if known is None else httpx.Response(200, json=known)
        if self.refusal is not None:
            return httpx.Response(400, json=self.refusal)
        self.submitted.append(json.loads(request.content))
        told = {"warnings": self.warnings} if self.warnings else {}
        return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/", **told})


def words(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--argument", pair)]


@pytest.mark.parametrize(
    ("name", "pair", "value"),
    [
        ("sync", "concurrency=8", 8),
        ("sync", "verify_tls=false", False),
        ("sync", "verify_tls=Yes", True),
        ("sync", "repo_id=8", "8"),
        ("sync", "retention=3", 3),
        ("sync", "allow_shrink=true", True),
        ("odd", "count=-3", -3),
        ("odd", "count=null", None),
        ("odd", "ratio=2", 2),
        ("odd", "ratio=1e-3", 0.001),
        ("odd", 'names=["a", "b"]', ["a", "b"]),
        ("odd", "names:=[]", []),
        ("odd", "either=7", "7"),
        ("odd", "either:=7", 7),
        ("odd", "mode=safe", "safe"),
        ("free", "x=7", "7"),
        ("free", "x:=7", 7),
        ("not-known-here", "x=7", "7"),
    ],
)
def test_a_text_becomes_what_the_operation_declares(
    tmp_path: Path, server: Server, name: str, pair: str, value: object
) -> None:
    needed = {"sync": ["repo_id=zoo"]}.get(name, [])
    assert admin(tmp_path, server, "submit", name, *words(*needed, pair)) == 0
    [body] = server.submitted
    given = body["arguments"][pair.partition("=")[0].rstrip(":")]
    assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(
    ("of", "pairs"),
    [
        (sync, []),
        (sync, ["repo_id=zoo", "fed=x"]),
        (sync, ["repo_id=zoo", "conc=8"]),
        (sync, ["repo_id=zoo", "concurrency=many"]),
        (sync, ["repo_id=zoo", "verify_tls=1"]),
        (sync, ["repo_id:=7", "feed:=null", "concurrency:=1.5"]),
        (sync, ["concurrency=x", "nothing=1"]),
        (publish, ["repo_id=zoo", "packages_url:=7"]),
        (remove_orphans, ["all=1"]),
        (odd, ["count=x", "ratio=x", "names=x", "sure=maybe", "mode:=7", "either:=null"]),
    ],
)
def test_what_is_wrong_is_told_before_it_is_sent_in_the_words_of_the_server(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], of: Operation, pairs: list[str]
) -> None:
    assert admin(tmp_path, server, "submit", of.name, *words(*pairs)) == 65
    assert server.submitted == []
    told = capsys.readouterr().err
    row = row_of(of)
    assert row.arguments is not None
    with pytest.raises(InvalidArguments) as refused:
        checker(row.name, row.arguments).check(typed(given_arguments(pairs, None), body_of(of)))
    assert told.splitlines()[0] == str(refused.value)
    assert told.splitlines()[1].startswith(f"Example: pulp-admin submit {of.name}")


def test_what_only_the_server_can_tell_is_left_to_it() -> None:
    body = body_of(sync)
    for given in ({"repo_id": "zoo"}, {"repo_id": "zoo", "feed": "x"}, {"repo_id": "zoo", "concurrency": 1000}):
        assert problem_with(given, body) is None


def test_the_example_of_a_refusal_is_a_command_line(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refusal = {
        "detail": "operation sync: feed: an http or https URL with a host is expected",
        "arguments": {"feed": ["an http or https URL with a host is expected"]},
        "example": body_of(sync)["example"],
    }
    assert admin(tmp_path, server, "repo", "sync", "run", "--repo-id", "zoo", "--feed", "not-a-url") == 65
    assert capsys.readouterr().err == (
        "operation sync: feed: an http or https URL with a host is expected\n"
        "Example: pulp-admin submit sync \\\n"
        "    --argument repo_id=zoo \\\n"
        f"    --argument feed={FEED}\n"
    )


def test_a_warning_goes_to_standard_error(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.warnings = ["no live worker offers operation 'sync': the task waits until one does"]
    assert admin(tmp_path, server, "submit", "sync", *words("repo_id=zoo"), "--output", "json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"task_id": ID}
    assert told.err == "Warning: no live worker offers operation 'sync': the task waits until one does.\n"


def test_a_sync_without_a_feed_names_none(tmp_path: Path, server: Server) -> None:
    assert admin(tmp_path, server, "repo", "sync", "run", "--repo-id", "zoo") == 0
    assert server.submitted == [{"operation": "sync", "arguments": {"repo_id": "zoo"}}]


def test_a_text_of_a_rerun_becomes_what_the_operation_declares(tmp_path: Path, server: Server) -> None:
    line = ["tasks", "rerun", "--task-id", ID, *words("concurrency=8", "repo_id=7", "feed:=null")]
    assert admin(tmp_path, server, *line) == 0
    assert server.submitted == [{"arguments": {"concurrency": 8, "repo_id": "7", "feed": None}}]


def test_a_url_in_place_of_a_name_is_not_repeated(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, server, "submit", "sync", *words("https://me:hunter2@example.org/")) == 64
    assert "hunter2" not in capsys.readouterr().err


def test_the_help_of_an_operation_shows_its_arguments(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, server, "submit", "sync", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Arguments of sync: repo_id (id) The repository. [required]" in told
    assert "concurrency (integer) Downloads at once. [default: 4]" in told
    assert "[required where no earlier task had one]" in told
    assert f"Example: pulp-admin submit sync \\ --argument repo_id=zoo \\ --argument feed={FEED}" in told
    assert "--idempotency-key KEY" in told
    assert admin(tmp_path, server, "submit", "--help", "free") == 0
    assert "Arguments of free: The operation declares none and accepts any." in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize("arguments", [[], ["sync"], ["nothing"]])
def test_without_a_server_the_help_is_the_plain_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert admin(tmp_path, away, "submit", *arguments, "--help") == 0
    told = capsys.readouterr()
    assert "--argument NAME=TEXT" in " ".join(told.out.split())
    assert "Arguments of" not in told.out
    assert told.err == ""


Complete = Callable[..., list[str]]


@pytest.fixture
def complete(tmp_path: Path, server: Server) -> Complete:
    def offered(*line: str) -> list[str]:
        app = App({}, make_client=lambda _: client_of(tmp_path, server))
        *before, incomplete = line
        found = ShellComplete(cli, {"obj": app}, "pulp-admin", "_X").get_completions(list(before), incomplete)
        return [item.value for item in found]

    return offered


def test_operations_and_their_arguments_are_completed(complete: Complete) -> None:
    assert complete("submit", "p") == ["publish"]
    assert complete("operations", "") == ["sync", "publish", "remove-orphans", "odd", "idle", "free"]
    taken = [f"{name}=" for name in (sync.schema or {})["properties"]]
    assert complete("submit", "sync", "--argument", "") == taken
    assert complete("submit", "sync", "--argument", "repo_id=zoo", "-a", "") == taken[1:]
    assert complete("submit", "sync", "--argument", "con") == ["concurrency="]
    assert complete("submit", "sync", "--argument", "mode=") == ["mode=additive", "mode=mirror"]
    assert complete("submit", "sync", "--argument", "verify_tls=") == ["verify_tls=true", "verify_tls=false"]
    assert complete("submit", "odd", "--argument", "mode=f") == ["mode=fast"]
    assert complete("submit", "sync", "--argument", "concurrency=") == []
    assert complete("submit", "free", "--argument", "") == []
    assert complete("submit", "nothing", "--argument", "") == []


def test_the_page_of_an_operation(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    workers = [
        {"name": "w1", "queues": ["default"], "is_as_registered": True},
        {"name": "w0", "queues": ["default", "slow"], "is_as_registered": False},
    ]
    server.bodies["publish"] = body_of(publish, workers)
    assert admin(tmp_path, server, "operations", "publish") == 0
    assert capsys.readouterr().out == (
        "Operation:    publish\n"
        "Description:  Publish the synced content as a yum repository, and check every\n"
        "              byte of it.\n"
        "Cancellable:  no\n"
        "Resources:    repository:{repo_id}, content_unit:orphans (shared)\n"
        "Requires:     sync on the same resource\n"
        "Registered:   pulp-tasks 1.0, by worker w1 at 2026-01-02T00:00:00.000000Z\n"
        "Workers:      w1 (default), w0 (default, slow, with another declaration)\n"
        "\n"
        "ARGUMENT      TYPE               REQUIRED  DEFAULT       DESCRIPTION\n"
        "repo_id       id                 yes       -             The repository.\n"
        "packages_url  url or null        no        null          A list of package\n"
        "                                                         names, one a line: only\n"
        "                                                         these are published.\n"
        'compression   gzip|zstd          no        "gzip"        Compression of the\n'
        "                                                         metadata. Every client\n"
        "                                                         reads gzip; zstd needs\n"
        "                                                         EL 8 or later.\n"
        'metadata      mirror|regenerate  no        "regenerate"  Generate the metadata,\n'
        "                                                         or mirror the feed's\n"
        "                                                         own with its signature.\n"
        "verify_tls    boolean            no        true          Whether to check the\n"
        "                                                         server's certificate.\n"
        "\n"
        "Example: pulp-admin submit publish --argument repo_id=zoo\n"
    )


def test_other_pages_of_operations(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "operations", "sync", "--output", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["arguments"] == sync.schema
    check("operations", shown, "pulp-admin")
    assert admin(tmp_path, server, "operations", "--output", "json") == 0
    check("operations", json.loads(capsys.readouterr().out), "pulp-admin")
    assert admin(tmp_path, server, "operations", "sync") == 0
    assert re.search(r"^feed +url +first time +the last one", capsys.readouterr().out, re.MULTILINE)
    assert admin(tmp_path, server, "operations", "free") == 0
    assert "The operation declares no arguments and accepts any." in capsys.readouterr().out
    assert admin(tmp_path, server, "operations", "idle") == 0
    assert "The operation takes no arguments." in capsys.readouterr().out
    assert admin(tmp_path, server, "operations", "snyc") == 65
    told = capsys.readouterr().err
    assert "There is no operation 'snyc'. Did you mean 'sync'? Known are: sync, publish, remove-orphans, odd" in told
