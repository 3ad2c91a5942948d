"""Commands of Pulp 2's client that do not exist here, and what to do instead."""

from collections.abc import Mapping
from typing import Final

_NOTHING: Final = "It does not concern tasks: there is none of it here."
_USERS: Final = "Users and roles are changed on the server: pulp-tasks users."
_SCHEDULES: Final = "Schedules are of any operation here: pulp-admin schedules."
_WHOLE: Final = "Content is managed by whole repositories here: sync and publish them."
_FETCHED: Final = "A sync fetches every package; what was lost since: pulp-admin repo repair."
_HISTORY: Final = "What was done with a repository: pulp-admin repo tasks list --repo-id ID."
_GROUPS: Final = "There are no groups of repositories here."
SECTIONS: Final[Mapping[str, str]] = {
    "auth": f"{_USERS} Tokens for scripts: pulp-admin tokens.",
    **dict.fromkeys(("bindings", "consumer", "puppet", "docker", "iso", "node", "python", "ostree", "deb"), _NOTHING),
    "event": "Events go to other programs by subscriptions: pulp-admin subscriptions.",
    "content": _WHOLE,
    "server": "What tasks can do here: pulp-admin operations.",
}
RPM: Final[Mapping[str, str]] = {"consumer": _NOTHING}
ANY_REPO: Final[Mapping[str, str]] = {"group": _GROUPS, "history": _HISTORY, "download": _FETCHED}
REPO: Final[Mapping[str, str]] = {
    **dict.fromkeys(("content", "copy", "remove", "uploads", "export"), _WHOLE),
    "tasks": "The tasks of a repository: pulp-admin repo tasks.",
    "search": "All repositories are listed: pulp-admin rpm repo list.",
    **ANY_REPO,
}
WORK: Final[Mapping[str, str]] = {"schedules": _SCHEDULES}
