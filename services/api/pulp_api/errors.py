"""Errors of the API that belong to none of its parts."""

from typing import Literal

from pulp_events.errors import BadInput, PulpError


class AddressInUse(PulpError):
    """Something else listens on the address."""


class BadProperty(BadInput):
    """A property of a request is refused. The dialect of Pulp 2 has a field for its name, which `kind` names."""

    def __init__(
        self, name: str, message: str, kind: Literal["property_names", "missing_property_names"] = "property_names"
    ) -> None:
        super().__init__(message)
        self.name, self.kind = name, kind


class NotServed(PulpError):
    """The server has no such part of Pulp, on purpose."""


class NoSuch(PulpError):
    """Nothing of this kind has this name."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind, self.name = kind, name
