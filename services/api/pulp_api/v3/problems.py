"""Collects everything that is wrong with a request, for a single answer. Pure."""

from collections.abc import Mapping, Sequence
from types import TracebackType

from pulp_api.v3.dialect import FieldErrors


class Problems:
    """Collects the `FieldErrors` that are raised within `with` blocks, for `check` to raise together."""

    def __init__(self) -> None:
        self._by_field: dict[str, list[str]] = {}
        self._listed: Sequence[str] = []

    def __enter__(self) -> "Problems":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, FieldErrors):
            return False
        if isinstance(error.errors, Mapping):
            for field, texts in error.errors.items():
                self._by_field.setdefault(field, []).extend(texts)
        else:
            self._listed = self._listed or error.errors
        return True

    def check(self) -> None:
        """Raises `FieldErrors` if there were any: those by field, or else the first list.

        Pulp 3 looks up hrefs, and answers with a list, only if every field can be read.
        """
        if self._by_field:
            raise FieldErrors(self._by_field)
        if self._listed:
            raise FieldErrors(self._listed)
