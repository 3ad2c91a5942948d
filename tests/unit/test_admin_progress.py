"""A progress object in a few words: items are items, and bytes are bytes."""

from typing import Any

import pytest
from pulp_admin.progress import counts_of, progress_words
from pulp_operations.progress import IN_PROGRESS, SyncProgress

from tests.unit.test_admin_guide import PROGRESS


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ({"rpm": {"items_total": 10, "items_left": 5}}, ["5/10 items"]),
        ({"items_total": 1, "items_left": 0}, ["1/1 items"]),
        ({"size_total": 3_400_000, "size_left": 2_200_000}, ["1.2/3.4 MB"]),
        ({"size_total": 900, "size_left": 100}, ["800/900 bytes"]),
        ({"a": {"items_total": 4, "items_left": 1}, "b": {"items_total": 6, "items_left": 6}}, ["3/10 items"]),
        ({"mirror": {"items_left": 9}}, ["9 items left"]),
        ({"upload": {"num_success": 7, "num_error": 1}}, ["8 items"]),
        ({"items_total": 0, "items_left": 0, "step": "look"}, ["look"]),
        ({"yum_distributor": {"a_part": {"state": "FINISHED"}, "b_part": {"state": "IN_PROGRESS"}}}, ["b part"]),
        ({"step": "reading\x1b[2J\nthe index"}, ["reading␛[2J the index"]),
        ({"pages": 3, "of": 9}, ["pages: 3, of: 9"]),
        ({"items_total": "many", "items_left": True}, ["items_total: many, items_left: True"]),
        ({}, []),
        (None, []),
        ([1], []),
    ],
)
def test_what_is_told(progress: object, words: list[str]) -> None:
    assert progress_words(progress) == words


def test_the_guides_sync_is_counted_where_it_is_exact() -> None:
    """Its content counts 0 of 37 items left as soon as all are handed on; its RPMs count 6 left."""
    assert progress_words(PROGRESS) == ["31/37 items", "37.5/150.0 MB"]
    assert counts_of(PROGRESS).fraction == pytest.approx(37_528_126 / 149_958_122)


def test_a_sync_before_its_first_package() -> None:
    progress = SyncProgress()
    progress.metadata = IN_PROGRESS
    assert progress_words(progress.tree()) == ["metadata"]
    progress.expect_packages(2, 3_000_000)
    progress.handed_over()
    assert progress_words(progress.tree()) == ["0/2 items", "0.0/3.0 MB"]


@pytest.mark.parametrize(
    "progress", [{"items_total": 2, "items_left": -5}, {"size_total": 10, "size_left": 99}, {"items_total": 2}]
)
def test_a_bar_is_never_longer_or_shorter_than_its_frame(progress: dict[str, Any]) -> None:
    fraction = counts_of(progress).fraction
    assert fraction is None or 0 <= fraction <= 1
