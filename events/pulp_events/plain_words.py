"""What is wrong with a document that msgspec has refused, in plain words: where, and what is expected there. Pure.

Only this module knows msgspec's messages.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors that decoding an untrusted document may raise."""
_SEPARATOR: Final = " - at `"
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MOST_CHARACTERS: Final = 100

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "a time with its zone, such as 2026-11-24T12:00:00Z",
    "date": "a date, such as 2026-11-24",
    "duration": "a duration, such as PT30S",
    "uuid": "a UUID",
    "bytes": "a text in Base64",
}
_GOT: Final = {**_TYPES, "float": "a number with a fraction", "bool": "a boolean", "int": "a number"}
_UNITS: Final = {"str": "character", "array": "item", "object": "field", "bytes": "byte"}
_BOUNDS: Final = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


class Misfit(NamedTuple):
    """One invalid value."""

    path: str
    """Where it is: `retry.retries`, `resources[0].type`; empty for the whole document."""
    words: str
    """What is wrong and what to do: it follows the name of the value, as in `must be a text`."""
    is_own: bool = False
    """Whether the words are a whole sentence from the value's type."""

    def of(self, whole: str) -> str:
        """The message with the name of the value in front; `whole` is the name of the whole document."""
        return f"{self.path or whole}{':' if self.is_own else ''} {self.words}"

    @property
    def sentence(self) -> str:
        """The message for a reader who knows which field it is about."""
        if self.is_own:
            return f"{self.words[:1].upper()}{self.words[1:]}."
        return f"{'This field' if self.path else 'It'} {self.words}."


def misfit_of(error: Exception, kind: Any = None) -> Misfit:
    """What is wrong, from an error of `REFUSALS`. Given the decoded type, it also names the known words."""
    if not isinstance(error, msgspec.ValidationError):
        return Misfit("", f"is not JSON: {not_json(error)}")
    message, _, place = str(error).rpartition(_SEPARATOR) if _SEPARATOR in str(error) else (str(error), "", "")
    path = place.replace("`", "").partition("$")[2].removeprefix(".")
    for pattern, make in _MESSAGES:
        if (found := pattern.fullmatch(message)) is not None:
            return make(path, *found.groups(), kind)
    return Misfit(path, message, is_own=True)


def not_json(error: Exception) -> str:
    """Why a document is not JSON, by the error of decoding it."""
    if isinstance(error, RecursionError):
        return "objects and lists are nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "a text is not UTF-8"
    message = str(error)
    if message == "Input data was truncated":
        return "it is empty, or ends too early"
    found = re.fullmatch(r"JSON is malformed: (.*) \(byte (\d+)\)", message)
    return message if found is None else f"{found[1]} at byte {found[2]}"


def _type(path: str, wanted: str, got: str | None, _kind: Any) -> Misfit:
    expected = " or ".join(_TYPES.get(word, word) for word in wanted.split(" | "))
    return Misfit(path, f"must be {expected}{'' if got is None else f', not {_GOT.get(got, got)}'}")


def _bound(path: str, wanted: str, sign: str, bound: str, _kind: Any) -> Misfit:
    return Misfit(path, f"must be {_TYPES[wanted]} {_BOUNDS[sign]} {bound.removesuffix('.0')}")


def _multiple(path: str, wanted: str, of: str, _kind: Any) -> Misfit:
    return Misfit(path, f"must be {_TYPES[wanted]} that is a multiple of {of}")


def _length(path: str, wanted: str, sign: str | None, length: str, _kind: Any) -> Misfit:
    unit = _UNITS[wanted] if length == "1" else f"{_UNITS[wanted]}s"
    return Misfit(path, f"must be {_TYPES[wanted]} {_BOUNDS[sign] if sign else 'of'} {length} {unit}")


def _pattern(path: str, pattern: str, _kind: Any) -> Misfit:
    return Misfit(path, f"must be a text that matches {pattern}")


def _zone(path: str, has_zone: str, _kind: Any) -> Misfit:
    without = "a time without a zone, such as 2026-11-24T12:00:00"
    return Misfit(path, f"must be {_TYPES['datetime'] if has_zone == 'a' else without}")


