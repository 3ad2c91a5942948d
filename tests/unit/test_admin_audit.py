"""`pulp-admin audit`: its requests to the server, what it shows, and exports that are interrupted at any place."""

import csv
import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from pulp_admin.audit_export import ExportFiles, ExportProgress
from pulp_admin.errors import Failure

from tests.support import documented
from tests.support.admin import admin

TOPIC = "AAAAAAAAAAAAAAAAAAAAAA"
TASK = "e239ae4f-7fad-4004-bfb6-8e06f17d22ea"
PAGE = 10


def entry(offset: int, **changed: Any) -> dict[str, Any]:
    return {
        **{"partition": 0, "offset": offset, "time": f"2026-11-24T12:{offset // 60 % 60:02}:{offset % 60:02}.000000Z"},
        **{"event_time": "2026-11-24T11:59:59.000000Z", "type": "org.pulpproject.task.cancel-requested.v1"},
        **{"event_id": f"00000000-0000-7000-8000-{offset:012}", "actor": "user:jo", "authentication": "token"},
        **{"address": None, "client": "pulp-admin/0.1.0", "correlation_id": "c", "causation_id": None},
        **{"effect": "applied", "reason": f"number {offset}", "task": f"/pulp/api/v3/tasks/{TASK}/"},
        **{"operation": "sync", "task_group": None, "event": {"data": {"reason": f"number {offset}"}}},
        **changed,
    }


