"""The archive on a real Kafka: written while events arrive, killed, on a full disk; read by a rebuild, and by `verify`."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pulp_archive import reach
from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveDamaged, ArchiveIncomplete
from pulp_events.errors import OffsetOutOfRange
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics
from pulp_processor.main import serve
from pulp_processor.rebuilding import activation, rebuild, verify
from pulp_processor.settings import Settings
from pulp_runtime.startup import PreconditionFailed, prepare

from tests.conftest import PARTITIONS
from tests.support import documented
from tests.support.archives import files_of
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.processor_process import installation
from tests.support.projection import append_all, project, rows, settings_of, stories
from tests.support.s3 import s3

TABLES = ("tasks", "task_events", "dead_letters", "positions")
KILLS = 6
SPAN = 30
WRITE_IN_SMALL_FILES = f"""
import sys
from pulp_archive.writing import write
for _ in write(sys.argv[1], sys.argv[2], sys.argv[3], {{}}, span_records={SPAN}):
    pass
"""


@dataclass
class Scene:
    """A log with stories in it, their projection, and the place of the archive."""

    backend: Backend
    topics: Topics
    log: KafkaLog
    settings: Settings
    archive: Path
    env: dict[str, str]

    @property
    def archived(self) -> Settings:
        return replace(self.settings, archive=str(self.archive))

    def run(self, *arguments: str, code: int = 0, **more: str) -> Any:
        """What `pulp-tasks archive` prints as JSON, or says on standard error."""
        done = pulp_tasks("--output", "json", "archive", *arguments, env={**self.env, **more})
        assert done.returncode == code, (done.stdout, done.stderr)
        if not done.stdout:
            return done.stderr
        value = json.loads(done.stdout)
        documented.check(f"archive {arguments[0]}", value)
        return value

    def command(self) -> list[str]:
        return [sys.executable, "-c", WRITE_IN_SMALL_FILES, str(self.archive), self.backend.kafka, self.topics.events]

    def cut(self, offsets: dict[int, int]) -> None:
        """Make Kafka delete everything before these offsets, as its retention does."""
        admin = AdminClient({"bootstrap.servers": self.backend.kafka})  # its futures end only while it lives
        places = [TopicPartition(self.topics.events, *place) for place in offsets.items()]
        for future in admin.delete_records(places, request_timeout=20).values():
            future.result()

    def retain(self, retention_ms: int) -> None:
        """Set the retention of the topic."""
        admin = AdminClient({"bootstrap.servers": self.backend.kafka})
        entry = ConfigEntry("retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ResourceType.TOPIC, self.topics.events, incremental_configs=[entry])
        admin.incremental_alter_configs([topic])[topic].result()

    async def records(self) -> dict[int, list[Record]]:
        """What Kafka has."""
        ends = await self.log.end_offsets()

        def read() -> dict[int, list[Record]]:
            found: dict[int, list[Record]] = {partition: [] for partition in ends}
            with Reader(self.backend.kafka, self.topics.events, dict.fromkeys(ends, 0)) as reader:
                for partition, records in reader.until(ends):
                    found[partition] += records
            return found

        return await asyncio.to_thread(read)

    def read(self) -> dict[int, list[Record]]:
        """What the archive has."""
        found = Archive.open(str(self.archive))
        return {
            partition: [each for batch in found.read(partition) for each in batch] for partition in range(PARTITIONS)
        }


@pytest.fixture
async def scene(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Scene]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS))
    settings = settings_of(backend.kafka, database, topics, batch_records=50)
    await project(settings, await log.end_offsets())
    env = environment(
        tmp_path,
        PULP_KAFKA=backend.kafka,
        PULP_POSTGRES=database,
        PULP_TOPIC_PREFIX=topics.events.removesuffix(".events"),
        PULP_ARCHIVE=str(tmp_path / "archive"),
    )
    yield Scene(backend, topics, log, settings, tmp_path / "archive", env)
    await log.close()


async def test_the_command_archives_what_kafka_has_and_goes_on_from_there(scene: Scene) -> None:
    ends = await scene.log.end_offsets()
    written = await asyncio.to_thread(scene.run, "write")
    assert [(each["begin"], each["next"], each["records"]) for each in written] == [
        (0, end, end) for _, end in sorted(ends.items())
    ]
    assert scene.read() == await scene.records()
    again = await asyncio.to_thread(scene.run, "write")
    assert [(each["records"], each["files"]) for each in again] == [(0, 0)] * PARTITIONS
    await append_all(scene.log, more := stories(2, PARTITIONS, length=20))
    new = [sum(partition == each for _, partition in more) for each in range(PARTITIONS)]
    status = await asyncio.to_thread(scene.run, "status")
    assert [(each["waiting"], each["lost"]) for each in status] == [(each, 0) for each in new]
    assert [each["records"] for each in await asyncio.to_thread(scene.run, "write")] == new
    assert scene.read() == await scene.records()
    listed = await asyncio.to_thread(scene.run, "list", "--partition", "1")
    assert [(each["begin"], each["next"]) for each in listed] == [(0, ends[1]), (ends[1], ends[1] + new[1])]
    assert await asyncio.to_thread(scene.run, "verify") == {"is_intact": True, "files": 2 * PARTITIONS, "found": []}
    files_of(scene.archive, 2)[0].unlink()
    [found] = (await asyncio.to_thread(scene.run, "verify", code=1))["found"]
    assert (Path(found["file"]).parent, found["is_missing"]) == (scene.archive / "2", True)


async def test_only_what_came_before_a_time_is_archived(scene: Scene) -> None:
    records = await scene.records()
    assert {each["records"] for each in await asyncio.to_thread(scene.run, "write", "--before", "2001-01-01")} == {0}
    assert scene.read() == {partition: [] for partition in records}
    assert [each["records"] for each in await asyncio.to_thread(scene.run, "write", "--before", "2100-01-01")] == [
        len(each) for each in records.values()
    ]


async def test_killed_anywhere_it_goes_on_and_the_archive_is_whole(scene: Scene) -> None:
    random = Random(int(os.environ.get("PULP_TEST_SEED", "") or int.from_bytes(os.urandom(4))))
    sizes: list[int] = []
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(*scene.command())
        target = sum(sizes[-1:]) + random.randint(1, 4)
        async with asyncio.timeout(60):
            while process.returncode is None and len([*scene.archive.rglob("*.parquet")]) < target:  # noqa: ASYNC110
                await asyncio.sleep(0)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        sizes.append(len([*scene.archive.rglob("*.parquet")]))
        kept = scene.read()
        wanted = await scene.records()
        assert all(found == wanted[partition][: len(found)] for partition, found in kept.items())
    done = await asyncio.to_thread(subprocess.run, scene.command(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert scene.read() == await scene.records()
    listed = {each.file for manifest in Archive.open(str(scene.archive)).manifests.values() for each in manifest.spans}
    assert {path.name for path in scene.archive.rglob("*.parquet*")} == listed


async def test_on_a_full_disk_it_says_so_and_goes_on_later(scene: Scene) -> None:
    def limit() -> None:
        """No file can grow, as on a full disk; and no signal ends the process."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [sys.executable, "-m", "pulp_deploy", "archive", "write"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=scene.env, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert done.returncode == 74, done.stderr
    assert f"the archive at {scene.archive} cannot be written: File too large" in done.stderr
    assert "What is complete stays" in done.stderr
    assert [*scene.archive.rglob("*.new")] == []
    await asyncio.to_thread(scene.run, "write")
    assert scene.read() == await scene.records()


