"""docs/operate/fetching.md: its settings are those that are read, with their defaults, and its example works."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pulp_worker import Operation
from pulp_worker.bounds import fetch_settings, isolation_settings
from pulp_worker.fetching import FetchSettings
from pulp_worker.isolation import IsolationSettings
from pulp_worker.testing import run_operation

from tests.support.mirror import mirror, ok

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "fetching.md").read_text(encoding="utf-8")


class Recorder(dict[str, str]):
    """An empty environment that records lookups."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(key)
        return default


def test_each_setting_is_on_the_page() -> None:
    read = Recorder()
    fetch_settings(read)
    isolation_settings(read)
    assert read.asked == set(re.findall(r"PULP_(?:FETCH|FEED|ISOLATED)_[A-Z_]*[A-Z]", PAGE))


def test_the_defaults_on_the_page_are_right() -> None:
    rows = re.findall(r"^\| `(PULP_[A-Z_]+)` \| ([0-9]+) \|", PAGE, re.MULTILINE)
    given = {key: value for key, value in rows if key.startswith(("PULP_FETCH", "PULP_ISOLATED"))}
    assert len(given) == 14
    assert fetch_settings(given) == FetchSettings()
    assert isolation_settings(given) == IsolationSettings()


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "example_of_fetching.py"
    path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


async def test_the_example_works(example: ModuleType, tmp_path: Path) -> None:
    operation = example.count
    assert isinstance(operation, Operation)
    async with mirror({"/list": ok(b"one\ntwo\n")}) as server:
        outcome = await run_operation(operation, {"url": server.url("/list")}, storage=tmp_path)
    assert (outcome.state, outcome.result) == ("successful", 2), outcome
