"""Identifiers. Task and event ids are UUIDs in canonical lower-case text on the wire."""

from uuid import UUID, uuid5

import uuid_utils.compat

# Never change: existing logs hold ids derived from it.
NAMESPACE = UUID("5f2a5c1e-8a0b-5d6f-9a57-3c1f7c1d2e10")


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique, and sorted by the time of its creation."""
    return uuid_utils.compat.uuid7()


def derived_id(*parts: object) -> UUID:
    """A UUIDv5 of the parts: the same parts always give the same id, on every machine."""
    return uuid5(NAMESPACE, "\n".join(str(part) for part in parts))
