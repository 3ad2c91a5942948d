"""Damaged content is set aside, and a good copy that arrives later replaces it wherever it was published."""

import os
from pathlib import Path

import pytest
from pulp_operations.damage import content_of, heal, set_aside, set_aside_files


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content" / "sha256" / "ab" / f"ab{'0' * 62}.rpm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    return path


def published(root: Path, content: Path, place: str) -> Path:
    path = root / "publications" / place
    path.parent.mkdir(parents=True)
    os.link(content, path)
    return path


def test_what_is_set_aside_is_not_in_the_store_any_more(tmp_path: Path, content: Path) -> None:
    assert set_aside(tmp_path, content)
    assert not content.exists()
    [aside] = set_aside_files(tmp_path)
    assert (aside.read_bytes(), content_of(tmp_path, aside)) == (b"damaged", content)


def test_what_is_gone_cannot_be_set_aside(tmp_path: Path, content: Path) -> None:
    content.unlink()
    assert not set_aside(tmp_path, content)
    assert set_aside_files(tmp_path) == []


def test_content_that_was_replaced_since_it_was_looked_at_stays(tmp_path: Path, content: Path) -> None:
    seen = published(tmp_path, content, "zoo/1/Packages/ant.rpm")
    content.unlink()
    content.write_bytes(b"good")
    assert not set_aside(tmp_path, content, seen)
    assert content.read_bytes() == b"good"


def test_a_good_file_replaces_the_damaged_one_in_every_publication(tmp_path: Path, content: Path) -> None:
    places = [published(tmp_path, content, place) for place in ("zoo/1/Packages/ant.rpm", "farm/7/Packages/a/ant.rpm")]
    set_aside(tmp_path, content)
    assert heal(tmp_path) == 0
    content.write_bytes(b"good")
    assert heal(tmp_path) == 2
    assert [path.read_bytes() for path in places] == [b"good", b"good"]
    assert all(os.path.samefile(path, content) for path in places)
    assert list((tmp_path / "damaged").iterdir()) == []
    assert heal(tmp_path) == 0


def test_nothing_is_damaged(tmp_path: Path) -> None:
    assert heal(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
