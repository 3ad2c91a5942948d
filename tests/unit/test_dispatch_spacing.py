"""A busy dispatcher looks less often; one with little to do looks immediately."""

import pytest
from pulp_processor.dispatching.dispatcher import spacing_s


@pytest.mark.parametrize("moved", [0, 1, 15])
def test_few_moves_are_followed_at_once(moved: int) -> None:
    assert spacing_s(moved) == 0


@pytest.mark.parametrize("moved", [16, 5000])
def test_many_moves_gather_for_less_than_anybody_notices(moved: int) -> None:
    assert 0 < spacing_s(moved) < 0.1
