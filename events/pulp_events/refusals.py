"""Reports at once what brokers refuse: librdkafka only logs it, and keeps trying."""

import time
from concurrent.futures import Future
from typing import Final, Protocol, TypeVar

from confluent_kafka import KafkaError

from pulp_events.errors import LogRefused
from pulp_events.kafka import Kafka

T = TypeVar("T")
_LOGIN: Final = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}
_RIGHT: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_TLS: Final = ("certificate", "unknown ca", "wrong version number", "handshake failure")
"""OpenSSL's words for permanent faults, unlike those of a broker that goes down."""
_ENDED: Final = "it ends every connection: does it ask for TLS or a login? See PULP_KAFKA_SECURITY_PROTOCOL"
"""The message for a broker that accepts a connection and closes it without an answer."""
_LOOK_S: Final = 0.05


class Polled(Protocol):
    """A client of librdkafka."""

    def poll(self, timeout: float) -> object:
        """Run the callbacks that are due."""
        ...


class Refusals:
    """The errors of one client so far. `note` is its `error_cb`, which runs while the client is polled."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._refused: LogRefused | None = None
        self.last = ""
        """The text of the last error."""

    def note(self, error: KafkaError) -> None:
        """Remember an error. One that says only that all brokers are down does not replace a more exact one."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.last = error.str()
        elif not self.last:
            self.last = error.str() if self._kafka.security.protocol.endswith("SSL") else _ENDED
        self._refused = refusal(self._kafka, error) or self._refused

    def check(self) -> None:
        """Raises `LogRefused` if a broker has refused this client."""
        if self._refused is not None:
            raise self._refused

    def wait(self, client: Polled, future: "Future[T]", timeout_s: float) -> T:
        """The future's result. Raises its error, `TimeoutError`, or `LogRefused` as soon as a broker refuses."""
        ends_s = time.monotonic() + timeout_s
        while True:
            try:
                return future.result(_LOOK_S)
            except TimeoutError:
                if future.done():
                    raise
            client.poll(0)
            self.check()
            if time.monotonic() >= ends_s:
                raise TimeoutError(self.last or "no answer")


def refusal(kafka: Kafka, error: KafkaError) -> LogRefused | None:
    """A refusal as an error with advice for an operator; None for any other error."""
    code, said = error.code(), error.str()
    if code in _LOGIN:
        return LogRefused(
            f"Kafka at {kafka} refuses {kafka.security.login}: {said}. Check PULP_KAFKA_SASL_MECHANISM, the name and"
            " the password or token, and that the broker knows this user"
        )
    is_of_tls = code == KafkaError._SSL or "ssl routines" in said.lower()
    if is_of_tls and any(each in said.lower() for each in _TLS):
        return LogRefused(
            f"there is no TLS connection with Kafka at {kafka}: {said}. Check PULP_KAFKA_SECURITY_PROTOCOL,"
            " PULP_KAFKA_CA (who signed the broker's certificate), PULP_KAFKA_CERTIFICATE and the name of the host"
        )
    if code in _RIGHT:
        return LogRefused(
            f"Kafka at {kafka} lacks a right for {kafka.security.login}: {said}. pulp-tasks topics acls lists what"
            " each process needs, and grants it with --apply"
        )
    return None