async def test_a_rebuild_and_verify_read_the_archive_and_then_kafka(scene: Scene) -> None:
    await asyncio.to_thread(subprocess.run, scene.command(), check=True)
    archived = await scene.log.end_offsets()
    await append_all(scene.log, stories(2, PARTITIONS, length=40))
    await project(scene.settings, await scene.log.end_offsets())
    # In one partition Kafka begins where the archive ends, in another the two overlap, in a third Kafka has everything.
    scene.cut({0: archived[0], 1: archived[1] - 50})
    with pytest.raises(
        OffsetOutOfRange, match=rf"partition 0 begins at {archived[0]}, partition 1 begins at .*PULP_ARCHIVE"
    ):
        await rebuild.start(scene.settings)
    with pytest.raises(OffsetOutOfRange, match="PULP_ARCHIVE"):
        await verify.verify(scene.settings)
    assert (await verify.verify(scene.archived)).is_equal
    await rebuild.start(scene.archived)
    for table in TABLES:
        assert await rows(scene.settings.postgres, table, 2) == await rows(scene.settings.postgres, table, 1)
    assert (await rebuild.verify(scene.archived)).is_equal
    switched = await activation.activate(scene.archived)
    assert (switched.before, switched.now) == (1, 2)
    assert (await activation.rollback(scene.archived)).now == 1


