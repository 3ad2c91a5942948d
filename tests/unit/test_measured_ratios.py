"""The ratios that benchmarks print for a metric, even if one side's use is too small to measure."""

import json

import pytest

from benchmarks.__main__ import lines
from benchmarks.measure import Goal, Result, Spread, at_most, never_above, percentile, ratio_at_least, ratio_at_most


def result(ours: tuple[float, ...], peer: tuple[float, ...], bound: Goal | None = None) -> Result:
    return Result(
        name="fleet-idle cpu a task",
        unit="ms",
        goal="" if bound is None else bound.text,
        bound=bound,
        ours=Spread(ours),
        limit=None,
        peers={"2 workers": Spread(peer)},
        loop_ms=Spread((6.0,)),
    )


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    assert result((8.0, 9.0, 1.0), (4.0, 3.0, 1.0)).ratio == 2.0


def test_nothing_on_the_other_side_has_no_ratio() -> None:
    without = result((5.0,), (0.0,))
    assert without.ratio is None
    assert json.loads(json.dumps(without.as_json(), allow_nan=False))["ratio"] is None
    assert "  ratio  none" in lines(without).splitlines()


def test_a_round_with_nothing_on_the_other_side_does_not_count() -> None:
    assert result((5.0, 6.0), (0.0, 4.0)).ratio == 1.5


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 99)


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [
        (ratio_at_most(1.5), "ratio at most 1.5: met"),
        (ratio_at_most(1.4), "ratio at most 1.4: missed"),
        (ratio_at_least(1.5), "ratio at least 1.5: met"),
        (ratio_at_least(1.6), "ratio at least 1.6: missed"),
        (at_most(6), "at most 6: met"),
        (at_most(5), "at most 5: missed"),
        (never_above(9), "never above 9: met"),
        (never_above(8), "never above 8: missed"),
    ],
)
def test_a_goal_is_told_with_what_became_of_it(bound: Goal, verdict: str) -> None:
    measured = result((3.0, 6.0, 9.0), (2.0, 4.0, 6.0), bound)
    assert f"  goal   {verdict}" in lines(measured).splitlines()
    assert measured.as_json()["is_met"] is verdict.endswith("met")


def test_a_goal_of_a_ratio_that_is_none_is_neither_met_nor_missed() -> None:
    without = result((5.0,), (0.0,), ratio_at_most(1.5))
    assert without.as_json()["is_met"] is None
    assert "  goal   ratio at most 1.5: not to be told" in lines(without).splitlines()


def test_a_metric_without_a_goal_tells_none() -> None:
    assert "goal" not in lines(result((5.0,), (2.0,)))
