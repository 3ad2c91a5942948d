"""The recorded values match dnf here, if the same version is installed."""

from typing import Any

import pytest

from tests.yum.reference import Reference, Said, kept, recorded, recorded_for
from tests.yum.shapes import SHAPES, Shape


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_was_recorded_is_what_they_say_here(shape: Shape, dnf: str, the_reference: Reference) -> None:
    if dnf != recorded()["versions"]["dnf"]:
        pytest.skip(f"dnf {dnf} is another one than the recorded {recorded()['versions']['dnf']}")
    assert said(the_reference.on(shape)) == said(recorded_for(shape))


def said(given: Said) -> dict[str, Any]:
    return {"dnf": kept(given.dnf), "createrepo_c": kept(given.createrepo_c)}
