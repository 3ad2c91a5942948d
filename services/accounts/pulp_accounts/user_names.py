"""User names: which are accepted, and their normal form (PRECIS, RFC 8265)."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from pulp_events.errors import BadInput

_LONGEST: Final = 200
_NOT_IN_A_NAME: Final = frozenset(":/\\")
"""A colon ends a name in HTTP basic authentication; slashes would break paths and URLs that contain names."""
_SCRIPTS: Final = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
"""Scripts that may be mixed (Unicode TS 39, highly restrictive)."""
_STEPS: Final = 5


def normal_name(name: str) -> str:
    """The form in which a new name is stored: composed, in standard width, with its case kept.

    An invalid name is returned unchanged, because users of earlier releases may have one.
    """
    if len(name) > _LONGEST:  # bounds the work, since anybody may send any name
        return name
    try:
        return _enforce(name)
    except UnicodeEncodeError:
        return name


def objection_to(name: str) -> str | None:
    """Why a new user cannot have this name; None for a valid one."""
    if not name:
        return "it is empty"
    if len(name) > _LONGEST:
        return f"it has more than {_LONGEST} characters"
    if name != name.strip():
        return "it begins or ends with a blank"
    if name in (".", "..") or name.startswith("-"):
        return "it would be taken for an option or a folder"
    if bad := sorted(_NOT_IN_A_NAME & set(name)):
        return f"it holds {bad[0]!r}"
    try:
        normal = _enforce(name)
    except UnicodeEncodeError as error:
        return f"it holds {_shown(name[error.start : error.end])}, which no name may hold"
    scripts = _scripts(normal)
    if len(scripts) > 1 and not any(scripts <= together for together in _SCRIPTS):
        return f"it mixes letters of {' and '.join(sorted(each.capitalize() for each in scripts))} that look alike"
    return None


def check_new_name(name: str, others: Iterable[str]) -> str:
    """The name in its normal form. Raises `BadInput` for one that is invalid or looks like one of `others`."""
    reason = objection_to(name)
    if reason is not None:
        raise BadInput(f"user name {_shown(name)} cannot be used: {reason}")
    normal = _enforce(name)
    own = skeleton(normal)
    for other in others:
        if other == normal:
            raise BadInput(f"user {normal} exists already")
        if skeleton(other) == own:
            raise BadInput(f"user name {_shown(name)} cannot be used: it looks like that of user {_shown(other)}")
    return normal


def skeleton(name: str) -> str:
    """A text that is equal for names that look alike (Unicode TS 39) or differ only in case."""
    text = normal_name(name).casefold()
    for _ in range(_STEPS):
        simpler = "".join(map(_simplest, text)).casefold()
        if simpler == text:
            break
        text = simpler
    return text


@cache
def _simplest(character: str) -> str:
    """The first character, in Unicode's order, that looks like this one."""
    from confusable_homoglyphs import confusables

    found: list[dict[str, Any]] = confusables.confusables_data.get(character, [])
    alike = [str(each["c"]) for each in found]
    return min([character, *(each for each in alike if len(each) == 1)])


def _scripts(name: str) -> frozenset[str]:
    from confusable_homoglyphs import categories

    return frozenset(categories.unique_aliases(name)) - {"COMMON", "INHERITED"}


def _enforce(name: str) -> str:
    return str(_profile().enforce(name))


@cache
def _profile() -> Any:
    from precis_i18n import get_profile

    return get_profile("UsernameCasePreserved")


def _shown(text: str) -> str:
    """The text for a message, with any character beyond printable ASCII as an escape."""
    return text if text.isascii() and text.isprintable() else ascii(text)
