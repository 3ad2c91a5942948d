"""Chooses the ports of a local stack: those requested, else those of the last start, else the defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pulp_events.defaults import API_PORT

from pulp_deploy.defaults import KAFKA_PORT, POSTGRES_PORT
from pulp_deploy.errors import PortInUse
from pulp_deploy.local.ports import HOST, free_ports, is_free, listener

_LAST_PORT: Final = 65_535


class Ports(NamedTuple):
    """The ports of one stack."""

    api: int
    postgres: int
    kafka: tuple[int, ...]
    """Two for each broker: its own and its controller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPorts:
    """Requested ports. None: the last one used, or the default. 0: the last one used if free, or any free one."""

    api: int | None = None
    kafka: int | None = None
    """The first broker's port; the others follow in steps of two, each followed by its controller's port."""
    postgres: int | None = None


def choose(
    wanted: WantedPorts, before: Ports | None, *, brokers: int, free: Callable[[int], list[int]] = free_ports
) -> Ports:
    """The ports to use; `free` returns the given number of free ports. Raises `PortInUse` if none are left."""
    count = 2 * brokers
    if before is not None and len(before.kafka) != count:
        before = None
    spare = free(2 + count)
    return Ports(
        _one(wanted.api, API_PORT, None if before is None else before.api, spare[0]),
        _one(wanted.postgres, POSTGRES_PORT, None if before is None else before.postgres, spare[1]),
        _kafka(wanted.kafka, None if before is None else before.kafka, spare[2:]),
    )


def check(ports: Ports, *, api: bool = True, postgres: bool = True, kafka: bool = True) -> None:
    """Raise one `PortInUse` that names every needed port in use, its user, and the option that changes it."""
    needed = [
        *([(ports.api, "the API", "--api-port")] if api else []),
        *([(port, _purpose(number), "--kafka-port") for number, port in enumerate(ports.kafka)] if kafka else []),
        *([(ports.postgres, "PostgreSQL", "--postgres-port")] if postgres else []),
    ]
    seen: dict[int, str] = {}
    taken: list[str] = []
    options: list[str] = []
    for port, purpose, option in needed:
        if port in seen:
            taken.append(f"port {port} is wanted twice, for {seen[port]} and for {purpose}")
        elif not is_free(port):
            taken.append(f"port {port} on {HOST}, needed for {purpose}, is in use by {listener(port)}")
        else:
            seen[port] = purpose
            continue
        options.append(option)
    if taken:
        one_or_more = " and ".join(dict.fromkeys(options))
        raise PortInUse(
            "; ".join(taken) + f": stop what uses it, choose another port with {one_or_more}, or let all be chosen"
            " among the free ones with --free-ports"
        )


def _one(wanted: int | None, usual: int, before: int | None, spare: int) -> int:
    if wanted is None:
        return before or usual
    if wanted == 0:
        return before if before is not None and is_free(before) else spare
    return wanted


def _kafka(wanted: int | None, before: tuple[int, ...] | None, spare: list[int]) -> tuple[int, ...]:
    if wanted == 0:
        return before if before is not None and all(is_free(port) for port in before) else tuple(spare)
    if wanted is None and before is not None:
        return before
    first = wanted or KAFKA_PORT
    if first + len(spare) - 1 > _LAST_PORT:
        raise PortInUse(
            f"--kafka-port {first}: {len(spare)} ports from it on are needed, and there are none above {_LAST_PORT}"
        )
    return tuple(range(first, first + len(spare)))


def _purpose(number: int) -> str:
    node = f"Kafka (kafka-{number // 2 + 1})"
    return f"the controller of {node}" if number % 2 else node
