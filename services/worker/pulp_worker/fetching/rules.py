"""Where a worker may fetch from. Pure."""

from typing import Annotated

from pulp_events.declared_settings import Setting
from pulp_runtime.outgoing.rules import ITEMS, Destinations, destinations_of, ports_of


class Rules(Destinations, frozen=True, kw_only=True):
    """The rules of `Destinations`, as the settings of a worker have them."""

    allow: Annotated[
        tuple[str, ...],
        Setting("PULP_FETCH_ALLOW", "Where operations may fetch from.", parse=destinations_of, allowed=ITEMS),
    ] = ("public", "private")
    deny: Annotated[
        tuple[str, ...],
        Setting(
            "PULP_FETCH_DENY",
            "Where operations may not fetch from, even if it is allowed.",
            parse=destinations_of,
            allowed=ITEMS,
        ),
    ] = ()
    ports: Annotated[
        tuple[tuple[int, int], ...],
        Setting(
            "PULP_FETCH_PORTS",
            "The ports that operations may fetch from.",
            parse=ports_of,
            allowed="ports and ranges",
        ),
    ] = ((80, 80), (443, 443), (1024, 65_535))
