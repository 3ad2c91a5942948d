"""Slashes in the paths of Pulp 2: joined carelessly below the repositories, and two that mean something."""

from urllib.parse import unquote

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
    assert PulpTwo().routed(ROOT + path, ROOT + path) == ROOT + routed


@pytest.mark.parametrize(
    ("raw", "routed"),
    [
        ("/repositories/a%2Fb/", "/repositories/a%2Fb/"),
        ("/repositories/a%2f%2fb/actions//sync/", "/repositories/a%2F%2Fb/actions//sync/"),
        ("/repositories/a%252Fb/", "/repositories/a%252Fb/"),
        ("/repositories/%2Factions%2F%2Fx/actions/sync/", "/repositories/%2Factions%2F%2Fx/actions/sync/"),
        ("/repositories/n%C3%A4me/%69mporters/", "/repositories/n%C3%A4me/importers/"),
        ("/%72epositories/a%20b/", "/repositories/a%20b/"),
        ("/tasks/a%2Fb/", "/tasks/a/b/"),
    ],
)
def test_parts_of_a_path_below_the_repositories_stay_encoded(raw: str, routed: str) -> None:
    assert PulpTwo().routed(ROOT + unquote(raw), ROOT + raw) == ROOT + routed
