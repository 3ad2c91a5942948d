"""What an event keeps of the request that led to it, according to the site's setting."""

from typing import Final

from fastapi import Request
from msgspec import UNSET, UnsetType
from pulp_events import events

from pulp_api.logins.auth import Method

_MOST_CHARACTERS: Final = 255
_MOST_ADDRESS: Final = 64


def told(request: Request, method: Method, event_origin: str) -> events.RequestFacts | UnsetType:
    """The request as events record it, by the setting PULP_EVENT_ORIGIN; unset for `none`."""
    if event_origin == "none":
        return UNSET
    host = request.client.host if request.client is not None and event_origin == "address" else ""
    return events.RequestFacts(
        authentication=method.value,
        address=host[:_MOST_ADDRESS] or None,
        client=client_of(request.headers.get("user-agent", "")),
    )


def client_of(user_agent: str) -> str | None:
    """The client's name for itself: one printable line, no longer than an event allows."""
    text = "".join(character if character.isprintable() else " " for character in user_agent)
    return text.strip()[:_MOST_CHARACTERS].strip() or None
