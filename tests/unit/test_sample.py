"""Which test files a sampled run includes."""

from pathlib import Path

from tests.support.sample import is_chosen

TESTS = Path(__file__).parents[1]
FILES = sorted(
    path for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in ("unit", "contract")
)


def test_a_whole_run_takes_every_file() -> None:
    assert all(is_chosen(path, 1, 7) for path in FILES)


def test_units_and_what_is_no_test_are_always_taken() -> None:
    for path in (Path(__file__), TESTS / "conftest.py", TESTS / "support" / "sample.py", Path("/elsewhere/test_x.py")):
        assert is_chosen(path, 0, 7), path


def test_a_sample_is_about_the_part_that_was_asked_for_and_repeatable() -> None:
    taken = [path for path in FILES if is_chosen(path, 0.5, 7)]
    assert taken == [path for path in FILES if is_chosen(path, 0.5, 7)]
    assert 0.35 * len(FILES) < len(taken) < 0.65 * len(FILES)


def test_every_file_is_taken_sooner_or_later() -> None:
    assert all(any(is_chosen(path, 0.5, seed) for seed in range(40)) for path in FILES)