async def test_s3_holds_an_archive_that_a_rebuild_reads(scene: Scene, tmp_path: Path) -> None:
    with s3(tmp_path) as storage:
        storage.files.mkdir("backups")
        env = {**storage.env, "PULP_ARCHIVE": "s3://backups/tasks"}

        def run(*arguments: str, code: int = 0) -> Any:
            return scene.run(*arguments, code=code, **env)

        ends = await scene.log.end_offsets()
        written = await asyncio.to_thread(run, "write")
        assert [(each["begin"], each["next"]) for each in written] == [(0, end) for _, end in sorted(ends.items())]
        await append_all(scene.log, stories(2, PARTITIONS, length=20))
        await project(scene.settings, await scene.log.end_offsets())
        await asyncio.to_thread(run, "write")
        files = [key for key in storage.objects("backups") if key.endswith(".parquet")]
        assert len(files) == 2 * PARTITIONS
        assert not [key for key in storage.objects("backups") if key.endswith(".new")]
        assert await asyncio.to_thread(run, "verify") == {"is_intact": True, "files": len(files), "found": []}

        scene.cut(await scene.log.end_offsets())  # from here on only the archive has them
        rebuilt = await asyncio.to_thread(pulp_tasks, "rebuild", env={**scene.env, **env})
        assert rebuilt.returncode == 0, rebuilt.stderr
        for table in TABLES:
            assert await rows(scene.settings.postgres, table, 2) == await rows(scene.settings.postgres, table, 1)

        data = storage.files.cat_file(files[1])
        storage.files.pipe_file(files[1], data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        [found] = (await asyncio.to_thread(run, "verify", code=1))["found"]
        assert found["file"] == f"s3://{files[1]}"


async def test_a_misspelt_bucket_is_named_and_not_made(scene: Scene, tmp_path: Path) -> None:
    with s3(tmp_path) as storage:
        storage.files.mkdir("backups")
        said = await asyncio.to_thread(scene.run, "write", "--to", "s3://backpus/tasks", code=74, **storage.env)
        assert "the archive at s3://backpus/tasks cannot be written: The specified bucket does not exist" in said
        assert storage.files.ls("") == ["backups"]


async def test_an_archive_that_is_damaged_or_does_not_reach_is_refused_by_name(scene: Scene) -> None:
    await asyncio.to_thread(subprocess.run, scene.command(), check=True)
    ends = await scene.log.end_offsets()
    scene.cut({1: ends[1]})
    path = files_of(scene.archive, 1)[2]
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(ArchiveDamaged, match=path.name):
        await rebuild.start(scene.archived)
    assert len(await rows(scene.settings.postgres, "task_events", 2)) >= SPAN  # earlier ones stay
    path.write_bytes(data)
    await rebuild.resume(scene.archived)
    assert (await rebuild.verify(scene.archived)).is_equal
    await rebuild.cancel(scene.archived)
    path.unlink()
    with pytest.raises(ArchiveDamaged, match=f"{path.name} is missing"):
        await verify.verify(scene.archived)
    path.write_bytes(data)
    await append_all(scene.log, stories(2, PARTITIONS, length=20))
    scene.cut({1: ends[1] + 10})
    with pytest.raises(ArchiveIncomplete, match=rf"begins at offset {ends[1] + 10} in Kafka.*ends at {ends[1]}"):
        await rebuild.start(scene.archived)
    said = await asyncio.to_thread(scene.run, "write", code=65)
    assert f"the archive ends at {ends[1]}: Kafka deleted the records between" in said
    [lost] = [each for each in await asyncio.to_thread(scene.run, "status") if each["lost"]]
    assert (lost["partition"], lost["lost"]) == (1, 10)


async def test_a_retention_is_refused_without_an_archive_that_reaches(scene: Scene) -> None:
    scene.retain(604_800_000)
    with pytest.raises(PreconditionFailed, match=r"retention.ms is 604800000.*pulp-tasks archive write.*PULP_ARCHIVE"):
        await prepare(scene.settings)
    await prepare(scene.archived)
    ends = await scene.log.end_offsets()
    scene.cut({2: ends[2] - 1})
    with pytest.raises(
        PreconditionFailed, match=rf"partition 2 of .* begins at offset {ends[2] - 1} in Kafka.*holds nothing"
    ):
        await serve(scene.archived, asyncio.Event())
    [found] = await asyncio.to_thread(reach.look, str(scene.archive), scene.backend.kafka, scene.topics)
    assert (found.check, found.severity) == ("archive-gap", "fault")
    done = await asyncio.to_thread(pulp_tasks, "--output", "json", "doctor", env=scene.env)
    assert "archive-gap" in {each["check"] for each in json.loads(done.stdout)["findings"]}
    mended = await asyncio.to_thread(pulp_tasks, "--output", "json", "topics", "mend", env=scene.env)
    assert json.loads(mended.stdout)["changes"] == []


async def test_a_processor_starts_on_a_topic_that_retention_has_cut_to_its_archive(
    scene: Scene, tmp_path: Path
) -> None:
    await asyncio.to_thread(subprocess.run, scene.command(), check=True)
    scene.retain(604_800_000)
    scene.cut(await scene.log.end_offsets())
    with installation(
        scene.backend.kafka, scene.settings.postgres, scene.topics, tmp_path, partitions=PARTITIONS
    ) as site:
        processor = site.start(PULP_ARCHIVE=str(scene.archive))
        await processor.up()
        await site.reached(await site.happens(length=20))
        assert await processor.stopped() == 0
    assert (await verify.verify(scene.archived)).is_equal


async def test_without_an_archive_the_commands_say_what_to_name(scene: Scene) -> None:
    for command in ("write", "status", "list", "verify"):
        assert "set PULP_ARCHIVE" in await asyncio.to_thread(scene.run, command, code=78, PULP_ARCHIVE="")
    assert "s4" in await asyncio.to_thread(scene.run, "write", "--to", "s4://bucket", code=78)
