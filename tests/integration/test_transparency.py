"""The log of a real Kafka: kept by its process, exactly once; checked and proved by the commands."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_deploy.local.ports import free_ports
from pulp_events.checkpoints import all_records
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_transparency.auditing import Alteration, LogReport
from pulp_transparency.follower import STATUS
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import NoteSigner
from pulp_transparency.published import CheckpointTopic, Published
from pulp_transparency.records import CopyFolder, KafkaRecords
from pulp_transparency.tiles import LogTree, TileFolder
from pulp_transparency.verifying import compare_history, published_notes, reports

from tests.conftest import PARTITIONS
from tests.support import documented
from tests.support.backends import Backend
from tests.support.collector import collector
from tests.support.command import environment, pulp_tasks
from tests.support.measured import scraped
from tests.support.projection import append_all, execute, project, settings_of
from tests.support.records import life

LIMIT_S = 60
KILLS = 4
CHECKER = Path(__file__).parents[2] / "examples" / "check_proof.py"


@dataclass
class Scene:
    """An installation with a key."""

    backend: Backend
    topics: Topics
    log: KafkaLog
    database: str
    folder: Path
    env: dict[str, str]

    @property
    def tiles(self) -> Path:
        return self.folder / "tiles"

    @property
    def ring(self) -> KeyRing:
        return KeyRing.read(self.folder / "key.keys")

    def start(self, **more: str) -> "subprocess.Popen[str]":
        """The process that keeps the log."""
        return subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", "transparency"],
            env={**self.env, "PULP_TRANSPARENCY_INTERVAL_S": "0.1", **more},
            stderr=subprocess.PIPE,
            text=True,
        )

    def audit(self, *arguments: str, code: int = 0, **more: str) -> Any:
        """The output of a command."""
        done = pulp_tasks("--output", "json", "audit", *arguments, env={**self.env, **more})
        assert done.returncode == code, done.stderr
        if not done.stdout:
            return done.stderr
        value = json.loads(done.stdout)
        documented.check(f"audit {arguments[0]}", value)
        return value

    def covered(self, partition: int) -> int:
        """How many records of a partition the folder's checkpoint covers."""
        note = TileFolder(self.tiles / str(partition)).checkpoint()
        return 0 if note is None else self.ring.open(note, partition).size

    async def until(self, condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                assert process is None or process.poll() is None, process.communicate()
                await asyncio.sleep(0.02)

    async def kept(self, records: int, partition: int = 1, **more: str) -> None:
        """Run the process until a partition's log has this many records and the topic has their checkpoint; then stop
        it."""
        told = self.tiles / STATUS
        told.unlink(missing_ok=True)
        process = self.start(**more)
        try:
            await self.until(lambda: told.exists() and self.covered(partition) >= records, process)
        finally:
            process.send_signal(signal.SIGTERM)
        said = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, said


@pytest.fixture
async def scene(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Scene]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    env = environment(
        tmp_path,
        PULP_KAFKA=backend.kafka,
        PULP_POSTGRES=database,
        PULP_TOPIC_PREFIX=topics.events.removesuffix(".events"),
        PULP_TRANSPARENCY_FOLDER=str(tmp_path / "tiles"),
        PULP_TRANSPARENCY_KEY=str(tmp_path / "key"),
    )
    made = Scene(backend, topics, log, database, tmp_path, env)
    made.audit("keygen", "--name", "pulp.example/events")
    yield made
    await log.close()


async def test_what_is_traced_has_a_span_until_a_checkpoint_covers_it(scene: Scene) -> None:
    parent = "00f067aa0ba902b7"
    first, *others = life(uuid4())
    traced = msgspec.structs.replace(first, traceparent=f"00-{'4' * 32}-{parent}-01")
    unsampled = [msgspec.structs.replace(each, traceparent=f"00-{'7' * 32}-{parent}-00") for each in others]
    await append_all(scene.log, [(event, 1) for event in (traced, *unsampled, *life(uuid4()))])
    with collector() as traces:
        await scene.kept(1 + len(others), 1, **traces.environment)  # it sends the rest when it ends
        [span] = traces.spans
    topic = scene.topics.events
    assert (span.name, span.kind, span.service) == (f"log {topic}", "consumer", "pulp-tasks-transparency")
    assert (span.trace_id, span.parent_id, span.is_error) == ("4" * 32, parent, False)
    assert span.attributes["pulp.task.id"] == str(first.task_id)
    assert span.attributes["messaging.kafka.offset"] == 0
    assert 1 <= int(span.attributes["pulp.log.size"]) <= scene.covered(1)
    assert span.attributes["messaging.destination.name"] == topic
    assert span.start_ns <= span.end_ns


async def append_lives(scene: Scene, count: int, partition: int = 1) -> None:
    await append_all(scene.log, [(event, partition) for _ in range(count) for event in life(uuid4())])


async def test_the_log_is_right_however_often_its_process_is_killed(scene: Scene) -> None:
    random = Random(int(os.environ.get("PULP_TEST_SEED", random_seed())))
    sizes: list[int] = []
    for _ in range(KILLS):
        process = scene.start()
        await append_lives(scene, 40)
        before = scene.covered(1)
        await scene.until(lambda before=before: scene.covered(1) > before, process)  # type: ignore[misc]
        await asyncio.sleep(random.random() / 10)  # anywhere between two checkpoints, or within one
        process.kill()
        await asyncio.to_thread(process.communicate)
        sizes.append(scene.covered(1))
    ends = await scene.log.end_offsets()
    await scene.kept(ends[1])
    assert sizes == sorted(sizes)
    found = scene.audit("verify", "--no-history")
    assert found["is_intact"]
    assert [each["size"] for each in found["partitions"]] == [ends[each] for each in range(PARTITIONS)]
    assert found["partitions"][1]["compared"] == ends[1]
    # Every checkpoint in the topic belongs to the same log, and the last one is the folder's.
    notes = list(published_notes(scene.backend.kafka, scene.topics.checkpoints)[1])
    assert found["partitions"][1]["checkpoints"] == len(notes) > 0
    assert notes[-1].text == TileFolder(scene.tiles / "1").checkpoint()
    tree = LogTree(TileFolder(scene.tiles / "1"), ends[1])
    assert [entry.offset for entry in tree.entries()] == list(range(ends[1]))


def random_seed() -> int:
    seed = Random().randrange(10**9)
    print(f"PULP_TEST_SEED={seed}")
    return seed


async def test_outlets_get_each_checkpoint_and_one_that_fails_is_told_and_tried_again(scene: Scene) -> None:
    outside, taken, open_ = scene.folder / "outside", scene.folder / "taken", scene.folder / "open"
    witness = f"sh -c 'test -e {open_} || {{ echo closed today >&2; exit 3; }}; cat >> {taken}'"
    await append_lives(scene, 3)
    [port] = free_ports(1)
    process = scene.start(
        PULP_TRANSPARENCY_OUTSIDE=str(outside),
        PULP_TRANSPARENCY_WITNESSES=f"true; {witness}",
        PULP_METRICS_PORT=str(port),
    )

    def is_told() -> bool:
        """The first witness has the last checkpoint, and the second one has refused it."""
        with contextlib.suppress(FileNotFoundError):
            outlets = json.loads((scene.tiles / STATUS).read_text())["outlets"]
            return outlets["witness 1 (true)"]["waiting"] == 0 and outlets["witness 2 (sh)"]["fault"] is not None
        return False

    try:
        await scene.until(lambda: scene.covered(1) == 18, process)
        await scene.until(is_told, process)
        shown = await scraped(port)
        assert shown.value("pulp_tasks_log_untaken_checkpoints", outlet="witness 1 (true)") == 0
        assert shown.value("pulp_tasks_log_untaken_checkpoints", outlet="witness 2 (sh)") >= 1
        assert shown.values("pulp_tasks_log_uncovered_events", "partition").keys() == set(map(str, range(PARTITIONS)))
        [status] = [each for each in scene.audit("status")["outlets"] if each["name"] == "witness 2 (sh)"]
        assert status["fault"] == "it exited with 3: closed today"
        assert status["waiting"] >= 1
        open_.touch()
        newest = (scene.tiles / "1" / "checkpoint").read_text()
        await scene.until(lambda: taken.exists() and newest in taken.read_text(), process)
        await scene.until((outside / "1" / f"{18:020}").exists, process)
    finally:
        process.send_signal(signal.SIGTERM)
    said = (await asyncio.to_thread(process.communicate))[1]
    assert process.returncode == 0
    assert "a checkpoint was not taken by witness 2 (sh): it exited with 3: closed today" in said
    assert (outside / "1" / f"{18:020}").read_text() == newest
    lag = scene.audit("status")["partitions"]
    assert [(each["partition"], each["lag"]) for each in lag] == [(each, 0) for each in range(PARTITIONS)]
    await append_lives(scene, 1)
    [behind] = [each for each in scene.audit("status")["partitions"] if each["lag"]]
    assert (behind["partition"], behind["lag"]) == (1, 6)
    assert behind["waiting_s"] is not None
    report = scene.audit("verify", "--no-history", PULP_TRANSPARENCY_OUTSIDE=str(outside))["partitions"][1]
    assert (report["uncovered"], report["found"]) == (6, [])
    assert report["checkpoints"] >= 2


def rows_found(scene: Scene) -> list[Alteration]:
    reports = [LogReport(partition, "") for partition in range(PARTITIONS)]
    compare_history(scene.database, KafkaRecords(scene.backend.kafka, scene.topics.events), reports)
    return [each for report in reports for each in report.found]


async def test_the_history_in_postgres_is_compared_with_the_log(scene: Scene) -> None:
    await append_lives(scene, 3)
    raw_producer.append(
        raw_producer.make(scene.backend.kafka), scene.topics.events, [RawRecord(b"k", b"no event", (("h", b"v"),), 2)]
    )
    await project(settings_of(scene.backend.kafka, scene.database, scene.topics), await scene.log.end_offsets())
    await scene.kept(18)
    whole = scene.audit("verify")
    assert whole["is_intact"]
    assert [each["rows"] for each in whole["partitions"]] == [0, 18, 1, 0]
    at = "where partition = 1 and record_offset = 7"
    changes = {
        "a byte of the event": (f"update task_events set event = set_byte(event, 9, get_byte(event, 9) # 1) {at}", "altered", "1:7"),
        "the actor": (f"update task_events set actor = actor || 'x' {at}", "altered", "1:7"),
        "the author's time": (f"update task_events set event_time = event_time + interval '1 us' {at}", "altered", "1:7"),
        "the broker's time": (f"update task_events set broker_time = broker_time - interval '1 ms' {at}", "altered", "1:7"),
        "a row that is gone": (f"delete from task_events {at}", "missing", "1:7"),
        "the last row": ("delete from task_events where partition = 1 and record_offset = 17", "cut off", "1:17"),
        "a row that was added": (
            "insert into task_events select 0, 5, task_id, event_id, type, event_time, broker_time, actor, effect, event"
            f" from task_events {at}",
            "added",
            "0:5",
        ),
        "a partition that does not exist": (
            "insert into task_events select 9, 5, task_id, event_id, type, event_time, broker_time, actor, effect, event"
            f" from task_events {at}",
            "added",
            "9:5",
        ),
        "two rows that were swapped": (
            "update task_events set record_offset = record_offset + 100 where partition = 1 and record_offset in (4, 7);"
            " update task_events set record_offset = 7 where record_offset = 104;"
            " update task_events set record_offset = 4 where record_offset = 107",
            "swapped",
            "1:4",
        ),
        "a dead letter": ("update dead_letters set value = 'no event!'", "altered", "2:0"),
        "the key of a dead letter": ("update dead_letters set key = null", "altered", "2:0"),
    }  # fmt: skip
    await execute(scene.database, "create table kept as table task_events")
    await execute(scene.database, "create table kept_letters as table dead_letters")
    for what, (statement, kind, place) in changes.items():
        for each in statement.split(";"):
            await execute(scene.database, each)
        found = await asyncio.to_thread(rows_found, scene)
        assert [(row.subject, row.kind, row.place) for row in found] == [("row", kind, place)], what
        for table, kept in (("task_events", "kept"), ("dead_letters", "kept_letters")):
            await execute(scene.database, f"delete from {table}")
            await execute(scene.database, f"insert into {table} select * from {kept}")
    assert scene.audit("verify")["is_intact"]


async def test_an_archive_is_checked_alone_and_before_kafka(scene: Scene) -> None:
    await append_lives(scene, 4)
    await scene.kept(24)
    archive = scene.folder / "archive"
    done = pulp_tasks("archive", "write", "--to", str(archive), env=scene.env)
    assert (done.returncode, done.stderr) == (0, "")
    [note] = (archive / "checkpoints" / "1").iterdir()
    assert (note.name, note.read_text()) == (f"{24:020}", (scene.tiles / "1" / "checkpoint").read_text())
    await append_lives(scene, 2)
    await scene.kept(36)
    whole = scene.audit("verify", "--archive", str(archive), PULP_KAFKA="", PULP_POSTGRES="")
    assert whole["is_intact"]
    assert [(each["size"], each["compared"], each["checkpoints"]) for each in whole["partitions"][1:2]] == [(36, 24, 1)]
    client = AdminClient({"bootstrap.servers": scene.backend.kafka})  # its futures end only while it lives
    for future in client.delete_records([TopicPartition(scene.topics.events, 1, 24)]).values():
        await asyncio.to_thread(future.result)
    [lost] = scene.audit("verify", "--no-history", code=1)["partitions"][1]["found"]
    assert (lost["kind"], lost["place"]) == ("missing", "1:0")
    both = scene.audit("verify", "--no-history", PULP_ARCHIVE=str(archive))
    assert (both["is_intact"], both["partitions"][1]["compared"]) == (True, 36)
    proved = scene.audit("prove", "1:5", "--to", str(scene.folder), PULP_ARCHIVE=str(archive))
    assert [each.rpartition(".")[2] for each in proved["files"]] == ["tlog-proof", "json"]
    [file] = (archive / "1").glob("*.parquet")
    file.write_bytes(b"PAR1" + file.read_bytes()[4:-1])
    for found in (
        scene.audit("verify", "--no-history", code=1, PULP_ARCHIVE=str(archive)),
        scene.audit("verify", "--archive", str(archive), code=1, PULP_KAFKA="", PULP_POSTGRES=""),
    ):
        assert [(each["subject"], each["place"]) for each in found["partitions"][1]["found"]] == [
            ("record", "1:0"),
            ("file", str(file)),
        ]


async def test_a_copy_is_checked_in_place_of_kafka(scene: Scene) -> None:
    await append_lives(scene, 4)
    await scene.kept(24)
    archive = scene.folder / "archive"
    assert scene.audit("copy", str(archive))[1] == {"partition": 1, "records": 24}
    assert scene.audit("verify", "--archive", str(archive), PULP_KAFKA="", PULP_POSTGRES="")["is_intact"]
    file = archive / "1.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    for changed, kind, place in (
        ([*lines[:5], lines[6], lines[5], *lines[7:]], "swapped", "1:5"),
        ([*lines[:5], *lines[6:]], "missing", "1:5"),
        (lines[:20], "cut off", "1:20"),
        ([*lines[:5], lines[5].replace('"timestamp_ms":1', '"timestamp_ms":2'), *lines[6:]], "altered", "1:5"),
        ([*lines[:5], "nonsense\n", *lines[6:]], "unreadable", "1:5"),
    ):
        file.write_text("".join(changed))
        [found] = [
            each for report in reports(scene.tiles, scene.ring, CopyFolder(archive), {}) for each in report.found
        ]
        assert (found.subject, found.kind, found.place) == ("record", kind, place)
    [found] = scene.audit("verify", "--archive", str(archive), code=1, PULP_KAFKA="", PULP_POSTGRES="")["partitions"][
        1
    ]["found"]
    assert found["kind"] == "unreadable"
    assert "is not empty" in scene.audit("copy", str(archive), code=65)


