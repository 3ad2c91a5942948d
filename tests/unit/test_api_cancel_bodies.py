"""Bodies of `PATCH tasks/ID/`, answered in the words of pulpcore 3.123.1."""

from typing import Any

import pytest
from fastapi import Request
from pulp_api.v3.cancelling import reason_of_cancel
from pulp_api.v3.dialect import FieldErrors
from pulp_events.errors import BadInput

URLENCODED, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
ONLY = {"state": ["The only acceptable value for 'state' is 'canceled'."]}
NO_TEXT = {"state": ["Not a valid string."]}
REQUIRED = {"state": ["This field is required."]}
BLANK = {"state": ["This field may not be blank."]}


def asked(body: bytes, kind: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "PATCH", "headers": [(b"content-type", kind.encode())]}, receive)


def parts(**fields: str) -> bytes:
    each = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    return "".join([*each, "--b--\r\n"]).encode()


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b'{"state": "canceled"}', "application/json", None),
        (b'{"state": " canceled\\n"}', "application/json", None),
        (b'{"state": "cancel\\u0065d", "other": 1}', "application/json", None),
        (b'{"state": "x", "state": "canceled", "reason": "late"}', "APPLICATION/JSON; charset=utf-8", "late"),
        (b'{"state": "canceled"}', "", None),
        (b"state=canceled&reason=too+late", URLENCODED, "too late"),
        (parts(state="canceled"), PARTS, None),
        (parts(reason="zu sp\u00e4t", state="canceled"), 'Multipart/Form-Data; boundary="b"', "zu sp\u00e4t"),
    ],
)
async def test_a_cancel_is_taken(body: bytes, kind: str, reason: str | None) -> None:
    assert await reason_of_cancel(asked(body, kind)) == reason


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"", "application/json", REQUIRED),
        (b"{}", "application/json", REQUIRED),
        (b"null", "application/json", {"non_field_errors": ["No data provided"]}),
        *(
            (text, "application/json", {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {name}."]})
            for text, name in (
                (b"[]", "list"),
                (b'"canceled"', "str"),
                (b"1", "int"),
                (b"1.5", "float"),
                (b"true", "bool"),
            )
        ),
        *((b'{"state": %b}' % text, "application/json", NO_TEXT) for text in (b"true", b'["canceled"]', b"{}")),
        *(
            (b'{"state": %b}' % text, "application/json", ONLY)
            for text in (b"1", b"1.5", b'"CANCELED"', b'"cancelled"')
        ),
        *((b'{"state": %b}' % text, "application/json", BLANK) for text in (b'""', b'"  "')),
        (b'{"state": null}', "application/json", {"state": ["This field may not be null."]}),
        (b"state=running", URLENCODED, ONLY),
        (b"state=", URLENCODED, BLANK),
        (b"other=canceled", URLENCODED, REQUIRED),
        (parts(state="running"), PARTS, ONLY),
        (parts(state=""), PARTS, BLANK),
        (parts(), PARTS, REQUIRED),
        (b"state=canceled", PARTS, REQUIRED),
    ],
)
async def test_a_cancel_is_refused_in_pulps_words(body: bytes, kind: str, told: dict[str, list[str]]) -> None:
    with pytest.raises(FieldErrors) as refused:
        await reason_of_cancel(asked(body, kind))
    assert refused.value.errors == told


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"state=canceled", "application/json", "JSON parse error - "),
        (b'{"state": NaN}', "application/json", "JSON parse error - "),
        (b"\xef\xbb\xbf{}", "application/json", "byte order mark"),
        (b"\xff\xfe{\x00}\x00", "application/json", "byte order mark"),
        (parts(state="canceled"), "multipart/form-data", "Multipart form parse error - "),
    ],
)
async def test_a_body_that_cannot_be_read_is_told(body: bytes, kind: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        await reason_of_cancel(asked(body, kind))


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n\r\n" * 3000,
        b"".join(b"--b\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200)),
        parts(state="canceled", reason="x" * 9000),
        b"\r--b\r\r" * 30,
    ],
)
async def test_a_form_that_would_take_long_to_read_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="a form with a state and a reason is expected"):
        await reason_of_cancel(asked(body, PARTS))


@pytest.mark.parametrize("head", ["form-data; name=" + "(" * 500, "form-data; name=" + '"' * 3000, "(" * 4000])
async def test_an_odd_head_of_a_part_names_no_field(head: str) -> None:
    body = f"--b\r\nContent-Disposition: {head}\r\n\r\ncanceled\r\n--b--\r\n".encode()
    with pytest.raises(FieldErrors):
        await reason_of_cancel(asked(body, PARTS))
