"""The names of header fields leave in the case that Pulp's own server sends."""

from pulp_api.front.field_names import in_usual_case


def test_names_get_capitals_and_values_stay() -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncorrelation-id: aB:c\r\nwww-authenticate: Basic\r\n"
        b"x-content-type-options: nosniff\r\netag: x\r\nAllow: GET\r\n\r\n"
    )
    assert in_usual_case(head) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCorrelation-ID: aB:c\r\nWWW-Authenticate: Basic\r\n"
        b"X-Content-Type-Options: nosniff\r\nETag: x\r\nAllow: GET\r\n\r\n"
    )
