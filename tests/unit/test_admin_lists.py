"""The requests of `tasks list`, `operations` and `workers`, and their messages when nothing is found."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.admin import Answer, admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"


def test_each_filter_is_one_of_the_server(tmp_path: Path) -> None:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return httpx.Response(200, json=[])

    filters = "--tag t --resource repository:a:b --queue q --worker w --who jo --limit 5 --skip 2"
    assert (
        admin(tmp_path, answer, "tasks", "list", "--all", *filters.split(), "--since", "2026-11-24T12:00:00+02:00") == 0
    )
    assert dict(asked[0]) == {
        "tag": "t",
        "resource": "repository:a:b",
        "queue": "q",
        "worker": "w",
        "user": "jo",
        "since": "2026-11-24T10:00:00Z",
        "limit": "5",
        "skip": "2",
    }


def without_tasks(*operations: str) -> Answer:
    rows = [{"name": name, "cancellable": True, "description": ""} for name in operations]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/operations/"):
            return httpx.Response(200, json={"results": rows, "next": None})
        return httpx.Response(200, json=[])

    return answer


def test_an_operation_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = without_tasks("sync", "publish")
    assert admin(tmp_path, answer, "tasks", "list", "--operation", "snyc") == 65
    error = capsys.readouterr().err
    assert error == "No operation is named 'snyc'. Did you mean 'sync'? All: pulp-admin operations\n"
    assert admin(tmp_path, answer, "tasks", "list", "--operation", "publish") == 0
    assert capsys.readouterr().err == "Only tasks that have not ended are listed; --all lists all.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--resource", "zoo"], "'zoo': TYPE:ID is expected, such as repository:zoo"),
        (["--resource", ":zoo"], "':zoo': TYPE:ID is expected, such as repository:zoo"),
        (["--since", "soon"], "'soon' is not a time: 5m, 2h30m"),
        (["--state", "runing"], "'runing' is not a state"),
        (["--output", "jsno"], "Did you mean 'json'?"),
        (["--statee", "running"], "No such option"),
    ],
)
def test_what_is_refused_before_the_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    assert admin(tmp_path, answer, "tasks", "list", *arguments) == 64
    assert told in capsys.readouterr().err


def test_a_command_that_there_is_not_is_suggested(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert admin(tmp_path, without_tasks(), "tasks", "lsit") == 64
    assert "Did you mean 'list'?" in capsys.readouterr().err


def worker(number: int) -> dict[str, Any]:
    return {
        "name": f"worker-{number}",
        "online": False,
        "concurrency": 4,
        "slots": 4,
        "busy_slots": 2,
        "free_slots": 2,
        "queues": ["default"],
        "current_tasks": [f"/pulp/api/v3/tasks/{ID}/"],
    }


def test_all_pages_of_a_list_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        asked.append(offset)
        rows = [worker(number) for number in range(2500)][offset : offset + limit]
        return httpx.Response(200, json={"results": rows, "next": "more" if offset + limit < 2500 else None})

    assert admin(tmp_path, answer, "workers", "--all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert asked == [0, 1000, 2000]
    assert len(lines) == 2501
    assert lines[1].split() == ["worker-0", "offline", "2/4", "default", ID]


def test_a_server_that_is_older_than_the_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "w1", "online": True, "concurrency": 4, "queues": ["default"], "current_task": f"/tasks/{ID}/"}
    connected = {"connected": True}
    status = {"pulp_tasks_version": "0.1", "lag": 0, "online_workers": [row]}
    both = {"kafka_connection": connected, "database_connection": connected}

    def answer(request: httpx.Request) -> httpx.Response:
        is_status = request.url.path.endswith("/status/")
        return httpx.Response(200, json={**status, **both} if is_status else {"results": [row], "next": None})

    assert admin(tmp_path, answer, "workers") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["w1", "online", "?/4", "default", ID]
    assert admin(tmp_path, answer, "status") == 0
    assert capsys.readouterr().out.endswith("Workers:   w1\n")


def test_no_worker_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = lambda request: httpx.Response(200, json={"results": [], "next": None})
    assert admin(tmp_path, answer, "workers") == 0
    assert capsys.readouterr().err.startswith("No worker is online: tasks wait until one is started.")


def test_a_position_that_the_server_does_not_know_is_forgotten(tmp_path: Path) -> None:
    """For example, after a server was set up again with fewer partitions."""
    (tmp_path / "positions.json").write_text('{"http://pulp.test": {"99": 5}}')
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("pulp-min-position"))
        if asked[-1] is not None:
            return httpx.Response(400, json={"error_message": "Pulp-Min-Position: there is no partition 99"})
        return httpx.Response(200, json=[])

    assert admin(tmp_path, answer, "tasks", "list") == 0
    assert asked == ["99:5", None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        '{"http://pulp.test": 5}',
        '{"http://pulp.test": {"-1": 1, "x": 2, "1": true, "2": -5, "3": 1e9}}',
        "[" * 99999,
    ],
)
def test_a_memory_that_is_odd_is_no_failure(tmp_path: Path, text: str) -> None:
    (tmp_path / "positions.json").write_text(text)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("pulp-min-position"))
        return httpx.Response(202, json={}, headers={"Pulp-Position": "1:7"})

    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", ID) == 0
    assert admin(tmp_path, lambda request: httpx.Response(200, json=[]), "tasks", "list") == 0
    assert asked == [None]


def test_a_memory_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "positions.json").mkdir()
    answer = lambda request: httpx.Response(202, json={}, headers={"Pulp-Position": "1:7"})
    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", ID) == 0


def test_half_a_character_in_an_argument_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":  # what the operation takes
            return httpx.Response(404, json={"detail": "No Operation matches the given query."})
        raise AssertionError("it was sent")

    assert admin(tmp_path, answer, "submit", "echo", "--argument", 'a:="\\udc80"') == 65
    assert "nothing was sent" in capsys.readouterr().err


def test_a_list_of_the_past_waits_for_nothing_that_came_later(tmp_path: Path) -> None:
    """Nor does it wait for the positions of a server that has been set up again since."""
    (tmp_path / "positions.json").write_text('{"http://pulp.test": {"99": 5}}')
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("pulp-min-position"))
        return httpx.Response(200, json=[])

    assert admin(tmp_path, answer, "tasks", "list", "--as-of", "2026-11-24T12:00:00Z") == 0
    assert asked == [None]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("2026-11-24T12:00:00+02:00", "2026-11-24T10:00:00Z"),
        ("3:1042", "3:1042"),
        ("0:12, 3:1042", "0:12,3:1042"),
        ("AAAAAAAAAAAAAAAAAAAAAA.12.0.7", "AAAAAAAAAAAAAAAAAAAAAA.12.0.7"),
    ],
)
def test_a_list_of_the_past_asks_for_its_moment(tmp_path: Path, given: str, asked: str) -> None:
    found: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append(request.url.params["as_of"])
        is_list = request.url.path.endswith("/tasks/")
        return httpx.Response(200, json=[] if is_list else {"results": [], "count": 0, "next": None})

    assert admin(tmp_path, answer, "tasks", "list", "--as-of", given) == 0
    assert admin(tmp_path, answer, "queue", "--as-of", given) == 0
    assert found == [asked] * 3  # the queue command requests two lists


@pytest.mark.parametrize("command", [["details", "--as-of"], ["diff"]])
@pytest.mark.parametrize("given", ["3:1042", "0:12,3:1042", "AAAAAAAAAAAAAAAAAAAAAA.12.0.7"])
def test_one_task_takes_every_moment_that_lists_take(tmp_path: Path, given: str, command: list[str]) -> None:
    found: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.extend(request.url.params.get_list("as_of"))
        return httpx.Response(410, json={"detail": "it was archived"})

    assert admin(tmp_path, answer, "tasks", *command, given, "--task-id", ID) == 66
    assert found == [given]


@pytest.mark.parametrize("command", [["tasks", "list"], ["queue"]])
@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, 66, "Nothing can be shown as of 3:1042: nothing had happened yet."),
        (410, 66, "Nothing can be shown as of 3:1042: it was archived."),
        (504, 75, "The server cannot answer now: it has not come yet\nTry again in a moment."),
        (422, 65, "ask for fewer"),
    ],
)
def test_a_moment_without_an_answer_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], status: int, code: int, told: str
) -> None:
    words = {404: "nothing had happened yet", 410: "it was archived", 504: "it has not come yet", 422: "ask for fewer"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"detail": words[status]})

    assert admin(tmp_path, answer, *command, "--as-of", "3:1042") == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tasks", "list", "--as-of", "3:1042,x"], "of each partition an OFFSET is expected"),
        (["tasks", "list", "--as-of", "soon"], "'soon' is neither a time nor the OFFSET of an event"),
        (["queue", "--as-of", "5m", "--task-id", ID], "--task-id tells why a task waits now"),
    ],
)
def test_what_is_no_moment_is_refused_before_the_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    assert admin(tmp_path, answer, *arguments) == 64
    assert told in " ".join(capsys.readouterr().err.split())
