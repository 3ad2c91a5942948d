"""`pulp-admin repo` and `pulp-admin rpm repo` against a server that is one function."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_operations import publish, remove_repository, repair, sync
from pulp_worker import Operation

from tests.support import documented
from tests.support.admin import admin
from tests.support.declared import body_of

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
PULP_ID = "018f2d3c-0000-7000-8000-000000000001"
HREF = f"/pulp/api/v3/repositories/rpm/rpm/{PULP_ID}/"
FEED = "https://example.org/repos/zoo/"
RUN = {
    "task": f"/pulp/api/v3/tasks/{ID}/",
    "state": "completed",
    "submitted_at": "2026-11-24T12:00:00.000000Z",
    "started_at": "2026-11-24T12:00:01.000000Z",
    "finished_at": "2026-11-24T12:00:09.500000Z",
    "error": None,
}
ZOO: dict[str, Any] = {
    "pulp_href": HREF,
    "prn": f"prn:rpm.rpmrepository:{PULP_ID}",
    "pulp_created": "2026-11-24T11:00:00.000000Z",
    "pulp_last_updated": "2026-11-24T11:30:00.000000Z",
    "versions_href": f"{HREF}versions/",
    "pulp_labels": {"team": "keepers"},
    "latest_version_href": f"{HREF}versions/3/",
    "name": "zoo",
    "description": None,
    "retain_repo_versions": None,
    "remote": None,
    "display_name": "The Zoo",
    "notes": {"team": "keepers"},
    "feed": FEED,
    "feed_source": "sync",
    "sync_options": {"concurrency": 8},
    "publish_options": {},
    "created_by": "jo",
    "updated_by": "ann",
    "version": 3,
    "content": {"packages": 32, "errata": 4, "package_groups": 2, "tree_files": 0},
    "last_sync": RUN,
    "last_publish": {**RUN, "state": "failed", "error": {"code": "disk-full", "description": "no room"}},
}


class Server:
    """A server with the repository zoo."""

    def __init__(self) -> None:
        self.repositories = [ZOO]
        self.unfinished: list[dict[str, Any]] = []
        self.sent: list[tuple[str, str, Any]] = []
        """(method, path, body) of each request that changes something."""
        self.refusal: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path.removeprefix("/pulp/api/"), request.url.params
        if request.method != "GET":
            body = json.loads(request.content) if request.content else None
            self.sent.append((request.method, path, body))
            return self.refusal or self._changed(request.method, path)
        if path == "v3/repositories/":
            found = [row for row in self.repositories if query.get("name") in (None, row["name"])]
            return httpx.Response(200, json={"count": len(found), "next": None, "previous": None, "results": found})
        if path == "v3/operations/sync/":
            return httpx.Response(200, json=body_of(sync))
        if path == "v2/tasks/":
            assert query["resource"] == "repository:zoo"
            assert query.get_list("state") == ["waiting", "running", "cancelling"]
            return httpx.Response(
                200, json=[each for each in self.unfinished if each["task_type"] == query["operation"]]
            )
        raise AssertionError(path)

    def _changed(self, method: str, path: str) -> httpx.Response:
        if method == "DELETE" or path == "v3/tasks/":
            return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/"})
        return httpx.Response(201 if method == "POST" else 200, json=ZOO)


@pytest.fixture
def server() -> Server:
    return Server()


class Printed:
    """What a command has written."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> Printed:
        code = admin(tmp_path, server, *arguments)
        told = capsys.readouterr()
        return Printed(code, told.out, told.err)

    return command


def test_the_list_tells_what_each_holds_and_how_its_last_tasks_ended(run: Any) -> None:
    assert run("repo", "list").out == (
        "REPOSITORY  PACKAGES  ERRATA  GROUPS  VERSION  LAST SYNC                        LAST PUBLISH\n"
        "zoo         32        4       2       3        Successful 2026-11-24T12:00:09Z  Error 2026-11-24T12:00:09Z\n"
    )


def test_a_repository_is_shown_with_all_that_is_known_of_it(run: Any) -> None:
    assert run("repo", "show", "--repo-id", "zoo").out == (
        "Id:               zoo\n"
        "Display Name:     The Zoo\n"
        "Description:      -\n"
        "Feed:             https://example.org/repos/zoo/ (of the last sync)\n"
        "Version:          3\n"
        "Packages:         32\n"
        "Errata:           4\n"
        "Package Groups:   2\n"
        "Tree Files:       0\n"
        "Last Sync:        Successful 2026-11-24T12:00:09Z, task\n"
        "                  e0e0a250-eded-468f-9d97-0419a00b130f\n"
        "Last Publish:     Error 2026-11-24T12:00:09Z, task\n"
        "                  e0e0a250-eded-468f-9d97-0419a00b130f: no room\n"
        "Created:          2026-11-24T11:00:00Z by jo\n"
        "Updated:          2026-11-24T11:30:00Z by ann\n"
        "Notes:\n"
        "  Team: keepers\n"
        "Sync Options:\n"
        "  Concurrency: 8\n"
        "Publish Options:\n"
    )


