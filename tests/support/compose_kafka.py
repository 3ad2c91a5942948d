"""A broker that is configured as deploy/compose.yaml configures it, on this machine."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pulp_events.security import Security, read

from tests.support.manifests import COMPOSE

_LISTENER: Final = "listener.name.sasl_plaintext.plain.sasl.jaas.config"
_OF_THE_NODE: Final = frozenset(
    {
        *("KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_NODE_ID", "KAFKA_PROCESS_ROLES", "KAFKA_LOG_DIRS"),
        *("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"),
        *(
            "KAFKA_CONTROLLER_LISTENER_NAMES",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE",
        ),
    }
)
"""Settings that differ here: addresses, folders, and those of a local node."""


@dataclass(frozen=True, slots=True)
class ComposeAccess:
    """Access as in the compose file; the passwords are in the folder of its secrets."""

    secrets: Path

    @property
    def operator(self) -> Security:
        """The broker's own user, who may do everything."""
        return read(
            {
                "PULP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "PULP_KAFKA_SASL_MECHANISM": "PLAIN",
                "PULP_KAFKA_USERNAME": "admin",
                "PULP_KAFKA_PASSWORD_FILE": str(self.secrets / "kafka-admin"),
            }
        )

    def properties(self, clients: str, controller: str) -> Iterable[str]:
        """The lines of its environment, and of its login file."""
        yield f"listeners=SASL_PLAINTEXT://{clients},CONTROLLER://{controller}"
        for key, value in COMPOSE["services"]["kafka"]["environment"].items():
            if key not in _OF_THE_NODE and "REPLICATION_FACTOR" not in key and "MIN_ISR" not in key:
                yield f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={value}"
        [login] = re.findall(r"KafkaServer \{(.*)\};", (self.secrets / "kafka-jaas").read_text(), re.DOTALL)
        yield f"{_LISTENER}={' '.join(login.split())}"
