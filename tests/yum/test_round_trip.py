"""A random repository, synced and published: createrepo_c reads the same from the publication as from the source.

A run has few examples, from a seed that is printed. To search longer: ./dev test tests/yum/test_round_trip.py
--yum-examples 1000
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.repositories import Repository
from tests.support.repositories.serving import RepositoryServer
from tests.yum.createrepo_c_reads import read, unpacked
from tests.yum.generated import repositories, written_otherwise
from tests.yum.ours import Ours, sync_and_publish


def test_a_publication_has_what_the_source_has(yum_seed: int, yum_examples: int) -> None:
    @seed(yum_seed)
    @settings(
        max_examples=yum_examples,
        phases=[Phase.generate],  # a sync and a publish take a second, so shrinking takes minutes
        report_multiple_bugs=False,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        repository = data.draw(repositories())
        served = data.draw(written_otherwise(repository))
        assert_the_same(repository, served)

    holds()


def assert_the_same(repository: Repository, served: Repository) -> None:
    """The publication of `served` has what createrepo_c reads from `repository`."""
    with tempfile.TemporaryDirectory() as name, RepositoryServer(served.tree()) as server:
        folder = Path(name)
        repository.write(folder / "source")
        expected = read(folder / "source")
        feed = f"{server.url}{served.folder}"
        ours = asyncio.run(sync_and_publish(folder / "storage", feed, {}, {}))
        assert ours.failed is None, ours.failed
        assert ours.read is not None
        assert comparable(ours.read) == comparable(expected)
        assert _carried(ours) == {kind: served.documents()[kind] for kind in served.extra}


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Everything except the places of things."""
    packages = {
        nevra: {key: value for key, value in package.items() if key != "location"}
        for nevra, package in found["packages"].items()
    }
    return {"packages": packages, "advisories": found["advisories"], "groups": found["groups"]}


def _carried(ours: Ours) -> dict[str, bytes]:
    assert ours.read is not None
    known = ("primary", "filelists", "other", "updateinfo", "group", "group_gz")
    return {
        kind: unpacked((ours.folder / href).read_bytes())
        for kind, href in ours.read["types"].items()
        if kind not in known
    }


@pytest.fixture
def yum_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--yum-seed"))


@pytest.fixture
def yum_examples(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--yum-examples"))
