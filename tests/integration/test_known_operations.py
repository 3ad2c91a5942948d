"""How long the API caches the operations."""

import pytest
from pulp_api.submitting.known_operations import KnownOperations
from pulp_events.errors import BadInput

from tests.support.site import Site


async def test_an_operation_is_read_again_after_a_second(api: Site) -> None:
    now_s = 100.0
    known = KnownOperations(api.connect, lambda: now_s)
    assert (await known.get("publish")).cancellable is False
    await api.execute("update operations set cancellable = true where name = 'publish'")
    now_s = 100.9
    assert (await known.get("publish")).cancellable is False
    now_s = 101.1
    assert (await known.get("publish")).cancellable is True


async def test_an_unknown_one_is_looked_for_every_time(api: Site) -> None:
    known = KnownOperations(api.connect, lambda: 0.0)
    with pytest.raises(BadInput, match=r"unknown operation 'new'; known are: publish, remove-orphans, sync"):
        await known.get("new")
    await api.execute(
        "insert into operations (name, cancellable, description, resources, registered_by)"
        " values ('new', true, '', '[]', 'w1')"
    )
    assert (await known.get("new")).cancellable is True
