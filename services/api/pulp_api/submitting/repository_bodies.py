"""The fields of a repository that a client may set; an error names each wrong one. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from pulp_events.argument_forms import CONTROL, repository_id
from pulp_events.errors import BadInput
from pulp_projections.reading.queries import OperationRow
from pulp_projections.repositories import Repository, Said

from pulp_api.submitting.arguments import InvalidArguments, Problem, did_you_mean
from pulp_api.submitting.submission import checker_of

OPERATIONS: Final = ("sync", "publish")
"""The operations for which a repository may hold arguments."""
OPTIONS: Final[Mapping[str, str]] = {"sync_options": "sync", "publish_options": "publish"}
"""Field → the operation whose arguments it holds."""
MOST_NAME: Final = 255
MOST_DESCRIPTION: Final = 4096
MOST_NOTES_BYTES: Final = 8 * 1024
MOST_OPTIONS_BYTES: Final = 8 * 1024
_TEXTS: Final = {"display_name": MOST_NAME, "description": MOST_DESCRIPTION}
FIELDS: Final = (*_TEXTS, "notes", "feed", *OPTIONS)
"""The fields of a repository besides its id."""


class BadRepository(BadInput):
    """A field of a repository has an invalid value."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
        self.problems = tuple(problems)


class Change(NamedTuple):
    """A change of a repository; fields that it does not name stay."""

    fields: Mapping[str, Any]

    @property
    def operations(self) -> list[str]:
        """The operations whose arguments it sets. To remove arguments, the declaration is not needed."""
        has_feed = bool(self.fields.get("feed"))
        given = {name: any(value is not None for value in (self.fields.get(name) or {}).values()) for name in OPTIONS}
        return [OPTIONS[name] for name, is_given in given.items() if is_given or (has_feed and name == "sync_options")]

    def on(self, said: Said) -> Said:
        """The fields after the change. Notes and options change by key, and null removes a key (RFC 7396)."""
        changed: dict[str, Any] = {name: self.fields[name] or None for name in _TEXTS if name in self.fields}
        for name in ("notes", *OPTIONS):
            if name in self.fields:
                changed[name] = _merged(getattr(said, name), self.fields[name])
        if "feed" in self.fields:
            options = changed.get("sync_options", said.sync_options)
            changed["sync_options"] = _merged(options, {"feed": self.fields["feed"] or None})
        return said._replace(**changed)


def said_of(repository: Repository) -> Said:
    """The fields of a repository now."""
    return Said(*(getattr(repository, name) for name in Said._fields))


def check_id(field: str, repo_id: object) -> str:
    """The id of a repository. Raises `BadRepository`, which names the field."""
    if repo_id is None:
        raise BadRepository([Problem(field, "this field is required: a repository's id", "missing")])
    wrong = repository_id(repo_id) if isinstance(repo_id, str) else "a repository's id is expected: a text"
    if wrong is not None:
        raise BadRepository([Problem(field, wrong, "invalid")])
    assert isinstance(repo_id, str)
    return repo_id


def change_of(body: Mapping[str, Any], *others: str) -> Change:
    """The change in a body; `others` are fields that the caller reads itself. Raises `BadRepository`."""
    problems = [_unknown(name, (*others, *FIELDS)) for name in body if name not in (*others, *FIELDS)]
    fields = {name: body[name] for name in FIELDS if name in body}
    for name, value in fields.items():
        wrong = None if value is None else _CHECKS[name](value)
        if wrong is not None:
            problems.append(Problem(name, wrong, "invalid"))
    if problems:
        raise BadRepository(problems)
    return Change(fields)


def check_said(said: Said, operations: Mapping[str, OperationRow]) -> None:
    """Raises `BadRepository` for options that these operations do not accept, and for too many bytes."""
    problems = []
    for field, operation in OPTIONS.items():
        options = getattr(said, field)
        if operation in operations:
            problems += _bad_options(field, options, operations[operation])
        if len(msgspec.json.encode(options)) > MOST_OPTIONS_BYTES:
            problems.append(Problem(field, f"at most {MOST_OPTIONS_BYTES} bytes are expected", "invalid"))
    if len(msgspec.json.encode(said.notes)) > MOST_NOTES_BYTES:
        problems.append(Problem("notes", f"at most {MOST_NOTES_BYTES} bytes are expected", "invalid"))
    if problems:
        raise BadRepository(problems)


def _bad_options(field: str, options: Mapping[str, Any], operation: OperationRow) -> list[Problem]:
    if "repo_id" in options:
        return [Problem(f"{field}.repo_id", "a repository's options cannot name a repository", "unknown")]
    by = checker_of(operation)
    if by is None:
        return []
    try:
        by.check({"repo_id": "zoo", **options})
    except InvalidArguments as error:
        return [
            problem._replace(path=problem.path if problem.path == "feed" else f"{field}.{problem.path}")
            for problem in error.problems
            if problem.kind != "missing"  # the submission supplies it
        ]
    return []


def _merged(before: Mapping[str, Any], change: Mapping[str, Any] | None) -> dict[str, Any]:
    if change is None:
        return {}
    return {name: value for name, value in {**before, **change}.items() if value is not None}


def _unknown(name: str, known: tuple[str, ...]) -> Problem:
    shown = name if name.isidentifier() else "..."
    return Problem(shown, f"unexpected field{did_you_mean(name, known)} (known are: {', '.join(known)})", "unknown")


def _text(most: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        is_right = isinstance(value, str) and len(value) <= most and "\0" not in value
        return None if is_right else f"a text of at most {most} characters is expected"

    return check


def _name(value: object) -> str | None:
    wrong = _text(MOST_NAME)(value)
    if wrong is None and isinstance(value, str) and CONTROL.search(value):
        return "a name without control characters, such as line breaks, is expected"
    return wrong


def _object(value: object) -> str | None:
    is_right = isinstance(value, dict) and all(0 < len(name) <= MOST_NAME for name in value)
    return None if is_right else f"an object is expected, with names of 1 to {MOST_NAME} characters"


def _feed(value: object) -> str | None:
    return None if isinstance(value, str) else "an http or https URL is expected"


_CHECKS: Final[Mapping[str, Callable[[object], str | None]]] = {
    "display_name": _name,
    "description": _text(MOST_DESCRIPTION),
    "notes": _object,
    "feed": _feed,
    **dict.fromkeys(OPTIONS, _object),
}