async def test_proofs_are_checked_by_the_script(scene: Scene, tmp_path: Path) -> None:
    await append_lives(scene, 2)
    await scene.kept(12)
    older = tmp_path / "older"
    older.write_text((scene.tiles / "1" / "checkpoint").read_text())
    await append_lives(scene, 60)
    await scene.kept(372)
    proofs = str(tmp_path / "proofs")
    made = scene.audit("prove", "1:300", "--to", proofs)
    proof, record = map(Path, made["files"])
    [since] = map(Path, scene.audit("prove", "--since", str(older), "--to", proofs)["files"])
    [vkey] = made["vkeys"]
    assert [each["vkey"] for each in scene.audit("keys", "--partition", "1")] == [vkey]

    def check(*arguments: Path | str, key: str = vkey) -> "subprocess.CompletedProcess[str]":
        # -I: nothing of the checkout, and no module of ours is on the path of the script's own folder.
        command = [sys.executable, "-I", str(CHECKER), "--vkey", key, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = check(proof, "--record", record)
    assert (done.returncode, done.stdout) == (
        0,
        "proved: record 1:300 is number 300 of the 372 records of pulp.example/events/1\n",
    ), done.stderr
    done = check(since)
    assert done.stdout == "proved: the 372 records of pulp.example/events/1 begin with the 12 of the older checkpoint\n"
    altered = tmp_path / "altered.json"
    altered.write_text(record.read_text().replace('"offset":300', '"offset":301'))
    done = check(proof, "--record", altered)
    assert (done.returncode, done.stderr) == (1, "NOT PROVED: the record is not the one of the proof: it was altered\n")
    other = scene.audit("keys", "--partition", "2")[0]["vkey"]
    assert "signed by another key" in check(since, key=other).stderr
    broken = tmp_path / "broken.proof"
    broken.write_text(since.read_text().replace("\n372\n", "\n371\n"))
    assert "the checkpoint was altered" in check(broken).stderr
    assert "does not cover offset 5000 yet" in scene.audit("prove", "1:5000", code=66)
    assert "PULP" not in CHECKER.read_text()
    assert "import pulp" not in CHECKER.read_text()


async def test_a_rotated_key_goes_on_and_a_strange_one_is_refused(scene: Scene, tmp_path: Path) -> None:
    await append_lives(scene, 2)
    await scene.kept(12)
    first = scene.ring.keys[0].verifier
    made = scene.audit("keygen", "--rotate")
    assert made["vkey"] != first.vkey
    assert (scene.folder / "key").stat().st_mode & 0o777 == 0o600
    await append_lives(scene, 2)
    await scene.kept(24)
    assert scene.audit("verify", "--no-history")["is_intact"]
    spans = [(each["signs_from"], each["signs_to"]) for each in scene.audit("keys", "--partition", "1")]
    assert spans == [(0, 12), (12, None)]
    # Whoever has only the first key sees that another key has signed, not that something was altered.
    trusted = tmp_path / "trusted"
    trusted.write_text(first.vkey + "\n")
    found = scene.audit("verify", "--no-history", "--keys", str(trusted), code=1)["partitions"][1]["found"]
    assert {(each["subject"], each["kind"]) for each in found} == {("checkpoint", "unknown key")}
    (scene.folder / "key").write_text((scene.folder / "key").read_text().replace("PRIVATE", "PUBLIC"))
    process = scene.start()
    said = (await asyncio.to_thread(process.communicate))[1]
    assert process.returncode == 78
    assert "not a signing key" in said


async def test_a_log_that_was_altered_is_not_signed(scene: Scene) -> None:
    """The folder is lost, and Kafka's records are not the published ones."""
    await append_lives(scene, 2)
    await scene.kept(12)
    for each in scene.tiles.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    await scene.kept(12)  # rebuilt from Kafka, identical
    note = (scene.tiles / "1" / "checkpoint").read_text()
    notes = [(record.value or b"").decode() for record in all_records(scene.backend.kafka, scene.topics.checkpoints)]
    assert note in notes
    # Another topic under the same name would have other records at the same offsets: as if one had been altered.
    log = scene.tiles / "1"
    shutil.rmtree(log)
    other = scene.folder / "other"
    forged = scene.ring.open(note, 1)._replace(root=bytes(32))
    signer = (scene.folder / "key").read_text()
    text = forged.signed(NoteSigner.parse(signer).named(forged.origin))
    CheckpointTopic(scene.backend.kafka, scene.topics.checkpoints).append(Published(1, forged.origin, 12, text, 12))
    process = scene.start(PULP_TRANSPARENCY_FOLDER=str(other))
    said = (await asyncio.to_thread(process.communicate))[1]
    assert process.returncode == 65
    assert "the first 12 records of pulp.example/events/1 are not those of the checkpoint that was published" in said
    assert not (other / "1" / "checkpoint").exists()
