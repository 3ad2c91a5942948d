"""The SDK: declaring operations, the context, running one in a test."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pulp_worker
import pytest
from pulp_worker import Context, OperationError, ProgressTooLarge, Resource, TaskCancelled, operation
from pulp_worker.loading import OperationsNotLoaded, load_operations
from pulp_worker.testing import run_operation


def context(sent: list[bytes]) -> Context:
    return Context(
        task_id=UUID(int=1), attempt_id=UUID(int=2), arguments={}, storage=Path(), tokens={}, send=sent.append
    )


def test_the_public_names() -> None:
    assert sorted(pulp_worker.__all__) == [
        "Context",
        "LimitExceeded",
        "Operation",
        "OperationError",
        "ProgressTooLarge",
        "Resource",
        "TaskCancelled",
        "operation",
    ]


def test_an_operation_describes_itself_by_its_first_line() -> None:
    @operation("mirror", cancellable=True, resources=[Resource("repository", "{repo_id}")], tags=["pulp:x"])
    async def mirror(context: Context) -> None:
        """Copy a repository.

        More of it.
        """

    assert (mirror.name, mirror.description, mirror.cancellable) == ("mirror", "Copy a repository.", True)
    assert (mirror.resources, mirror.tags) == ((Resource("repository", "{repo_id}", "exclusive"),), ("pulp:x",))
    assert mirror.is_async


@pytest.mark.parametrize("name", ["", "Sync", "a b", "-a", "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name has lower-case letters"):
        operation(name)


def test_progress_is_one_json_object_of_a_limited_size() -> None:
    sent: list[bytes] = []
    context(sent).report({"done": 1})
    with pytest.raises(ProgressTooLarge, match="at most 262144"):
        context(sent).report({"text": "x" * 262_144})
    for bad in ({"a": object()}, {"a": "\0"}, {"a": "\udc80"}):
        with pytest.raises((TypeError, ValueError)):
            context(sent).report(bad)
    context(sent).report({"a": "a backslash, then u0000: \\u0000"})
    assert sent == [b'{"done":1}', b'{"a":"a backslash, then u0000: \\\\u0000"}']


async def test_an_operation_can_wait_for_a_cancel() -> None:
    given = context([])
    waiting = asyncio.create_task(given.wait_cancelled())
    await asyncio.sleep(0)
    given.check_cancelled()
    given.cancel()
    await waiting
    await given.wait_cancelled()
    with pytest.raises(TaskCancelled):
        given.check_cancelled()


@operation("counting", cancellable=True)
async def counting(context: Context) -> object:
    for number in range(context.arguments["to"]):
        context.check_cancelled()
        context.report({"number": number})
    return {"last": number}


@operation("refusing")
def refusing(context: Context) -> object:
    try:
        raise OSError("no space left")
    except OSError as error:
        raise OperationError("out-of-disk", str(context.tokens)) from error


async def test_operations_run_in_tests(tmp_path: Path) -> None:
    outcome = await run_operation(counting, {"to": 3}, storage=tmp_path)
    assert (outcome.state, outcome.result) == ("successful", {"last": 2})
    assert outcome.progress == [{"number": 0}, {"number": 1}, {"number": 2}]
    outcome = await run_operation(counting, {"to": 9}, storage=tmp_path, cancel_when=lambda p: p["number"] == 1)
    assert (outcome.state, len(outcome.progress)) == ("cancelled", 2)
    outcome = await run_operation(refusing, {}, storage=tmp_path, tokens={"a:b": 1})
    assert (outcome.state, outcome.error_code, outcome.error_description) == ("failed", "out-of-disk", "{'a:b': 1}")
    assert outcome.traceback is not None
    assert "OperationError" in outcome.traceback
    assert "no space left" not in outcome.traceback  # a reader learns what was wrong, not all its causes


def test_another_package_adds_an_operation_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirrors.py").write_text(
        "from pulp_worker import Context, operation\n\n\n"
        '@operation("mirror")\nasync def mirror(context: Context) -> None: ...\n'
    )
    installed = tmp_path / "mirrors-1.0.dist-info"  # what an installer writes
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mirrors\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[pulp_tasks.operations]\nany-name = mirrors\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load_operations()
    assert (loaded["mirror"].module, loaded["mirror"].attribute) == ("mirrors", "mirror")
    assert "sync" in loaded


def test_the_operations_of_entry_points_are_found() -> None:
    loaded = load_operations()
    assert {"sync", "publish", "remove-orphans"} <= set(loaded)
    assert sys.modules[loaded["sync"].module].__dict__[loaded["sync"].attribute] is loaded["sync"].operation


def test_a_worker_that_fetches_nothing_does_not_import_what_fetches() -> None:
    program = "import sys, pulp_operations; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_name_is_unique_and_a_module_must_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        module = ModuleType(name)

        @operation("twice")
        def twice(context: Context) -> None: ...

        module.twice = twice  # type: ignore[attr-defined]  # a module created by hand
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(OperationsNotLoaded, match="twice is in second and in first"):
        load_operations(["first", "second"])
    with pytest.raises(OperationsNotLoaded, match="no_such_module"):
        load_operations(["no_such_module"])
