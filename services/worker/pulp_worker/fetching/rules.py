"""Where a worker may fetch from. Pure."""

from typing import Annotated

from pulp_runtime.outgoing.rules import USUAL_PORTS, Destinations, list_setting, ports_setting


class Rules(Destinations, frozen=True, kw_only=True):
    """The rules of `Destinations`, as the settings of a worker have them."""

    allow: Annotated[tuple[str, ...], list_setting("PULP_FETCH_ALLOW", "Where operations may fetch from.")] = (
        "public",
        "private",
    )
    deny: Annotated[
        tuple[str, ...],
        list_setting("PULP_FETCH_DENY", "Where operations may not fetch from, even if allowed above."),
    ] = ()
    ports: Annotated[
        tuple[tuple[int, int], ...],
        ports_setting("PULP_FETCH_PORTS", "The ports that operations may fetch from."),
    ] = USUAL_PORTS
