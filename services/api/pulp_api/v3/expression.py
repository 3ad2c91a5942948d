"""The parameter `q` of a list: filters that NOT, AND, OR and parentheses join. Pure.

`state=failed AND NOT (name=sync OR name__contains="remove orphans")`. NOT binds tightest, then AND, then OR.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from pulp_projections.reading.queries import Condition, in_each

from pulp_api.failures import FieldErrors
from pulp_api.times import with_plus
from pulp_api.v3.filters import condition_of, is_filter

MAX_COMPLEXITY: Final = 8
_MAX_TOKENS: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<mark>[()])|(?P<word>NOT|AND|OR)(?![\w=])|(?P<name>[a-z_]+)\s*=\s*(?:"(?P<text>[^"]*)"|(?P<bare>[^\s()"]+)))"""
)


class _Token(NamedTuple):
    kind: str
    """`(`, `)`, `NOT`, `AND`, `OR`, `filter`, or `` at the end."""
    name: str = ""
    value: str = ""


class _Part(NamedTuple):
    condition: Condition
    complexity: int


def expression(text: str) -> Condition:
    """The condition of an expression. Raises `FieldErrors` as Pulp 3 answers for a bad one."""
    parser = _Parser(_tokens(with_plus(text)))
    part = parser.any_of()
    if parser.token.kind:
        raise _wrong("Syntax error in expression.")
    if part.complexity > MAX_COMPLEXITY:
        raise _wrong("Filter expression exceeds allowed complexity.")
    return part.condition


class _Parser:
    """One pass over the tokens; each method takes what it can, and leaves the rest."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
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
            # Unlike `not`: also where nothing is known, such as the start of a task that was never started.
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
        if not is_filter(token.name):
            raise _wrong(f"Filter '{token.name}' does not exist.")
        self._filters += 1
        return _Part(_numbered(condition_of(token.name, [token.value]), self._filters), 1)

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
        found.append(_Token(kind, match["name"] or "", match["text"] or match["bare"] or ""))
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
    """With the lists of tasks that some of the conditions name: all that match are in each."""
    among = tuple(each for condition in conditions for each in condition.among)
    texts = [condition.rest if condition.among else condition.sql for condition in conditions]
    return replace(joined, among=among, rest=" and ".join(text for text in texts if text)) if among else joined


def _any_among(joined: Condition, conditions: Sequence[Condition]) -> Condition:
    """With the list of the tasks that the conditions name, where each does."""
    if not all(condition.among and not condition.rest for condition in conditions):
        return joined
    lists = [f"select r.accepted_at, r.task_id from {in_each(condition.among)}" for condition in conditions]
    return replace(joined, among=("(" + " union ".join(lists) + ")",))


def _condition(sql: str, *parts: Condition) -> Condition:
    parameters = {name: value for part in parts for name, value in part.parameters.items()}
    return Condition(sql, parameters, is_counted=all(part.is_counted for part in parts))


def _numbered(condition: Condition, number: int) -> Condition:
    """With parameters of its own: one filter may be there more than once, here and beside the expression."""
    parameters = {f"q{number}_{name}": value for name, value in condition.parameters.items()}

    def own(text: str) -> str:
        return re.sub(r"%\((\w+)\)s", rf"%(q{number}_\1)s", text)

    among = tuple(map(own, condition.among))
    return replace(condition, sql=own(condition.sql), parameters=parameters, among=among, rest=own(condition.rest))


def _wrong(text: str) -> FieldErrors:
    return FieldErrors({"q": [text]})
