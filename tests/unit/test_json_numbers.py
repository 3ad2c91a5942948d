"""Numbers that Postgres cannot hold are refused before they are written: one row with such a number makes every search
fail."""

import msgspec
import pytest
from pulp_api.submitting.json_numbers import MOST_DECIMALS, check_numbers
from pulp_api.submitting.submission import drafted, parse
from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.filters import TASK_FILTERS
from pulp_events.errors import BadInput
from pulp_worker import Context, operation

from tests.support.declared import row_of

TOO_LONG = ["1e-16384", "-1E-200000", "1.5e-16383", "1e-999999999999999999999", "0." + "1" * 16_384]
HELD = ["1e-16383", "0." + "1" * 16_383, "1e308", "-0.0", "5e-324", "1e-00001", "1" + "0" * 18]


@operation("anything")
def anything(context: Context) -> None: ...


@pytest.mark.parametrize("number", TOO_LONG, ids=lambda text: text[:30])
def test_a_number_with_too_many_digits_is_refused(number: str) -> None:
    body = b'{"operation": "anything", "arguments": {"x": [{"y": %s}]}}' % number.encode()
    with pytest.raises(BadInput, match=f"more than {MOST_DECIMALS} digits behind the point"):
        drafted(parse(body), row_of(anything))
    with pytest.raises(FieldErrors, match="digits behind the point"):
        TASK_FILTERS.condition("arguments__contains", [f'{{"x": {number}}}'])


@pytest.mark.parametrize("number", HELD, ids=lambda text: text[:30])
def test_any_other_is_taken_as_it_is(number: str) -> None:
    body = b'{"operation": "anything", "arguments": {"x": %s}}' % number.encode()
    assert bytes(drafted(parse(body), row_of(anything)).submission.arguments) == b'{"x": %s}' % number.encode()
    TASK_FILTERS.condition("arguments__contains", [f'{{"x": {number}}}'])


@pytest.mark.parametrize("text", ["a71e-40000", "1e-99999", "9" * 2000])
def test_digits_in_a_text_are_no_number(text: str) -> None:
    check_numbers(msgspec.json.encode({"x": text}), "it")
