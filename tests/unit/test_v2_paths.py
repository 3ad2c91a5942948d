"""Slashes in the paths of Pulp 2: joined carelessly below the repositories, and two that mean something."""

import pytest
from pulp_api.v2.dialect import PulpTwo

ROOT = "/pulp/api/v2"


@pytest.mark.parametrize(
    ("path", "routed"),
    [
        ("/repositories/zoo/actions/sync/", "/repositories/zoo/actions/sync/"),
        ("/repositories/zoo/actions//sync/", "/repositories/zoo/actions//sync/"),
        ("/repositories/zoo/actions///sync/", "/repositories/zoo/actions//sync/"),
        ("/repositories//zoo//actions//publish/", "/repositories/zoo/actions//publish/"),
        ("/repositories//zoo//actions/publish//", "/repositories/zoo/actions/publish/"),
        ("/repositories//", "/repositories/"),
        ("//repositories/zoo///", "/repositories/zoo/"),
        ("/repositories/actions//", "/repositories/actions/"),
        ("/repositories/actions//actions//sync/", "/repositories/actions/actions//sync/"),
        ("/repositories/zoo/importers//yum_importer/", "/repositories/zoo/importers/yum_importer/"),
        ("/tasks//x/", "/tasks//x/"),
        ("/repositoriesx//y/", "/repositoriesx//y/"),
    ],
)
def test_slashes_below_the_repositories_count_once_but_for_those_of_an_action(path: str, routed: str) -> None:
    assert PulpTwo().routed(ROOT + path) == ROOT + routed
