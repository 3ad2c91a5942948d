"""The user guide's pages, literally. The guide's markup puts one blank before each line; it is removed here."""

import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_admin import render
from pulp_console.output import cells_of
from pulp_deploy.demo import guide

from tests.support.admin import Answer, admin

ORPHANS = """\
+----------------------------------------------------------------------+
                              Task Details
+----------------------------------------------------------------------+

Operations:
Resources:    orphans (content_unit)
State:        Successful
Start Time:   2012-12-09T03:26:51Z
Finish Time:  2012-12-09T03:26:51Z
Result:       N/A
Task Id:      e239ae4f-7fad-4004-bfb6-8e06f17d22ef
Progress:
"""

CANCELLED_SYNC = """\
+----------------------------------------------------------------------+
                              Task Details
+----------------------------------------------------------------------+

Operations:   sync
Resources:    ff7-e6 (repository)
State:        Cancelled
Start Time:   2012-12-09T04:28:10Z
Finish Time:  2012-12-09T04:29:09Z
Result:       N/A
Task Id:      e0e0a250-eded-468f-9d97-0419a00b130f
Progress:
  Yum Importer:
    Comps:
      State: NOT_STARTED
    Content:
      Details:
        Delta Rpm:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
        File:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
        Rpm:
          Items Left:  6
          Items Total: 37
          Num Error:   0
          Num Success: 31
          Size Left:   112429996
          Size Total:  149958122
        Tree File:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
      Error Details:
      Items Left:    0
      Items Total:   37
      Num Error:     0
      Num Success:   31
      Size Left:     112429996
      Size Total:    149958122
      State:         CANCELED
    Errata:
      State: NOT_STARTED
    Metadata:
      State: FINISHED
"""

NOTHING = {
    "items_left": 0,
    "items_total": 0,
    "num_error": 0,
    "num_success": 0,
    "size_left": 0,
    "size_total": 0,
}
COUNTS = {"items_total": 37, "num_error": 0, "num_success": 31, "size_left": 112429996, "size_total": 149958122}
PROGRESS = {
    "yum_importer": {
        "metadata": {"state": "FINISHED"},
        "content": {
            "state": "CANCELED",
            "items_left": 0,
            **COUNTS,
            "error_details": [],
            "details": {
                "rpm": {"items_left": 6, **COUNTS},
                "delta_rpm": NOTHING,
                "file": NOTHING,
                "tree_file": NOTHING,
            },
        },
        "comps": {"state": "NOT_STARTED"},
        "errata": {"state": "NOT_STARTED"},
    }
}


def report(**changes: Any) -> dict[str, Any]:
    return {
        "call_request_id": "e239ae4f-7fad-4004-bfb6-8e06f17d22ef",
        "call_request_tags": ["pulp:content_unit:orphans"],
        "state": "finished",
        "start_time": "2012-12-09T03:26:51Z",
        "finish_time": "2012-12-09T03:26:51Z",
        "result": None,
        "exception": None,
        "traceback": None,
        "progress": {},
        **changes,
    }


SYNC = report(
    call_request_id="e0e0a250-eded-468f-9d97-0419a00b130f",
    call_request_tags=["pulp:repository:ff7-e6", "pulp:action:sync"],
    state="canceled",
    start_time="2012-12-09T04:28:10Z",
    finish_time="2012-12-09T04:29:09Z",
    progress=PROGRESS,
)


def test_the_page_of_the_orphan_removal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json=report())
    assert admin(tmp_path, answer, "tasks", "details", "--task-id", "e239ae4f-7fad-4004-bfb6-8e06f17d22ef") == 0
    assert capsys.readouterr().out == ORPHANS + "\n\n"


def test_the_page_of_the_cancelled_sync(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json=SYNC)
    assert admin(tmp_path, answer, "tasks", "details", "--task-id", SYNC["call_request_id"]) == 0
    assert capsys.readouterr().out == CANCELLED_SYNC + "\n\n"


def test_the_demonstration_expects_the_same_page() -> None:
    assert guide.CANCELLED_SYNC == CANCELLED_SYNC
    assert guide.differences(CANCELLED_SYNC + "\n\n", SYNC["call_request_id"]) == []
    other = CANCELLED_SYNC.replace("Num Success: 31", "Num Success: 32", 1)
    assert guide.differences(other, SYNC["call_request_id"]) == [
        "'          Num Success: 32' instead of '          Num Success: 31'"
    ]
    assert guide.differences(CANCELLED_SYNC + "more\n", SYNC["call_request_id"]) == ["58 lines instead of 57"]


def test_a_cancel_that_is_accepted_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(202, json=SYNC, headers={"Pulp-Position": "1:7"})

    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", SYNC["call_request_id"]) == 0
    assert capsys.readouterr() == ("", "")
    assert asked == [("DELETE", "/pulp/api/v2/tasks/e0e0a250-eded-468f-9d97-0419a00b130f/")]


def test_a_cancel_that_is_not_supported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Cancel Not Implemented for Task: e0e0a250-eded-468f-9d97-0419a00b130f"
    answer: Answer = lambda request: httpx.Response(501, json={"error_message": text})
    assert admin(tmp_path, answer, "tasks", "cancel", "--task-id", SYNC["call_request_id"]) == 69
    assert capsys.readouterr() == (text + "\n", "")


