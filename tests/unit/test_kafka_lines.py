"""A broker that is away does not fill the log, although librdkafka reports each of its attempts."""

import logging

from pulp_events.kafka import Seldom

FAILED = (
    "FAIL [pulp-tasks#producer-{client}] [thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to"
    " ipv4#127.0.0.1:1 failed: Connection refused (after {after}ms in state CONNECT)"
)


def line(text: str) -> logging.LogRecord:
    return logging.LogRecord("pulp.kafka", logging.ERROR, __file__, 1, text, None, None)


def test_the_same_of_librdkafka_is_told_once_in_ten_seconds() -> None:
    now = [100.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.filter(line(FAILED.format(client=1, after=after))) for after in range(200)] == [True] + [False] * 199
    assert seldom.filter(line(FAILED.format(client=2, after=0)))  # another client
    now[0] = 110.0
    assert seldom.filter(line(FAILED.format(client=1, after=0)))
    assert not seldom.filter(line(FAILED.format(client=1, after=1)))


def test_our_own_lines_always_pass() -> None:
    seldom = Seldom()
    assert all(seldom.filter(line("partitions were taken away")) for _ in range(3))
    assert any(isinstance(each, Seldom) for each in logging.getLogger("pulp.kafka").filters)
