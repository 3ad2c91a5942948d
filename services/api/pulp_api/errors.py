"""Why the API cannot start."""

from pulp_events.errors import PulpError


class AddressInUse(PulpError):
    """Something else listens on the address."""
