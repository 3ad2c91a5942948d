"""Hrefs and PRNs by which a filter names another resource. Pure."""

import re
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

from pulp_api.v3.dialect import ROOT, FieldErrors

_HREF: Final = re.compile(rf"{ROOT}/(.+)/([^/]+)/?")
_PRN: Final = re.compile(r"prn:([a-z]+\.[a-z]+):(.+)")
_ANY: Final = re.compile(rf"(?:https?://[^/?#]+)?{ROOT}/(?:[\w-]+/)+[^/]+/?|prn:\w+\.\w+:[0-9a-fA-F-]{{36}}", re.ASCII)


class Kind(Enum):
    """A type of resource: its folder below the root, and its name in a PRN."""

    TASK = ("tasks", "core.task")
    GROUP = ("task-groups", "core.taskgroup")
    SCHEDULE = ("task-schedules", "core.taskschedule")
    SUBSCRIPTION = ("subscriptions", "tasks.subscription")
    WORKER = ("workers", "core.worker")
    USER = ("users", "core.user")
    ROLE_GROUP = ("groups", "core.group")
    REPOSITORY = ("repositories/rpm/rpm", "rpm.rpmrepository")

    def __init__(self, folder: str, name: str) -> None:
        self.root = f"{ROOT}/{folder}/"
        """The URL of the list."""
        self.prefix = f"prn:{name}:"
        """How a PRN begins."""

    def href(self, name: object) -> str:
        """The relative URL of one resource, by what identifies it in URLs."""
        return f"{self.root}{name}/"

    def prn(self, name: object) -> str:
        """Its PRN."""
        return f"{self.prefix}{name}"


_BY_FOLDER: Final = {kind.value[0]: kind for kind in Kind}
_BY_NAME: Final = {kind.value[1]: kind for kind in Kind}


def user_href(actor: str) -> str | None:
    """The URL of an actor's user; None for an actor that is not a user, such as a worker."""
    kind, _, name = actor.partition(":")
    return Kind.USER.href(quote(name, safe="")) if kind == "user" else None


def uuid_of(field: str, kind: Kind, text: str) -> UUID:
    """The id in an href, an absolute URL or a PRN of this kind; a UUID alone is taken as well.

    Raises `FieldErrors` in Pulp 3's words for any other text, also for a resource of another kind.
    """
    try:
        return UUID(text)
    except ValueError:
        found, name = _resolved(text)
    try:
        known = UUID(name)
    except ValueError:
        raise FieldErrors([f"UUID invalid: {name}"]) from None
    if found is not kind:
        raise FieldErrors([f"URI/PRN is not a valid href for {field} model: {text}"])
    return known


def name_of(kind: Kind, text: str) -> str:
    """The name in an href, an absolute URL or a PRN of this kind. Raises `FieldErrors` in Pulp 3's words."""
    found, name = _resolved(text)
    if found is not kind:
        raise FieldErrors([f"URI not valid: {text}"])
    return unquote(name)


def check_any(text: str) -> None:
    """Raises `FieldErrors` unless the text is the href or the PRN of something, such as a version of a repository."""
    if not _ANY.fullmatch(text):
        raise FieldErrors([f"URI not valid: {text}"])


def ends_in_uuid(text: str) -> bool:
    """Whether the text is a UUID, or an href or a PRN that ends in one."""
    try:
        UUID(re.split("[/:]", text.rstrip("/"))[-1])
    except ValueError:
        return False
    return True


def _resolved(text: str) -> tuple[Kind, str]:
    try:
        path = urlsplit(text).path
    except ValueError:
        path = text
    for pattern, kinds, value in ((_PRN, _BY_NAME, text), (_HREF, _BY_FOLDER, path)):
        match = pattern.fullmatch(value)
        kind = kinds.get(match[1]) if match else None
        if match and kind is not None:
            return kind, match[2]
    raise FieldErrors([f"URI couldn't be resolved: {text}"])