def test_one_that_was_never_synced_is_listed_and_shown_as_well(run: Any, server: Server) -> None:
    new: dict[str, Any] = {
        "feed": None,
        "feed_source": None,
        "version": None,
        "content": {},
        "last_sync": None,
        "last_publish": None,
    }
    server.repositories = [{**ZOO, **new}]
    assert run("repo", "list").out.splitlines()[1].split() == ["zoo", *"------"]
    shown = run("repo", "show", "--repo-id", "zoo").out
    for line in ("Feed:             -", "Version:          -", "Last Sync:        -"):
        assert line in shown.splitlines()


def test_none_yet_is_said_on_standard_error(run: Any, server: Server) -> None:
    server.repositories = []
    printed = run("repo", "list", "--output", "json")
    assert (printed.code, printed.out) == (0, "[]\n")
    assert "pulp-admin repo create" in printed.err


@pytest.mark.parametrize("command", ["show", "update", "remove"])
def test_an_unknown_one_is_refused_with_the_one_that_was_meant(run: Any, server: Server, command: str) -> None:
    further = ("--description", "x") if command == "update" else ()
    printed = run("repo", command, "--repo-id", "zou", *further)
    assert (printed.code, printed.out, server.sent) == (65, "", [])
    assert printed.err == "There is no repository 'zou'. Did you mean 'zoo'? All: pulp-admin repo list\n"


def test_a_repository_is_made_with_its_options(run: Any, server: Server) -> None:
    printed = run(
        *(
            "repo",
            "create",
            "--repo-id",
            "zoo",
            "--feed",
            FEED,
            "--display-name",
            "The Zoo",
            "--description",
            "Animals",
        ),
        *("--note", "team=keepers", "--note", "a=b=c", "--additive", "--credential", "cdn", "--retention", "3"),
        *("--metadata", "mirror", "--compression", "zstd", "--sync-option", "concurrency=8"),
    )
    assert (printed.code, printed.out) == (0, "Repository [zoo] successfully created\n")
    assert server.sent == [
        (
            "POST",
            "v3/repositories/",
            {
                "name": "zoo",
                "feed": FEED,
                "display_name": "The Zoo",
                "description": "Animals",
                "notes": {"team": "keepers", "a": "b=c"},
                "sync_options": {
                    "mode": "additive",
                    "credential": "cdn",
                    "retention": 3,
                    "metadata": "mirror",
                    "concurrency": 8,
                },
                "publish_options": {"compression": "zstd", "metadata": "mirror"},
            },
        )
    ]


def test_a_change_names_only_what_is_given(run: Any, server: Server) -> None:
    printed = run(
        *("repo", "update", "--repo-id", "zoo", "--mirror", "--note", "team=", "--feed", ""),
        *("--sync-option", "concurrency="),
    )
    assert (printed.code, printed.out) == (0, "Repository [zoo] successfully updated\n")
    change = {"feed": "", "notes": {"team": None}, "sync_options": {"mode": "mirror", "concurrency": None}}
    assert server.sent == [("PATCH", f"v3/repositories/rpm/rpm/{PULP_ID}/", change)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["update", "--repo-id", "zoo"], "Nothing is to be changed"),
        (["create", "--repo-id", "zoo", "--note", "team"], "--note team: NAME=TEXT is expected"),
        (["create", "--repo-id", "zoo", "--sync-option", "http://me:s@h"], "--sync-option ...: NAME=TEXT is expected"),
        (["create", "--repo-id", "zoo", "--retention", "0"], "0 is not in the range"),
        (["create"], "--repo-id"),
        (["sync", "run", "--repo-id", "zoo", "--metadata", "miror"], "Did you mean 'mirror'?"),
    ],
)
def test_bad_usage_is_told_before_anything_is_sent(run: Any, server: Server, arguments: list[str], told: str) -> None:
    printed = run("repo", *arguments)
    assert (printed.code, printed.out, server.sent) == (64, "", [])
    assert told in printed.err


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (httpx.Response(409, json={"detail": "there is a repository 'zoo' already"}), "there is a repository 'zoo'"),
        (httpx.Response(400, json={"feed": ["an http or https URL is expected"]}), "feed: an http or https URL"),
    ],
)
def test_what_the_server_refuses_is_told_by_field(run: Any, server: Server, refusal: httpx.Response, told: str) -> None:
    server.refusal = refusal
    printed = run("repo", "create", "--repo-id", "zoo", "--feed", "x")
    assert (printed.code, printed.out) == (65, "")
    assert told in printed.err


