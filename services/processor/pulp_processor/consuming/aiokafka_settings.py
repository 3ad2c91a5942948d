"""Connection settings for aiokafka's clients, and for Faust, which creates such a client."""

import asyncio
import logging
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from pulp_events.errors import LogRefused
from pulp_events.kafka import Kafka, Servers
from pulp_events.security import Security
from pulp_events.tokens import TokenSource

_REFUSALS: Final = (GroupAuthorizationFailedError, SaslAuthenticationFailed, TopicAuthorizationFailedError)
_REQUEST_TIMEOUT_MS: Final = 5_000
_log = logging.getLogger("pulp.processor")


def aiokafka_settings(servers: Servers) -> dict[str, Any]:
    """The brokers, login and TLS settings of a client. Reads secrets and certificates from their files now.

    Raises `SettingsError` for a file that can no longer be used.
    """
    kafka = Kafka.of(servers)
    security = kafka.security
    found: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "client_id": "pulp-tasks",
        "security_protocol": security.protocol,
    }
    if security.tls is not None:
        found["ssl_context"] = security.tls.context()
    if security.mechanism is not None:
        found["sasl_mechanism"] = security.mechanism
    if security.username is not None and security.password is not None:
        found |= {"sasl_plain_username": security.username, "sasl_plain_password": security.password.read()}
    if security.tokens is not None:
        found["sasl_oauth_token_provider"] = _Tokens(security.tokens)
    return found


def faust_credentials(security: Security) -> Credentials | None:
    """The same login and TLS settings for Faust; None for plaintext."""
    context = None if security.tls is None else security.tls.context()
    if security.tokens is not None:
        return OAuthCredentials(oauth_cb=_Tokens(security.tokens), ssl_context=context)
    if security.password is not None:
        return SASLCredentials(
            username=security.username,
            password=security.password.read(),
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def refusal(error: BaseException | None) -> LogRefused | None:
    """The error with advice for an operator if Kafka refused a login or a right, else None."""
    if not isinstance(error, _REFUSALS):
        return None
    return LogRefused(
        f"Kafka lacks a right for this login: {error}. pulp-tasks topics acls lists what each process needs, and grants"
        " it with --apply"
    )


async def check_group(servers: Servers, group: str) -> None:
    """Raises `LogRefused` if this login may not use the consumer group: Faust would silently wait forever."""
    client = AIOKafkaAdminClient(**aiokafka_settings(servers), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        await client.find_coordinator(group)
    except KafkaError as error:
        if (refused := refusal(error)) is not None:
            raise refused from error
        _log.info("Kafka has not named a coordinator for the group yet: %s", error, extra={"group": group})
    finally:
        await client.close()


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Provides a fresh token for each connection."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        return (await asyncio.to_thread(self._source.fetch)).value
