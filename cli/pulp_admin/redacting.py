"""Removes secrets from what is shown or passed on. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "..."
_SECRET: Final = ("password", "token", "secret", "key", "certificate", "csrf")
_LOGIN: Final = re.compile(r"(?<=://)(?:[^/?#\s@\"']+|[^/?#\s@\"':]*:(?!\d+[?#])[^/\s@\"']+)(?=@)")
"""Name and password in a URL, or a token in their place. A host ends at `?` or `#`, but people write passwords with
these as they are."""
_PARAMETER: Final = re.compile(
    rf"(?<=[?&;])((?:[\w.%-]*[._-])?(?:{'|'.join(_SECRET)}|signature|sig)=)[^&;#\s\"']+", re.IGNORECASE
)
"""A parameter of a URL that its name calls secret, such as `access_token` or `X-Amz-Signature`."""


def without_secrets(value: Any) -> Any:
    """A JSON value without what its names call secret, and without the logins and secret parameters in its URLs."""
    if isinstance(value, dict):
        return {name: HIDDEN if _is_secret(str(name)) else without_secrets(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    if not isinstance(value, str):
        return value
    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", _LOGIN.sub(HIDDEN, value))


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