@pytest.mark.parametrize("words", [("repo", "remove"), ("rpm", "repo", "delete")])
def test_a_removal_is_a_task_as_the_guide_says_it(run: Any, server: Server, words: tuple[str, ...]) -> None:
    assert run(*words, "--repo-id", "zoo").out == (
        f'Request accepted\n\ncheck status of task {ID} with "pulp-admin tasks details"\n'
    )
    assert server.sent == [("DELETE", f"v3/repositories/rpm/rpm/{PULP_ID}/", None)]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["repair"], {"operation": "repair", "arguments": {}}),
        (
            ["repair", "--repo-id", "zoo", "--feed", FEED, "--credential", "cdn"],
            {"operation": "repair", "arguments": {"repo_id": "zoo", "feed": FEED, "credential": "cdn"}},
        ),
        (
            ["sync", "run", "--repo-id", "zoo", "--mirror", "--allow-shrink", "--credential", "cdn"],
            {
                "operation": "sync",
                "arguments": {"repo_id": "zoo", "mode": "mirror", "allow_shrink": True, "credential": "cdn"},
            },
        ),
        (
            ["sync", "run", "--repo-id", "zoo", "--additive"],
            {"operation": "sync", "arguments": {"repo_id": "zoo", "mode": "additive"}},
        ),
        (
            ["publish", "run", "--repo-id", "zoo", "--metadata", "mirror", "--compression", "zstd"],
            {"operation": "publish", "arguments": {"repo_id": "zoo", "metadata": "mirror", "compression": "zstd"}},
        ),
    ],
)
def test_work_is_submitted_with_what_is_said(run: Any, server: Server, words: list[str], body: dict[str, Any]) -> None:
    assert run("repo", *words).out.startswith("Request accepted\n\ncheck status of task ")
    assert server.sent == [("POST", "v3/tasks/", body)]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["repo", "list"], "repo list"),
        (["rpm", "repo", "list"], "repo list"),
        (["repo", "show", "--repo-id", "zoo"], "repo show"),
        (["repo", "create", "--repo-id", "zoo"], "repo create"),
        (["rpm", "repo", "create", "--repo-id", "zoo"], "repo create"),
        (["repo", "update", "--repo-id", "zoo", "--mirror"], "repo update"),
        (["repo", "remove", "--repo-id", "zoo"], "repo remove"),
        (["repo", "repair"], "repo repair"),
        (["rpm", "repo", "sync", "run", "--repo-id", "zoo", "--bg"], "repo sync run"),
    ],
)
def test_the_json_is_as_documented(run: Any, words: list[str], command: str) -> None:
    documented.check(command, json.loads(run(*words, "--output", "json").out), "pulp-admin")


BANNER = "+----------------------------------------------------------------------+\n"


def test_pulp_2s_list_has_its_title_and_its_keys(run: Any) -> None:
    assert run("rpm", "repo", "list").out == (
        f"{BANNER}                            RPM Repositories\n{BANNER}\n"
        "Id:                  zoo\n"
        "Display Name:        The Zoo\n"
        "Description:         None\n"
        "Content Unit Counts:\n"
        "  Errata:         4\n"
        "  Package Groups: 2\n"
        "  Packages:       32\n"
        "\n"
    )
    assert run("rpm", "repo", "list", "--summary").out.splitlines()[4:] == [
        "Id:           zoo",
        "Display Name: The Zoo",
        "",
    ]
    details = run("rpm", "repo", "list", "--details").out
    assert "  Packages:       32\n" in details
    assert "  Concurrency: 8\n" in details
    assert run("rpm", "repo", "list", "--details", "--summary").code == 64


