"""The socket on which the API listens."""

import socket

from pulp_api.listener import listen


def test_answers_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0, stalled_s=30) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
