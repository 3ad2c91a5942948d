"""A broker with TLS, every kind of login, and ACLs that must allow every access."""

import json
import shutil
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pulp_deploy.local.jars import class_path
from pulp_deploy.local.kafka import Kafka as LocalKafka
from pulp_deploy.local.kafka import Node
from pulp_deploy.local.kafka_access import Access
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.local.warm_start import warm
from pulp_events import admin
from pulp_events.kafka import Kafka
from pulp_events.security import Security, read
from pulp_events.tokens import Secret

from tests.support.certificates import Authority

ADMIN: Final = "admin"
PASSWORD: Final = "a-password-of-the-tests"
"""The password of every user."""
READY_S: Final = 60
_MODULES: Final = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecuredKafka:
    """The broker, and settings to connect to it. `ADMIN` may do everything."""

    authority: Authority
    folder: Path
    port: int
    mutual_port: int
    """The port for clients with a certificate; its common name is the user's name."""

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @cached_property
    def another_authority(self) -> Path:
        """The certificate of an authority that signed nothing here."""
        return Authority(self.folder, "another").certificate

    # How supervisor and brokers connect (`pulp_deploy.local.kafka_access.Access`).

    @property
    def operator(self) -> Security:
        return read(self.settings(ADMIN))

    def properties(self, clients: str, controller: str) -> Iterable[str]:
        users = f'user_{ADMIN}="{PASSWORD}" user_plain="{PASSWORD}"'
        plain = f'{_MODULES}.plain.PlainLoginModule required username="{ADMIN}" password="{PASSWORD}" {users};'
        oauth = f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{ADMIN}";'
        certificate, key = self.authority.sign("broker")
        both = self.folder / "broker-both.pem"
        both.write_text(certificate.read_text() + key.read_text())
        yield f"listeners=CLIENTS://{clients},MUTUAL://{HOST}:{self.mutual_port},CONTROLLER://{controller}"
        yield "listener.security.protocol.map=CLIENTS:SASL_SSL,MUTUAL:SSL,CONTROLLER:SASL_PLAINTEXT"
        yield "inter.broker.listener.name=CLIENTS"
        yield "sasl.mechanism.inter.broker.protocol=PLAIN"
        yield "sasl.mechanism.controller.protocol=PLAIN"
        yield "listener.name.clients.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
        yield "listener.name.controller.sasl.enabled.mechanisms=PLAIN"
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            module = f"{_MODULES}.scram.ScramLoginModule required;"
            yield f"listener.name.clients.{mechanism}.sasl.jaas.config={module}"
        yield f"listener.name.clients.oauthbearer.sasl.jaas.config={oauth}"
        yield f"listener.name.clients.plain.sasl.jaas.config={plain}"
        yield f"listener.name.controller.plain.sasl.jaas.config={plain}"
        yield "listener.name.mutual.ssl.client.auth=required"
        yield "ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/"
        yield "ssl.keystore.type=PEM"
        yield f"ssl.keystore.location={both}"
        yield "ssl.truststore.type=PEM"
        yield f"ssl.truststore.location={self.authority.certificate}"
        yield "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        yield "allow.everyone.if.no.acl.found=false"
        yield f"super.users=User:{ADMIN}"

    def settings(self, user: str, mechanism: str | None = None, **changed: str) -> dict[str, str]:
        """The environment of a client with a name and a password; without a mechanism by SCRAM (the admin by PLAIN)."""
        return {
            "PULP_KAFKA": self.bootstrap,
            "PULP_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PULP_KAFKA_CA": str(self.authority.certificate),
            "PULP_KAFKA_SASL_MECHANISM": mechanism or ("PLAIN" if user == ADMIN else "SCRAM-SHA-512"),
            "PULP_KAFKA_USERNAME": user,
            "PULP_KAFKA_PASSWORD": PASSWORD,
            **changed,
        }

    def mutual_settings(self, user: str) -> dict[str, str]:
        """The environment of a client with a certificate."""
        certificate, key = self.authority.sign(user)
        return {
            "PULP_KAFKA": f"{HOST}:{self.mutual_port}",
            "PULP_KAFKA_SECURITY_PROTOCOL": "SSL",
            "PULP_KAFKA_CA": str(self.authority.certificate),
            "PULP_KAFKA_CERTIFICATE": str(certificate),
            "PULP_KAFKA_KEY": str(key),
        }

    def token_settings(self, user: str, lifetime_s: float = 3600) -> dict[str, str]:
        """The environment of a client with a token in a file, which nobody has signed."""
        file = self.folder / f"{user}.token"
        now_s = time.time()
        file.write_text(unsigned_token(sub=user, iat=now_s, exp=now_s + lifetime_s))
        return {
            "PULP_KAFKA": self.bootstrap,
            "PULP_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PULP_KAFKA_CA": str(self.authority.certificate),
            "PULP_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "PULP_KAFKA_OAUTH_TOKEN_FILE": str(file),
        }

    def client(self, user: str) -> Kafka:
        """As a user with a password."""
        return Kafka(self.bootstrap, read(self.settings(user)))

    def add_users(self, *names: str) -> None:
        """Create users with a password, for both kinds of SCRAM; returns when they can log in."""
        connection = admin.connect(Kafka(self.bootstrap, self.operator))
        password = Secret("password", value=PASSWORD).read().encode()
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            wanted: list[Any] = [UserScramCredentialUpsertion(name, info, password) for name in names]
            for future in connection.client.alter_user_scram_credentials(wanted).values():
                connection.wait(future, 15)


def unsigned_token(**claims: Any) -> str:
    """A JSON web token that Kafka's unsecured validator accepts."""
    parts = ({"alg": "none"}, claims)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@contextmanager
def secured_kafka() -> Iterator[SecuredKafka]:
    """The broker while it runs, on a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="pulp-secured-"))
    try:
        port, mutual_port, controller_port = free_ports(3)
        secured = SecuredKafka(Authority(folder), folder, port, mutual_port)
        with running_broker(
            Node(number=1, port=port, controller_port=controller_port, folder=folder / "kafka"), secured
        ):
            yield secured
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_broker(node: Node, access: Access) -> Iterator[None]:
    """A running broker with this access; its log is next to its folder."""
    kafka = warm(
        LocalKafka(cluster_id="secured-kafka-of-tests", nodes=(node,), class_path=class_path(), access=access), print
    )
    kafka.prepare(node)
    command = kafka.command(node, node.folder.parent)
    with command.log.open("wb") as log:
        process = subprocess.Popen(
            command.arguments, cwd=command.folder, env=dict(command.environment), stdout=log, stderr=log
        )
    try:
        ends = time.monotonic() + READY_S
        while not kafka.is_ready():
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"the secured broker did not start:\n{command.log.read_text()[-4000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)
