"""The socket on which the API listens."""

import socket

import pytest
from pulp_api.front.listener import listen


def test_answers_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0, stalled_s=30) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="NOT TESTED: this machine has no IPv6")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_two_colons_are_every_address_of_both_kinds(address: str) -> None:
    with listen("::", 0, stalled_s=30) as listener:
        socket.create_connection((address, listener.getsockname()[1]), timeout=30).close()
