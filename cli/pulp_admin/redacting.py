"""Removes secrets from what is shown or passed on. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "..."
_SECRET: Final = ("password", "token", "secret", "key", "certificate", "csrf")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@\"']*:[^/\s@\"']*(?=@)")
"""Name and password in a URL."""


def without_secrets(value: Any) -> Any:
    """A JSON value without what its names call secret, and without the logins in its URLs."""
    if isinstance(value, dict):
        return {name: HIDDEN if _is_secret(str(name)) else without_secrets(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    return _LOGIN.sub(HIDDEN, value) if isinstance(value, str) else value


def _is_secret(name: str) -> bool:
    """`password`, `access_token`, `client_key`: by the last word of the name."""
    return name.lower().replace("-", "_").rsplit("_", 1)[-1] in _SECRET


def without_personal(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task without the values of the arguments that are personal data."""
    personal = task.get("personal") or {}
    arguments = task.get("arguments")
    if not personal or not isinstance(arguments, dict):
        return dict(task)
    return {**task, "arguments": {name: HIDDEN if name in personal else each for name, each in arguments.items()}}
