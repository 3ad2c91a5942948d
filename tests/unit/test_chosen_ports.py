"""The ports that a stack listens on, and the messages about ports that are taken."""

import os
import re
import socket
from collections.abc import Iterator

import pytest
from pulp_deploy.chosen_ports import Ports, WantedPorts, check, choose
from pulp_deploy.errors import PortInUse
from pulp_deploy.local.ports import HOST, free_ports

ANY = WantedPorts(api=0, kafka=0, postgres=0)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def numbered(count: int) -> list[int]:
    return list(range(1, count + 1))


def test_the_first_start_has_the_usual_ports() -> None:
    assert choose(WantedPorts(), None, brokers=1, free=numbered) == Ports(24817, 24815, (9092, 9093))


def test_a_later_start_has_the_ports_that_it_had_but_for_those_asked_for() -> None:
    before = Ports(5, 6, (7, 9))
    assert choose(WantedPorts(), before, brokers=1, free=numbered) == before
    assert choose(WantedPorts(kafka=20), before, brokers=1, free=numbered) == Ports(5, 6, (20, 21))


def test_any_free_ports_are_those_it_had_while_they_are_free(taken: int) -> None:
    [api, *kafka] = free_ports(3)
    before = Ports(api, taken, tuple(kafka))
    assert choose(ANY, before, brokers=1, free=numbered) == Ports(api, 2, tuple(kafka))
    assert choose(ANY, None, brokers=3, free=numbered) == Ports(1, 2, (3, 4, 5, 6, 7, 8))


def test_ports_of_another_number_of_brokers_do_not_count() -> None:
    assert choose(WantedPorts(), Ports(5, 6, (7, 8)), brokers=3, free=numbered).kafka == tuple(range(9092, 9098))


def test_a_port_behind_the_last_one_is_refused_with_its_option() -> None:
    with pytest.raises(PortInUse, match="--kafka-port 65535: 2 ports from it on are needed"):
        choose(WantedPorts(kafka=65_535), None, brokers=1)


def test_every_port_that_is_taken_is_named_with_who_has_it_and_its_option(taken: int) -> None:
    [free] = free_ports(1)
    with pytest.raises(PortInUse) as caught:
        check(Ports(taken, free, (free, taken)))
    said = str(caught.value)
    assert f"port {taken} on 127.0.0.1, needed for the API, is in use by " in said
    assert f"(pid {os.getpid()})" in said
    assert f"port {free} is wanted twice, for Kafka (kafka-1) and for PostgreSQL" in said
    assert re.findall(r"--[a-z-]+", said) == ["--api-port", "--kafka-port", "--postgres-port", "--free-ports"]


def test_ports_of_what_is_given_are_not_looked_at(taken: int) -> None:
    check(Ports(taken, taken, (taken, taken)), api=False, postgres=False, kafka=False)