def test_pulp_2s_options_say_the_same(run: Any, server: Server) -> None:
    printed = run(
        *("rpm", "repo", "create", "--repo-id", "zoo", "--feed", FEED, "--relative-url", "/zoo/", "--note", "a=b"),
        *("--verify-feed-ssl", "false", "--max-downloads", "8", "--remove-missing", "true"),
        *("--download-policy", "immediate"),
    )
    assert (printed.code, printed.out) == (0, "Repository [zoo] successfully created\n")
    options = {"concurrency": 8, "verify_tls": False, "mode": "mirror"}
    body = {"name": "zoo", "feed": FEED, "notes": {"a": "b"}, "sync_options": options}
    assert server.sent == [("POST", "v3/repositories/", body)]
    assert run("rpm", "repo", "update", "--repo-id", "zoo", "--remove-missing", "false").code == 0
    assert server.sent[-1][2] == {"sync_options": {"mode": "additive"}}


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--relative-url", "animals/zoo", "a repository is published under its id, zoo."),
        ("--proxy-host", "proxy", "give its name by pulp-admin repo update --credential NAME"),
        ("--basicauth-pass", "hunter2", "secrets are not part of a repository"),
        ("--feed-cert", "/x", "secrets are not part of a repository"),
        ("--serve-http", "true", "a publication is a folder that a web server serves"),
        ("--checksum-type", "sha1", "leave the option out"),
        ("--retain-old-count", "3", "pulp-admin repo update --retention N"),
        ("--skip", "drpm", "a sync fetches all of a repository"),
        ("--download-policy", "on_demand", "'on_demand' is not"),
    ],
)
def test_an_option_without_a_meaning_here_is_refused_with_what_to_do(
    run: Any, server: Server, option: str, value: str, told: str
) -> None:
    printed = run("rpm", "repo", "create", "--repo-id", "zoo", option, value)
    assert (printed.code, server.sent) == (64, [])
    assert told in " ".join(printed.err.split())
    assert "hunter2" not in printed.err + printed.out


def test_a_sync_in_the_background_says_where_to_look(run: Any, server: Server) -> None:
    printed = run("rpm", "repo", "sync", "run", "--repo-id", "zoo", "--bg")
    assert printed.out == (
        f"{BANNER}                     Synchronizing Repository [zoo]\n{BANNER}\n"
        "The request has been queued on the server.\n\n"
        "The status of this sync can be displayed using the status command.\n"
    )
    assert server.sent == [("POST", "v3/tasks/", {"operation": "sync", "arguments": {"repo_id": "zoo"}})]


def test_a_sync_that_runs_already_is_not_started_twice(run: Any, server: Server) -> None:
    server.unfinished = [{"task_id": ID, "task_type": "sync"}]
    printed = run("rpm", "repo", "sync", "run", "--repo-id", "zoo", "--bg")
    assert (printed.code, server.sent) == (0, [])
    assert "\n\nA sync task is already in progress for this repository.\n\nThe request has" in printed.out
    assert printed.err == ""
    assert run("rpm", "repo", "publish", "run", "--repo-id", "zoo", "--bg").code == 0
    assert [body["operation"] for _, _, body in server.sent] == ["publish"]


@pytest.mark.parametrize("name", [("repo",), ("rpm", "repo")])
@pytest.mark.parametrize("kind", ["sync", "publish"])
def test_the_status_of_an_idle_repository(run: Any, name: tuple[str, ...], kind: str) -> None:
    printed = run(*name, kind, "status", "--repo-id", "zoo")
    assert printed.out == (
        f"{BANNER}                        Repository Status [zoo]\n{BANNER}\n"
        "The repository is not performing any operations\n"
    )


@pytest.mark.parametrize(
    ("shipped", "names"),
    [
        (sync, {"feed", "mode", "credential", "retention", "metadata", "allow_shrink", "concurrency", "verify_tls"}),
        (publish, {"metadata", "compression"}),
        (repair, {"repo_id", "feed", "credential"}),
        (remove_repository, {"repo_id", "missing_ok"}),
    ],
)
def test_the_shipped_operations_take_what_the_options_say(shipped: Operation, names: set[str]) -> None:
    assert shipped.schema is not None
    assert names <= shipped.schema["properties"].keys()


def test_the_usual_list_has_pulp_2s_page_where_its_options_ask_for_it(run: Any) -> None:
    title = f"{BANNER}                              Repositories\n{BANNER}\n"
    assert run("repo", "list", "--summary").out == f"{title}Id:           zoo\nDisplay Name: The Zoo\n\n"
    fields = run("repo", "list", "--fields", "feed,version")
    assert fields.out == f"{title}Id:      zoo\nFeed:    {FEED} (of the last sync)\nVersion: 3\n\n"
    assert run("rpm", "repo", "list", "--all", "--fields", "feed").out.splitlines()[4:] == [
        "Id:   zoo",
        f"Feed: {FEED} (of the last sync)",
        "",
    ]
    unknown = run("repo", "list", "--fields", "fed")
    assert (unknown.code, "--fields fed: there is no such field; known are: id, display_name" in unknown.err) == (
        64,
        True,
    )
    assert run("repo", "list", "--details", "--summary").code == 64
