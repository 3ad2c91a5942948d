"""All faults, by name."""

from typing import Final

from tests.faults import (
    faults_attacks,
    faults_dispatcher,
    faults_kafka,
    faults_network,
    faults_postgres,
    faults_processes,
)
from tests.faults.stage import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    *faults_processes.FAULTS,
    *faults_dispatcher.FAULTS,
    *faults_kafka.FAULTS,
    *faults_postgres.FAULTS,
    *faults_network.FAULTS,
    *faults_attacks.FAULTS,
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