def test_work_that_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    href = "/pulp/api/v3/tasks/e239ae4f-7fad-4004-bfb6-8e06f17d22ef/"
    answer: Answer = lambda request: httpx.Response(202, json={"task": href})
    assert admin(tmp_path, answer, "orphan", "remove", "--all") == 0
    assert capsys.readouterr().out == textwrap.dedent(
        """\
        Request accepted

        check status of task e239ae4f-7fad-4004-bfb6-8e06f17d22ef with "pulp-admin tasks details"
        """
    )


def test_the_list_tells_as_much_as_the_details(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json=[report(state="running", finish_time=None), SYNC])
    assert admin(tmp_path, answer, "tasks", "list", "--all") == 0
    out = capsys.readouterr().out
    assert out.startswith("+" + "-" * 70 + "+\n" + " " * 33 + "Tasks\n+" + "-" * 70 + "+\n\n")
    assert "Operations:\nResources:   orphans (content_unit)\nState:       Running\n" in out
    assert "Result:      Incomplete\n" in out
    assert "          Size Left:   112429996\n" in out
    assert out.endswith("      State: FINISHED\n\n\n")


def test_documents_in_a_list_are_as_pulp_prints_them() -> None:
    """The first document says which keys are shown; a key that another document lacks is left out there."""
    errors = [{"name": "b.rpm", "error": "404"}, {"name": "c.rpm", "more": 1}]
    assert render.document({"error_details": errors}) == [
        "Error Details:",
        "  Error: 404",
        "  Name:  b.rpm",
        "  Name: c.rpm",
    ]


def test_wide_characters_take_two_columns() -> None:
    lines = render.document({"漢字": "a", "abcd": "b", "text": "漢字 " * 30})
    assert lines[0] == "漢字: a"
    assert lines[1] == "Abcd: b"
    assert len(lines) == 4
    assert max(cells_of(line) for line in lines) <= 80


def test_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, lambda request: httpx.Response(200, json=[]), "tasks", "list") == 0
    out, err = capsys.readouterr()
    assert out.endswith("+\n\nNo tasks found\n\n")
    assert "--all" in err


# The words of Pulp 2's client, unless the guide says otherwise.
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"state": "waiting", "start_time": None, "finish_time": None},
            ("Waiting", "Unstarted", "Incomplete", "Incomplete"),
        ),
        ({"state": "running", "finish_time": None}, ("Running", "2012-12-09T03:26:51Z", "Incomplete", "Incomplete")),
        (
            {"state": "running", "finish_time": None, "cancelling": True},
            ("Cancelling", "2012-12-09T03:26:51Z", "Incomplete", "Incomplete"),
        ),
        (
            {"state": "finished", "result": {"a": 1}},
            ("Successful", "2012-12-09T03:26:51Z", "2012-12-09T03:26:51Z", {"a": 1}),
        ),
        ({"state": "finished", "result": 0}, ("Successful", "2012-12-09T03:26:51Z", "2012-12-09T03:26:51Z", "N/A")),
        ({"state": "error"}, ("Error", "2012-12-09T03:26:51Z", "2012-12-09T03:26:51Z", "N/A")),
        ({"state": "skipped"}, ("Skipped", "N/A", "N/A", "N/A")),
        ({"state": "canceled", "start_time": None}, ("Cancelled", "Unstarted", "2012-12-09T03:26:51Z", "N/A")),
        ({"state": "suspended"}, ("Unknown", "2012-12-09T03:26:51Z", "2012-12-09T03:26:51Z", "Unknown")),
    ],
)
def test_the_words_of_each_state(changes: dict[str, Any], expected: tuple[object, ...]) -> None:
    shown = render.summary(report(**changes))
    assert (shown["state"], shown["start_time"], shown["finish_time"], shown["result"]) == expected


def test_the_next_command_asks_for_what_this_one_wrote(tmp_path: Path) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("pulp-min-position"))
        if request.method == "DELETE":
            return httpx.Response(202, json=SYNC, headers={"Pulp-Position": "1:7"})
        return httpx.Response(200, json=SYNC)

    admin(tmp_path, answer, "tasks", "cancel", "--task-id", SYNC["call_request_id"])
    admin(tmp_path, answer, "tasks", "details", "--task-id", SYNC["call_request_id"])
    assert seen == [None, "1:7"]


def test_json_is_complete_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json=SYNC)
    assert admin(tmp_path, answer, "tasks", "details", "--task-id", SYNC["call_request_id"], "--output", "json") == 0
    assert httpx.Response(200, text=capsys.readouterr().out).json() == SYNC


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,12}", fullmatch=True), VALUES, max_size=5))
def test_no_line_ends_in_a_blank(values: dict[str, Any]) -> None:
    assert [line for line in render.document(values) if line != line.rstrip()] == []


@pytest.mark.parametrize("form", [list, "".join])
def test_a_traceback_is_shown_in_whole_lines(form: Any) -> None:
    long = f'  File "/{"x" * 100}.py", line 1, in run\n'
    shown = render.document(
        {"state": "Error", "traceback": form(["Traceback (most recent call last):\n", long, "OSError: no"])}
    )
    assert shown == [
        *("State:     Error", "Traceback:", "  Traceback (most recent call last):"),
        *(f"  {long.rstrip()}", "  OSError: no"),
    ]