class Audit:
    """A server's audit of this many events, in pages of ten."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events, self.asked = events, list[dict[str, list[str]]]()

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        self.asked.append(query)
        start = int(query.get("cursor", [".0"])[0].rpartition(".")[2])
        end = int(query["end"][0].rpartition(".")[2]) if "end" in query else len(self.events)
        size = min(PAGE, int(query["limit"][0]))
        stop = min(start + size, end)
        more = stop < end
        return {
            **{"next": "http://pulp.test/next" if more else None, "previous": None, "cursor": f"{TOPIC}.{stop}"},
            **{"end": f"{TOPIC}.{len(self.events)}", "results": self.events[start:stop]},
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/pulp/api/v3/audit/"
        return httpx.Response(200, json=self.page(parse_qs(request.url.query.decode())))


def test_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit([entry(0), entry(1, effect="final", authentication=None, address="10.0.0.7", actor="worker:w1")])
    assert admin(tmp_path, audit, "audit", "list", "--who", "jo", "--who", "worker:w1", "--event", "purged") == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "OFFSET  TIME (UTC)           EVENT             WHO        BY     FROM      TASK      WHAT\n"
        "0:0     2026-11-24 12:00:00  cancel-requested  user:jo    token  -         e239ae4f  number 0\n"
        "0:1     2026-11-24 12:00:01  cancel-requested  worker:w1  -      10.0.0.7  e239ae4f  no effect: final (number 1)\n"
    )
    assert shown.err == f"That is all so far. What comes later: --cursor {TOPIC}.2\n"
    assert audit.asked == [{"actor": ["user:jo", "worker:w1"], "type": ["purged"], "limit": ["100"]}]


def test_a_list_for_programs_has_its_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit([entry(offset) for offset in range(30)])
    assert admin(tmp_path, audit, "--output", "json", "audit", "list", "--limit", "12", "--since", "0:3") == 0
    shown = json.loads(capsys.readouterr().out)
    documented.check("audit list", shown, "pulp-admin")
    assert ([each["offset"] for each in shown["events"]], shown["has_more"]) == ([*range(12)], True)
    assert shown["cursor"] == f"{TOPIC}.12"
    assert [each["since"] for each in audit.asked] == [["0:3"], ["0:3"]]
    assert admin(tmp_path, audit, "--output", "json", "audit", "list", "--cursor", f"{TOPIC}.12") == 0
    assert json.loads(capsys.readouterr().out)["events"][0]["offset"] == 12


def test_an_export_has_a_fixed_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit([entry(offset) for offset in range(25)])
    answer = audit.__call__

    def growing(request: httpx.Request) -> httpx.Response:
        found = answer(request)
        audit.events.append(entry(len(audit.events)))
        return found

    target = tmp_path / "audit.jsonl"
    assert admin(tmp_path, growing, "--output", "json", "audit", "export", "--to", str(target)) == 0
    shown = json.loads(capsys.readouterr().out)
    documented.check("audit export", shown, "pulp-admin")
    assert shown == {"file": str(target), "format": "jsonl", "events": 25, "end": f"{TOPIC}.25"}
    assert [json.loads(line) for line in target.read_text().splitlines()] == [entry(offset) for offset in range(25)]
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "audit" in path.name] == ["audit.jsonl"]


def test_csv_holds_no_formula(tmp_path: Path) -> None:
    evil = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "\uff1d1", 'a "quoted", word\nand a line', "plain"]
    target = tmp_path / "audit.csv"
    audit = Audit([entry(number, reason=text, client=text) for number, text in enumerate(evil)])
    assert admin(tmp_path, audit, "audit", "export", "--to", str(target)) == 0
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == [f"'{text}" for text in evil[:8]] + evil[8:]
    assert [row["client"] for row in rows] == [row["reason"] for row in rows]
    assert (rows[3]["task_id"], rows[3]["offset"], rows[3]["address"]) == (TASK, "3", "")


def test_parquet_holds_what_the_lines_hold(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from pyarrow import parquet

    target = tmp_path / "audit.parquet"
    assert admin(tmp_path, Audit([entry(offset) for offset in range(25)]), "audit", "export", "--to", str(target)) == 0
    rows = parquet.read_table(target).to_pylist()
    assert [row["offset"] for row in rows] == [*range(25)]
    assert rows[7]["time"] == datetime(2026, 11, 24, 12, 0, 7, tzinfo=UTC)
    assert json.loads(rows[7]["event"]) == {"data": {"reason": "number 7"}}
    assert (rows[7]["task_id"], rows[7]["address"], rows[7]["authentication"]) == (TASK, None, "token")
    assert [path.name for path in tmp_path.iterdir() if "audit" in path.name] == ["audit.parquet"]


@pytest.mark.parametrize(
    ("name", "given"), [("a.jsonl.gz", []), ("a.json.gz", []), ("A.CSV.GZ", []), ("a.gz", ["--format", "csv"])]
)
@pytest.mark.parametrize("events", [0, 25])
def test_a_name_that_ends_in_gz_is_compressed(tmp_path: Path, name: str, given: list[str], events: int) -> None:
    """An export to NAME.gz was once plain text, which no tool could open."""
    audit, plain = Audit([entry(offset) for offset in range(events)]), tmp_path / "plain"
    is_csv = "csv" in (name.lower() + "".join(given))
    assert admin(tmp_path, audit, "audit", "export", "--to", str(plain), "--format", "csv" if is_csv else "jsonl") == 0
    assert admin(tmp_path, audit, "audit", "export", "--to", str(tmp_path / name), *given) == 0
    done = subprocess.run(["gzip", "--decompress", "--stdout", tmp_path / name], capture_output=True, check=True)
    assert done.stdout == plain.read_bytes()
    assert done.stdout.count(b"\n") == events + is_csv


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.csv.BZ2", "a.zip", "a.parquet.gz"])
def test_another_compression_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert admin(tmp_path, Audit([entry(0)]), "audit", "export", "--to", str(tmp_path / name)) == 65
    assert "compressed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a.")] == []


def test_parquet_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it was complete, it once had the mode of any new file."""
    modes = []

    def write(source: Path, target: Path) -> int:
        modes.append(target.stat().st_mode & 0o777)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pulp_admin.audit_export.write_parquet", write)
        target = tmp_path / "audit.parquet"
        assert admin(tmp_path, Audit([entry(0)]), "audit", "export", "--to", str(target)) == 74
    assert modes == [0o600]
    assert not (tmp_path / "audit.parquet.part.parquet").exists()  # the space for the next try is free again
    assert admin(tmp_path, Audit([entry(0)]), "audit", "export", "--to", str(target), "--resume") == 0
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_row_group_of_parquet_is_bounded_by_bytes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event may have a megabyte, and a whole group is in memory."""
    from pyarrow import parquet

    monkeypatch.setattr("pulp_admin.audit_formats._GROUP_BYTES", 2000)
    events = [entry(offset, reason="x" * 900) for offset in range(25)]
    target = tmp_path / "audit.parquet"
    assert admin(tmp_path, Audit(events), "audit", "export", "--to", str(target)) == 0
    made = parquet.read_metadata(target)
    sizes = [made.row_group(number).num_rows for number in range(made.num_row_groups)]
    assert (sum(sizes), max(sizes)) == (25, 2)


def test_standard_output_takes_lines(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert admin(tmp_path, Audit([entry(offset) for offset in range(12)]), "audit", "export") == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 12


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--resume"], "--resume and --format parquet need --to FILE"),
        (["--to", "{file}", "--resume"], "No export to {file} was cut: leave out --resume to begin one."),
        (["--to", "{taken}"], "{taken} is there already: remove it, or choose another name."),
        (["--to", "{cut}"], "An export to {cut} was cut. To continue it:"),
        (["--to", "{cut}", "--resume", "--who", "jo"], "--resume takes the filters and the format of the export"),
        (["--to", "{cut}", "--resume"], "{cut}.part is shorter than it was: remove it"),
        (["--to", "{torn}", "--resume"], "{torn}.part.json cannot be read: remove it and {torn}.part"),
        (["--to", "{odd}", "--resume"], "{odd}.part.json cannot be read: remove it and {odd}.part"),
    ],
)
def test_exports_that_cannot_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], says: str
) -> None:
    names = {name: str(tmp_path / name) for name in ("file", "taken", "cut", "torn", "odd")}
    (tmp_path / "taken").touch()
    (tmp_path / "cut.part").write_text("{}\n")
    (tmp_path / "cut.part.json").write_text(json.dumps({"format": "jsonl", "params": {}, "size_bytes": 99}))
    (tmp_path / "torn.part.json").write_text("{")
    (tmp_path / "odd.part.json").write_text(json.dumps({"format": "jsonl", "params": {}, "cursor": 9}))
    command = [text.format_map(names) for text in given]
    assert admin(tmp_path, Audit([entry(0)]), "audit", "export", *command) in (64, 65)
    assert says.format_map(names) in " ".join(capsys.readouterr().err.split())


def test_an_export_that_is_refused_leaves_nothing_to_continue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Continuing it would be refused again, and its files would be in the way of the corrected export."""
    audit, target = Audit([entry(0)]), tmp_path / "audit.jsonl"

    def picky(request: httpx.Request) -> httpx.Response:
        if "nope" in request.url.params.get_list("effect"):
            return httpx.Response(400, json={"detail": "effect=nope: there are applied, ignored"})
        return audit(request)

    assert admin(tmp_path, picky, "audit", "export", "--to", str(target), "--effect", "nope") == 65
    assert [path.name for path in tmp_path.iterdir() if "audit" in path.name] == []
    assert admin(tmp_path, picky, "audit", "export", "--to", str(target), "--effect", "applied") == 0
    assert target.read_bytes().count(b"\n") == 1