def _form(path: str, form: str, _kind: Any) -> Misfit:
    return Misfit(path, f"must be {_FORMS[form]}")


def _missing(path: str, name: str, _kind: Any) -> Misfit:
    return Misfit(_join(path, name), "is required")


def _unknown(path: str, name: str, kind: Any) -> Misfit:
    shown = name if name.isprintable() and 0 < len(name) <= _MOST_CHARACTERS else "..."
    at = _type_at(kind, path)
    known = [field.encode_name for field in _fields_of(at)]
    return Misfit(_join(path, shown), f"is not a known field{_among(name, known) or ': leave it out'}")


def _word(path: str, word: str, kind: Any) -> Misfit:
    known = list(map(str, _words_of(_type_at(kind, path))))
    shown = word if len(word) <= _MOST_CHARACTERS else f"{word[:_MOST_CHARACTERS]}..."
    return Misfit(path, f"cannot be {shown}{_among(word.strip(chr(39)), known)}")


def _range(path: str, _kind: Any) -> Misfit:
    return Misfit(path, "is a number that is out of range")


_FORMS: Final = {
    "RFC3339 encoded datetime": _TYPES["datetime"],
    "RFC3339 encoded date": _TYPES["date"],
    "ISO8601 duration": _TYPES["duration"],
    "base64 encoded string": _TYPES["bytes"],
    "UUID": _TYPES["uuid"],
}
_MESSAGES: Final[tuple[tuple[re.Pattern[str], Callable[..., Misfit]], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), make)
    for pattern, make in (
        (r"Expected `([a-z| ]+)`(?:, got `(\w+)`)?", _type),
        (r"Expected `(int|float)` (>=|<=|>|<) (\S+)", _bound),
        (r"Expected `(int|float)` that's a multiple of (\S+)", _multiple),
        (r"Expected `(str|array|object|bytes)` of length (?:(>=|<=) )?(\d+)(?:, got \d+)?", _length),
        (r"Expected `str` matching regex '(.*)'", _pattern),
        (r"Expected `datetime` with (a|no) timezone component", _zone),
        (rf"Invalid ({'|'.join(_FORMS)})", _form),
        (r"Object missing required field `(.*)`", _missing),
        (r"Object contains unknown field `(.*)`", _unknown),
        (r"Invalid (?:enum )?value (.*)", _word),
        (r"(?:Integer value|Number) out of range", _range),
    )
)
"""Each message of msgspec, and its replacement."""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _among(word: str, known: Iterable[str]) -> str:
    """The allowed words, and the one that was probably meant."""
    names = list(known)
    if not names:
        return ""
    near = get_close_matches(word, names, n=1)
    return f"{f', did you mean {near[0]!r}?' if near else ''} (known are: {', '.join(names)})"


def _type_at(kind: Any, path: str) -> inspect.Type | None:
    """The type of the value at the path; None if it is one of several."""
    found = None if kind is None else _one(inspect.type_info(kind))
    for name, _ in _STEP.findall(f".{path}" if path and not path.startswith("[") else path):
        if name:
            found = next((_one(field.type) for field in _fields_of(found) if field.encode_name == name), None)
        elif isinstance(found, inspect.DictType):
            found = _one(found.value_type)
        else:
            found = _one(found.item_type) if isinstance(found, inspect.CollectionType) else None
    return found


def _fields_of(found: inspect.Type | None) -> tuple[inspect.Field, ...]:
    kinds = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
    return found.fields if isinstance(found, kinds) else ()


def _one(found: inspect.Type) -> inspect.Type | None:
    """The type itself, without `null` or a field that may be left out."""
    if isinstance(found, inspect.Metadata):
        return _one(found.type)
    if not isinstance(found, inspect.UnionType):
        return found
    types = [each for each in found.types if not isinstance(each, inspect.NoneType)]
    return _one(types[0]) if len(types) == 1 else None


def _words_of(found: inspect.Type | None) -> list[Any]:
    if isinstance(found, inspect.EnumType):
        return [member.value for member in found.cls]
    return list(found.values) if isinstance(found, inspect.LiteralType) else []
