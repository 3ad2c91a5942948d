"""Parses the list parameter `q`: filters combined with NOT, AND, OR and parentheses. Pure.

`state=failed AND NOT (name=sync OR name__contains='remove orphans')`. NOT binds tightest, then AND, then OR. A value in
quotes ends at the next such quote that is neither doubled nor behind a backslash.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from pulp_projections.reading.queries import Condition, in_each

from pulp_api.times import with_plus
from pulp_api.v3.declared_filters import DeclaredFilters
from pulp_api.v3.dialect import FieldErrors

MAX_COMPLEXITY: Final = 8
_MAX_TOKENS: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<mark>[()])|(?P<word>NOT|AND|OR)(?![\w$=])|(?P<name>[A-Za-z]\w*)\s*=\s*"""
    r"""(?:"(?P<double>(?:[^"\n\r\\]|""|\\.)*)"|'(?P<single>(?:[^'\n\r\\]|''|\\.)*)'|(?P<bare>[^\s()"']+)))""",
    re.ASCII,
)
_CODES: Final[Mapping[str, str]] = {
    "Select a valid choice.": "invalid_choice",
    "Range query expects two values.": "invalid_values",
}
"""How a message begins → Pulp 3's code for it; all others are `invalid`."""


class _Token(NamedTuple):
    kind: str
    """`(`, `)`, `NOT`, `AND`, `OR`, `filter`, or `` at the end."""
    name: str = ""
    value: str = ""


class _Part(NamedTuple):
    condition: Condition
    complexity: int


def expression(text: str, filters: DeclaredFilters) -> Condition:
    """The condition of an expression. Raises `FieldErrors` with Pulp 3's messages for a bad one."""
    parser = _Parser(_tokens(with_plus(text)), filters)
    part = parser.any_of()
    if parser.token.kind:
        raise _wrong("Syntax error in expression.")
    if part.complexity > MAX_COMPLEXITY:
        raise _wrong("Filter expression exceeds allowed complexity.")
    return part.condition


class _Parser:
    """A recursive descent parser; each method consumes the tokens of its rule."""

    def __init__(self, tokens: list[_Token], filters: DeclaredFilters) -> None:
        self._tokens = tokens
        self._declared = filters
        self._at = 0
        self._filters = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._at]

    def any_of(self) -> _Part:
        parts = [self._all_of()]
        while self._took("OR"):
            parts.append(self._all_of())
        return _joined(parts, " or ")

    def _all_of(self) -> _Part:
        parts = [self._one()]
        while self._took("AND"):
            parts.append(self._one())
        return _joined(parts, " and ")

    def _one(self) -> _Part:
        if self._took("NOT"):
            inner = self._one()
            # Unlike `not`, this is also true for NULL, such as the start of a task that never started.
            return _Part(_condition(f"(({inner.condition.sql}) is not true)", inner.condition), inner.complexity + 1)
        if self._took("("):
            inner = self.any_of()
            if not self._took(")"):
                raise _wrong("Syntax error in expression.")
            return inner
        return self._filter()

    def _filter(self) -> _Part:
        token = self.token
        if not self._took("filter"):
            raise _wrong("Syntax error in expression.")
        self._filters += 1
        return _Part(_numbered(self._condition_of(token), self._filters), 1)

    def _condition_of(self, token: _Token) -> Condition:
        if token.name == "q":
            raise _wrong("You cannot use 'q' in complex filtering.")
        if token.name == "ordering":
            raise _wrong("An ordering filter cannot be used in complex filtering.")
        if token.name not in self._declared:
            raise _wrong(f"Filter '{token.name}' does not exist.")
        try:
            return self._declared.condition(token.name, [token.value])
        except FieldErrors as error:
            if not isinstance(error.errors, Mapping):
                raise
            raise _wrong(json.dumps({name: _coded(texts) for name, texts in error.errors.items()})) from None

    def _took(self, kind: str) -> bool:
        took = self.token.kind == kind
        self._at += took
        return took


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong("Syntax error in expression.")
        if len(found) == _MAX_TOKENS:
            raise _wrong("Filter expression exceeds allowed complexity.")
        kind = match["mark"] or match["word"] or "filter"
        value = next((match[each] for each in ("bare", "double", "single") if match[each] is not None), "")
        found.append(_Token(kind, match["name"] or "", value))
        at = match.end()
    return [*found, _Token("")]


def _joined(parts: list[_Part], word: str) -> _Part:
    if len(parts) == 1:
        return parts[0]
    conditions = [part.condition for part in parts]
    joined = _condition("(" + word.join(condition.sql for condition in conditions) + ")", *conditions)
    narrowed = _all_among(joined, conditions) if word == " and " else _any_among(joined, conditions)
    return _Part(narrowed, sum(part.complexity for part in parts) + 1)


def _all_among(joined: Condition, conditions: Sequence[Condition]) -> Condition:
    """The joined condition with the task lists of all parts: every matching task is in each of them."""
    among = tuple(each for condition in conditions for each in condition.among)
    texts = [condition.rest if condition.among else condition.sql for condition in conditions]
    return replace(joined, among=among, rest=" and ".join(text for text in texts if text)) if among else joined


def _any_among(joined: Condition, conditions: Sequence[Condition]) -> Condition:
    """The joined condition with the union of the parts' task lists, if every part has one."""
    if not all(condition.among and not condition.rest for condition in conditions):
        return joined
    lists = [f"select r.accepted_at, r.task_id from {in_each(condition.among)}" for condition in conditions]
    return replace(joined, among=("(" + " union ".join(lists) + ")",))


def _condition(sql: str, *parts: Condition) -> Condition:
    parameters = {name: value for part in parts for name, value in part.parameters.items()}
    return Condition(sql, parameters, is_counted=all(part.is_counted for part in parts))


def _numbered(condition: Condition, number: int) -> Condition:
    """The condition with its own parameters numbered, as a filter may occur several times."""
    names = {name: f"q{number}_{name}" for name in condition.parameters}
    parameters = {names[name]: value for name, value in condition.parameters.items()}

    def own(text: str) -> str:
        return re.sub(r"%\((\w+)\)s", lambda found: f"%({names.get(found[1], found[1])})s", text)

    among = tuple(map(own, condition.among))
    return replace(condition, sql=own(condition.sql), parameters=parameters, among=among, rest=own(condition.rest))


def _coded(texts: Sequence[str]) -> list[dict[str, str]]:
    """Messages as Pulp 3 quotes them within the message about the expression."""
    return [
        {
            "message": text,
            "code": next((code for start, code in _CODES.items() if text.startswith(start)), "invalid"),
        }
        for text in texts
    ]


def _wrong(text: str) -> FieldErrors:
    return FieldErrors({"q": [text]})
