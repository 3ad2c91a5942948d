"""A pytest plugin: runs files in random order, and skips the tests that remain when the time is up."""

import random
import time
from collections import defaultdict

import pytest

_ENDS = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, required=True, help="of the order of the files")
    parser.addoption("--budget-s", type=float, default=float("inf"), help="tests that have not begun then are skipped")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ENDS] = time.monotonic() + config.getoption("--budget-s")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the contract first, then the other files in random order; each file's tests stay together."""
    files: dict[bool, dict[str, list[pytest.Item]]] = {True: defaultdict(list), False: defaultdict(list)}
    for item in items:
        files["contract" in item.path.parts][str(item.path)].append(item)
    others = sorted(files[False])
    random.Random(config.getoption("--order-seed")).shuffle(others)
    items[:] = [
        *(item for of_file in files[True].values() for item in of_file),
        *(item for name in others for item in files[False][name]),
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[_ENDS]:
        pytest.skip("the time of this run is up")