def test_an_export_whose_server_goes_away_says_how_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit, target = Audit([entry(offset) for offset in range(25)]), tmp_path / "of november.jsonl"
    is_away = [False, True]

    def answer(request: httpx.Request) -> httpx.Response:
        if is_away and is_away.pop(0):
            return httpx.Response(403, json={"detail": "no more"})
        return audit(request)

    assert admin(tmp_path, answer, "audit", "export", "--to", str(target)) == 77
    told = " ".join(capsys.readouterr().err.split())
    assert f"What was written stays; to continue: pulp-admin audit export --to '{target}' --resume" in told
    assert admin(tmp_path, answer, "audit", "export", "--to", str(target), "--resume") == 0
    assert target.read_bytes().count(b"\n") == 25


def test_a_place_that_takes_no_file_leaves_nothing_to_continue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "nowhere" / "audit.jsonl"
    assert admin(tmp_path, Audit([entry(0)]), "audit", "export", "--to", str(target)) == 74
    assert " ".join(capsys.readouterr().err.split()) == f"{target} cannot be written: No such file or directory."


def test_a_dash_is_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert admin(tmp_path, Audit([entry(0)]), "audit", "export", "--to", "-") == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 1
    assert not (tmp_path / "-").exists()


def test_two_exports_to_one_file(tmp_path: Path) -> None:
    files = ExportFiles(tmp_path / "audit.jsonl")
    progress = files.begin(ExportProgress("jsonl", {}))
    with files.open(progress), pytest.raises(Failure, match=r"Another process is writing .*audit\.jsonl\.part"):
        files.open(progress).__enter__()


