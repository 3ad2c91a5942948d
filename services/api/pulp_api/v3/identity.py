"""The filters that every list of Pulp 3 has: by ids, hrefs and PRNs. Pure."""

from collections.abc import Iterator
from typing import LiteralString
from uuid import UUID

from pulp_api.v3.declared_filters import NOTHING, ListFilter, value_type, where_list
from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.parameters import TEXT, UUID_TEXT
from pulp_api.v3.references import Kind, ends_in_uuid, name_of, uuid_of


def identity(kind: Kind, sql: LiteralString) -> Iterator[ListFilter]:
    """`pulp_id__in`, `pulp_href__in` and `prn__in`, for the column of the id; an empty list selects nothing."""
    by_href = value_type(TEXT, lambda name, text: _by_href(name, kind, text))
    by_prn = value_type(TEXT, lambda name, text: _by_prn(name, kind, text))
    for name, of in (("pulp_id", _IDS), ("pulp_href", by_href), ("prn", by_prn)):
        full: LiteralString = name + "__in"
        yield from where_list(full, sql + " = any ({value})", of, if_empty=NOTHING)


def named_identity(kind: Kind, sql: LiteralString) -> Iterator[ListFilter]:
    """`pulp_href__in` and `prn__in` for objects identified by name, on the column of the name."""
    by_href = value_type(TEXT, lambda _, text: name_of(kind, text))
    by_prn = value_type(TEXT, lambda _, text: name_of(kind, _prn(text)))
    for name, of in (("pulp_href", by_href), ("prn", by_prn)):
        full: LiteralString = name + "__in"
        yield from where_list(full, sql + " = any ({value})", of, if_empty=NOTHING)


def _id_of(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise FieldErrors({name: ["Enter a valid UUID."]}) from None


def _by_href(name: str, kind: Kind, text: str) -> UUID:
    if not ends_in_uuid(text):
        raise FieldErrors([f"URI not valid: {text}"])
    return uuid_of(name, kind, text)


def _by_prn(name: str, kind: Kind, text: str) -> UUID:
    return uuid_of(name, kind, _prn(text))


def _prn(text: str) -> str:
    if not text.startswith("prn:"):
        raise FieldErrors([f"Not a valid PRN: {text}, must start with 'prn:'"])
    return text


_IDS = value_type(UUID_TEXT, _id_of)
