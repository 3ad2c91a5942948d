"""docs/notes/yum.md matches the tests, and the recorded values are complete."""

from tests.yum import table
from tests.yum.reference import recorded, recorded_for
from tests.yum.shapes import SHAPES


def test_the_table_is_what_the_shapes_and_the_recorded_values_make() -> None:
    assert table.DOCUMENT.read_text(encoding="utf-8") == table.document_with(table.generated())


def test_every_shape_was_recorded() -> None:
    assert list(recorded()["shapes"]) == list(SHAPES)
    for shape in SHAPES.values():
        said = recorded_for(shape)
        assert (said.dnf is not None, said.createrepo_c is not None) == (shape.by_dnf, shape.on_disk), shape.name
