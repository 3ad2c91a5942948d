"""Access to a local Kafka: for anybody on this machine, or with a password from its data folder."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pulp_events.admin import Connection
from pulp_events.errors import LogUnavailable
from pulp_events.security import (
    MECHANISM,
    PASSWORD_FILE,
    PLAINTEXT,
    PROTOCOL,
    USERNAME,
    Security,
)
from pulp_events.tokens import Secret

from pulp_deploy.files import make_folder, read_private, write_private

USER: Final = "pulp"
_BROKER: Final = "broker"
_SCRAM: Final = "SCRAM-SHA-512"
_ITERATIONS: Final = 4096
_MODULES: Final = "org.apache.kafka.common.security"


class Access(Protocol):
    """Who may connect to the brokers."""

    @property
    def operator(self) -> Security:
        """How the supervisor connects."""
        ...

    def properties(self, clients: str, controller: str) -> Iterable[str]:
        """Lines of a broker's properties, for its two addresses."""
        ...


class Anybody:
    """No login: for tests and benchmarks."""

    operator: Final = PLAINTEXT

    def properties(self, clients: str, controller: str) -> Iterable[str]:
        """See `Access`."""
        yield f"listeners=PLAINTEXT://{clients},CONTROLLER://{controller}"
        yield "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        yield "inter.broker.listener.name=PLAINTEXT"


@dataclass(frozen=True, slots=True)
class Login:
    """One user for all clients, by SCRAM, and one for the brokers among themselves, by PLAIN.

    PLAIN needs nothing in Kafka's own metadata, so a cluster created without logins can get one: its brokers start,
    and then learn the clients' user. No password is ever on a command line.
    """

    folder: Path
    broker_password: str

    @classmethod
    def of(cls, folder: Path) -> "Login":
        """The login whose passwords are in the folder; missing ones are created."""
        make_folder(folder)
        for name in ("password", "broker-password"):
            if not (folder / name).exists():
                write_private(folder / name, secrets.token_urlsafe(32) + "\n")
        login = cls(folder, read_private(folder / "broker-password").decode().strip())
        write_private(login.client_file, login._client_properties())
        return login

    @property
    def password_file(self) -> Path:
        """The file with the password of the clients' user."""
        return self.folder / "password"

    @property
    def client_file(self) -> Path:
        """For Kafka's own tools (`--command-config`)."""
        return self.folder / "client.properties"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a client."""
        return {
            PROTOCOL: "SASL_PLAINTEXT",
            MECHANISM: _SCRAM,
            USERNAME: USER,
            PASSWORD_FILE: str(self.password_file),
        }

    @property
    def operator(self) -> Security:
        """See `Access`: as a broker, whose user always exists."""
        password = Secret("broker-password", value=self.broker_password)
        return Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username=_BROKER, password=password)

    @property
    def client(self) -> Security:
        """How clients connect."""
        password = Secret(PASSWORD_FILE, path=self.password_file)
        return Security(protocol="SASL_PLAINTEXT", mechanism=_SCRAM, username=USER, password=password)

    def properties(self, clients: str, controller: str) -> Iterable[str]:
        """See `Access`."""
        plain = (
            f"{_MODULES}.plain.PlainLoginModule required"
            f' username="{_BROKER}" password="{self.broker_password}" user_{_BROKER}="{self.broker_password}";'
        )
        yield f"listeners=CLIENTS://{clients},CONTROLLER://{controller}"
        yield "listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
        yield "inter.broker.listener.name=CLIENTS"
        yield "sasl.mechanism.inter.broker.protocol=PLAIN"
        yield "sasl.mechanism.controller.protocol=PLAIN"
        yield f"listener.name.clients.sasl.enabled.mechanisms={_SCRAM},PLAIN"
        yield "listener.name.controller.sasl.enabled.mechanisms=PLAIN"
        yield f"listener.name.clients.{_SCRAM.lower()}.sasl.jaas.config={_MODULES}.scram.ScramLoginModule required;"
        yield f"listener.name.clients.plain.sasl.jaas.config={plain}"
        yield f"listener.name.controller.plain.sasl.jaas.config={plain}"

    def give(self, connection: Connection, timeout_s: float) -> None:
        """Register the clients' user with the cluster, at every start, since a lost password file is replaced.

        `connection` is the operator's. Raises `LogUnavailable`.
        """
        password = Secret(PASSWORD_FILE, path=self.password_file).read()
        wanted = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS), password.encode()
        )
        futures = connection.client.alter_user_scram_credentials([wanted], request_timeout=timeout_s)
        try:
            connection.wait(futures[USER], timeout_s)
        except (KafkaException, TimeoutError) as error:
            raise LogUnavailable(f"Kafka did not take its login: {error}") from error

    def _client_properties(self) -> str:
        password = Secret(PASSWORD_FILE, path=self.password_file).read()
        jaas = f'{_MODULES}.scram.ScramLoginModule required username="{USER}" password="{password}";'
        lines = ("security.protocol=SASL_PLAINTEXT", f"sasl.mechanism={_SCRAM}", f"sasl.jaas.config={jaas}")
        return "\n".join(lines) + "\n"
