"""Check the arguments of a submission against the operation's declaration, before anything is written. Pure.

No message repeats a value, because a refused value may hold a secret.
"""

import datetime
import decimal
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pulp_events.argument_forms import FORMS
from pulp_events.errors import BadInput
from referencing import Registry
from referencing.exceptions import Unresolvable

from pulp_api.submitting.argument_words import example, expected, is_remembered

_NAME: Final = re.compile(r"[\w.-]{1,64}")
_DECODED: Final = {
    "date": datetime.date,
    "date-time": datetime.datetime,
    "decimal": decimal.Decimal,
    "duration": datetime.timedelta,
    "time": datetime.time,
    "uuid": uuid.UUID,
}
"""Formats that a worker decodes into these types. The same decoder checks them here."""


class Problem(NamedTuple):
    """One argument, and what is wrong with it."""

    path: str
    """The place of the value: `feed`, `options.depth`, `names[0]`; empty for the arguments as a whole."""
    message: str
    kind: Literal["missing", "unknown", "invalid"]

    @property
    def name(self) -> str:
        """The name of the argument."""
        return self.path.partition(".")[0].partition("[")[0]


class InvalidArguments(BadInput):
    """The arguments of a submission do not fit what its operation declares."""

    def __init__(self, operation: str, problems: Sequence[Problem], right: Mapping[str, Any]) -> None:
        texts = [f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems]
        super().__init__(f"operation {operation}: {'; '.join(texts)}")
        self.operation = operation
        self.problems = tuple(problems)
        self.example = right
        """A valid submission of the operation."""


class Checker:
    """Checks arguments against one schema, which is compiled once. Use `checker` to get a cached one."""

    def __init__(self, operation: str, schema: Mapping[str, Any]) -> None:
        self._operation = operation
        self.schema = schema
        properties: Mapping[str, Any] = schema.get("properties", {})
        self._remembered = frozenset(name for name, each in properties.items() if is_remembered(each))
        self.optional = frozenset(name for name, each in properties.items() if each.get("default", ...) is None)
        """Arguments that a submission may leave out; they are null then."""
        self.defaults = {name: each["default"] for name, each in properties.items() if each.get("default") is not None}
        """The values of arguments that a submission leaves out, as the operation will get them; without null."""
        self._validator = _Validator(schema, format_checker=_FORMATS, registry=Registry())

    def check(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of missing remembered arguments.

        Raises `InvalidArguments`, or `BadInput` for an unusable schema.
        """
        try:
            problems = self._problems(self._validator.iter_errors(arguments), arguments)
        except (Unresolvable, re.error) as error:
            raise BadInput(
                f"operation {self._operation} declares its arguments with a schema that cannot be used: {error}"
            ) from error
        except RecursionError as error:
            raise BadInput(f"operation {self._operation}: the arguments are nested too deeply") from error
        left_out = tuple(problem.path for problem in problems if _is_left_out(problem, self._remembered))
        wrong = [problem for problem in problems if problem.path not in left_out]
        if wrong:
            raise self.refusal(wrong)
        return left_out

    def refusal(self, problems: Sequence[Problem]) -> InvalidArguments:
        """The error for these problems."""
        return InvalidArguments(self._operation, problems, example(self._operation, self.schema))

    def lacking(self, name: str) -> Problem:
        """The problem that a required argument is missing, also for a remembered one."""
        return _missing(name, self.schema["properties"][name], self.schema)

    def _problems(self, errors: Iterable[ValidationError], arguments: Mapping[str, Any]) -> list[Problem]:
        """One problem for each path: missing arguments first, the others in the order of the submission."""
        found: dict[str, Problem] = {}
        for error in errors:
            for problem in _problems_of(error, self.schema):
                found.setdefault(problem.path, problem)
        order = {name: place for place, name in enumerate(arguments)}
        return sorted(found.values(), key=lambda problem: order.get(problem.name, -1))


@lru_cache(maxsize=512)
def checker(operation: str, schema: str) -> Checker:
    """The checker for a schema, given as JSON text. Raises `BadInput` for an invalid schema."""
    found = msgspec.json.decode(schema)
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as error:
        raise BadInput(
            f"operation {operation} declares its arguments with an invalid JSON Schema: {error.message}"
        ) from error
    return Checker(operation, found)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`, did you mean 'feed'?`, or nothing."""
    begun = [each for each in known if len(word) > 2 and each.startswith(word)]
    near = begun or get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _is_left_out(problem: Problem, remembered: frozenset[str]) -> bool:
    return problem.kind == "missing" and problem.path in remembered


def _problems_of(error: ValidationError, root: Mapping[str, Any]) -> Iterable[Problem]:
    path = _path(error.absolute_path)
    schema: Any = error.schema
    wanted: Any = error.validator_value
    given: Any = error.instance
    match error.validator:
        case "required":
            names = [name for name in wanted if name not in given]
            return [_missing(_join(path, name), schema.get("properties", {}).get(name, {}), root) for name in names]
        case "additionalProperties" | "unevaluatedProperties":
            known = schema.get("properties", {})
            return [_unknown(path, name, known) for name in given if name not in known]
        case "anyOf" | "oneOf" if error.context:
            # If the type fits exactly one branch, the problems of that branch explain the refusal.
            deeper = [each for each in error.context if each.validator != "type" or each.relative_path]
            if len({each.relative_schema_path[0] for each in deeper}) == 1:
                return [problem for each in deeper for problem in _problems_of(each, root)]
            return [_invalid(path, schema, root)]
        case "format" if wanted in FORMS:
            return [Problem(path, FORMS[wanted](given) or "", "invalid")]
        case _:
            return [_invalid(path, schema if isinstance(schema, Mapping) else {}, root)]


def _missing(path: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Problem:
    return Problem(path, f"this argument is required: {expected(schema, root)}", "missing")


def _unknown(path: str, name: str, known: Mapping[str, Any]) -> Problem:
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    shown = _shown(name)
    hint = did_you_mean(name, known)
    return Problem(_join(path, name), f"there is no argument {shown!r}{hint} ({takes})", "unknown")


def _invalid(path: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Problem:
    return Problem(path, f"{expected(schema, root)} is expected", "invalid")


def _path(parts: Iterable[str | int]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else _join(path, part)
    return path


def _join(path: str, name: str) -> str:
    return f"{path}.{_shown(name)}" if path else _shown(name)


def _shown(name: str) -> str:
    """A name as a message shows it. A text that does not look like a name may be a secret, so it is hidden."""
    return name if _NAME.fullmatch(name) else "..."


def _decodes(kind: type[Any]) -> Callable[[object], bool]:
    def is_taken(value: object) -> bool:
        try:
            msgspec.convert(value, kind)
        except (msgspec.ValidationError, ValueError, OverflowError):
            return False
        return True

    return is_taken


def _is_formed(form: Callable[[str], str | None]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or form(value) is None


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, form in FORMS.items():
        checker.checks(name)(_is_formed(form))
    for name, kind in _DECODED.items():
        checker.checks(name)(_decodes(kind))
    return checker


_FORMATS: Final = _formats()
_Validator: Final = extend(  # type: ignore[no-untyped-call]  # its stubs leave the types out
    Draft202012Validator,
    # JSON Schema accepts 1.0 as an integer; the worker's decoder does not.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
