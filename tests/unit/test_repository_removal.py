"""`remove-repository` removes a repository from the store, and leaves its content to `remove-orphans`."""

from pathlib import Path

import pytest
from pulp_operations import remove_orphans, remove_repository
from pulp_worker import OperationError

from tests.support.stored import Stored


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "storage")


def filled(stored: Stored, repo_id: str = "zoo.1") -> None:
    """Two versions, a publication and an interrupted download."""
    ant, bee = stored.package("ant"), stored.package("bee")
    stored.version(repo_id, [ant])
    stored.version(repo_id, [ant, bee])
    stored.publication(repo_id, [ant, bee])
    partial = stored.store.partial_path(repo_id, stored.package("cat"))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"12345")


async def test_all_of_a_repository_is_removed_and_its_content_becomes_an_orphan(stored: Stored) -> None:
    filled(stored)
    stored.version("farm", [stored.package("bee")])
    outcome = await stored.run(remove_repository, repo_id="zoo.1")
    assert outcome.result == {"versions": 2, "publications": 1, "downloads": 1}
    assert stored.store.repositories() == ["farm"]
    for kind in ("repositories", "publications", "published", "partial"):
        assert not (stored.root / kind / "zoo%2E1").exists()
    assert len(stored.files()) == 3
    assert (await stored.run(remove_orphans)).result["packages"] == 2  # `farm` holds one of them


async def test_an_earlier_task_writes_nothing_once_the_repository_is_removed(stored: Stored) -> None:
    filled(stored)
    late = next(stored.tokens)
    await stored.run(remove_repository, repo_id="zoo.1")
    with pytest.raises(OperationError, match="later task") as raised:
        stored.store.save_publication("zoo.1", stored.root / "nothing", late)
    assert raised.value.code == "fenced"


async def test_an_earlier_removal_removes_nothing_that_a_later_task_has_made(stored: Stored) -> None:
    late = next(stored.tokens)
    filled(stored)
    outcome = await stored.run(remove_repository, repo_id="zoo.1", token=late)
    assert (outcome.state, outcome.error_code) == ("failed", "fenced")
    assert stored.store.repositories() == ["zoo.1"]


async def test_it_can_be_synced_again(stored: Stored) -> None:
    filled(stored)
    await stored.run(remove_repository, repo_id="zoo.1")
    assert stored.version("zoo.1", [stored.package("ant")]).number == 1


async def test_to_remove_it_again_removes_nothing_and_succeeds(stored: Stored) -> None:
    filled(stored)
    await stored.run(remove_repository, repo_id="zoo.1")
    again = await stored.run(remove_repository, repo_id="zoo.1")
    assert (again.state, again.result) == ("successful", {"versions": 0, "publications": 0, "downloads": 0})


async def test_it_goes_on_where_a_crash_has_ended_it(stored: Stored) -> None:
    filled(stored)
    (stored.root / "published" / "zoo%2E1").unlink()
    (stored.root / "publications" / "zoo%2E1").rename(stored.root / "publications" / "zoo%2E1.removed")
    assert (await stored.run(remove_repository, repo_id="zoo.1")).result["versions"] == 2
    assert stored.store.repositories() == []


@pytest.mark.parametrize("repo_id", ["zoo", "content", "zoo.1.removed"])
async def test_a_repository_that_never_was_is_an_error(stored: Stored, repo_id: str) -> None:
    filled(stored)
    outcome = await stored.run(remove_repository, repo_id=repo_id)
    assert (outcome.state, outcome.error_code) == ("failed", "unknown-repository")
    assert repr(repo_id) in str(outcome.error_description)
    assert stored.store.repositories() == ["zoo.1"]
    assert len(stored.files()) == 3


@pytest.mark.parametrize("repo_id", ["..", "."])
async def test_a_name_that_no_repository_may_have_is_refused(stored: Stored, repo_id: str) -> None:
    filled(stored)
    outcome = await stored.run(remove_repository, repo_id=repo_id)
    assert (outcome.state, outcome.error_code) == ("failed", "bad-arguments")
    assert stored.store.repositories() == ["zoo.1"]
    assert len(stored.files()) == 3


async def test_one_that_was_never_synced_is_removed_where_that_is_no_error(stored: Stored) -> None:
    filled(stored)
    outcome = await stored.run(remove_repository, repo_id="zoo", missing_ok=True)
    assert (outcome.state, outcome.result) == ("successful", {"versions": 0, "publications": 0, "downloads": 0})
    assert stored.store.repositories() == ["zoo.1"]


async def test_one_whose_record_is_lost_can_be_removed(stored: Stored) -> None:
    filled(stored)
    for record in stored.root.glob("repositories/*/versions/*/version.json"):
        record.unlink()
    assert (await stored.run(remove_orphans)).error_code == "damaged-version"
    assert (await stored.run(remove_repository, repo_id="zoo.1")).state == "successful"
    assert (await stored.run(remove_orphans)).result["packages"] == 3