@pytest.fixture
def server() -> Iterator["Served"]:
    with Served() as made:
        yield made


class Served:
    """The audit of a thousand events over HTTP, which stops answering after some pages until it may continue."""

    def __init__(self) -> None:
        self.audit = Audit([entry(offset, reason=f"=number {offset}") for offset in range(1000)])
        self.pages_left, self.is_stuck, self.may_go_on = 10**9, threading.Event(), threading.Event()
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.pages_left -= 1
                if served.pages_left < 0:
                    served.is_stuck.set()
                    served.may_go_on.wait(60)
                body = json.dumps(served.audit.page(parse_qs(urlparse(self.path).query))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except BrokenPipeError:
                    return

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Served":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_go_on.set()
        self._server.shutdown()
        self._server.server_close()


def command(server: Served, folder: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from pulp_admin.main import main; main()",
        "--url",
        server.url,
        "-u",
        "a",
        "-p",
        "b",
        *arguments,
    ]


def environment(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet", "csv.gz"])
@pytest.mark.parametrize("pages", [0, 3])
def test_a_killed_export_is_continued(server: Served, tmp_path: Path, format_: str, pages: int) -> None:
    """Killed with SIGKILL while it waits for a page, once more when it has a torn page behind it: nothing is lost, and
    nothing is exported twice.
    """
    whole, target = tmp_path / f"whole.{format_}", tmp_path / f"cut.{format_}"
    export = ["audit", "export", "--to"]
    subprocess.run(command(server, tmp_path, *export, str(whole)), env=environment(tmp_path), check=True, timeout=60)
    for turn in range(2):
        server.pages_left = pages
        server.is_stuck.clear()
        resume = ["--resume"] if turn else []
        running = subprocess.Popen(command(server, tmp_path, *export, str(target), *resume), env=environment(tmp_path))
        assert server.is_stuck.wait(60)
        running.send_signal(signal.SIGKILL)
        running.wait(60)
        with target.with_name(target.name + ".part").open("ab") as part:  # as if killed in the middle of the next page
            part.write(b'{"partition":0,"offs')
        assert not target.exists()
    server.pages_left = 10**9
    server.may_go_on.set()
    subprocess.run(
        command(server, tmp_path, *export, str(target), "--resume"), env=environment(tmp_path), check=True, timeout=60
    )
    if format_ == "parquet":
        from pyarrow import parquet

        assert parquet.read_table(target).equals(parquet.read_table(whole))
    else:
        assert target.read_bytes() == whole.read_bytes()
        found = target.read_bytes()
        text = gzip.decompress(found) if format_.endswith("gz") else found
        assert text.count(b"\n") == 1000 + ("csv" in format_)
    assert sorted(path.name for path in tmp_path.iterdir() if "cut" in path.name) == [target.name]


def test_a_kill_between_the_name_and_the_end(tmp_path: Path) -> None:
    """The file has its name, and its side files are still there."""
    files = ExportFiles(tmp_path / "audit.jsonl")
    progress = files.begin(ExportProgress("jsonl", {}))
    with files.open(progress) as descriptor:
        files.append(
            descriptor, b"{}\n", ExportProgress("jsonl", {}, cursor=f"{TOPIC}.1", end=f"{TOPIC}.1", is_complete=True)
        )
    os.replace(tmp_path / "audit.jsonl.part", tmp_path / "audit.jsonl")
    assert admin(tmp_path, Audit([]), "audit", "export", "--to", str(tmp_path / "audit.jsonl"), "--resume") == 0
    assert (tmp_path / "audit.jsonl").read_bytes() == b"{}\n"
    assert not (tmp_path / "audit.jsonl.part.json").exists()
