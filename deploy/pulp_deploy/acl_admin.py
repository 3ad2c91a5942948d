"""Lists, adds and removes ACLs in Kafka."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from pulp_events.admin import Connection
from pulp_events.errors import LogUnavailable
from pulp_events.settings import SettingsError

from pulp_deploy.acls import Acl

_TIMEOUT_S: Final = 15.0


def present(connection: Connection, resources: Collection[tuple[str, str]]) -> list[Acl]:
    """Every rule that allows access to these resources (kind and name), including wildcard and prefix rules.

    Raises `LogRefused` for a login that may not read ACLs, `SettingsError` for brokers without an authorizer.
    """
    found: dict[Acl, None] = {}
    anybody: Any = None  # a filter may leave these out, which the client's types do not know
    for kind, name in resources:
        wanted = AclBindingFilter(
            _type_of(kind),
            name,
            ResourcePatternType.MATCH,
            anybody,
            anybody,
            AclOperation.ANY,
            AclPermissionType.ALLOW,
        )
        future = connection.client.describe_acls(wanted, request_timeout=_TIMEOUT_S)
        try:
            bindings = connection.wait(future, _TIMEOUT_S + 1)
        except (KafkaException, TimeoutError) as error:
            raise _failed(connection, "tell", error) from error
        found |= dict.fromkeys(map(_acl, bindings))
    return list(found)


def add(connection: Connection, acls: Iterable[Acl]) -> None:
    """Add the rules; the same errors."""
    bindings = [_binding(acl) for acl in acls]
    if not bindings:
        return
    for future in connection.client.create_acls(bindings, request_timeout=_TIMEOUT_S).values():
        try:
            connection.wait(future, _TIMEOUT_S + 1)
        except (KafkaException, TimeoutError) as error:
            raise _failed(connection, "take", error) from error


def remove(connection: Connection, acl: Acl) -> None:
    """Remove a rule; the same errors."""
    binding = _binding(acl)
    wanted = AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )
    for future in connection.client.delete_acls([wanted], request_timeout=_TIMEOUT_S).values():
        try:
            connection.wait(future, _TIMEOUT_S + 1)
        except (KafkaException, TimeoutError) as error:
            raise _failed(connection, "remove", error) from error


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        _type_of(acl.resource),
        acl.name,
        ResourcePatternType[acl.pattern.upper()],
        acl.principal,
        "*",
        _OPERATIONS[acl.operation],
        AclPermissionType.ALLOW,
    )


def _acl(binding: AclBinding) -> Acl:
    operation = AclOperation(binding.operation)
    return Acl(
        str(binding.principal),
        ResourceType(binding.restype).name.lower().replace("_", "-"),
        binding.name,
        _NAMES[operation],
        ResourcePatternType(binding.resource_pattern_type).name.lower(),
    )


def _type_of(kind: str) -> ResourceType:
    return ResourceType[kind.upper().replace("-", "_")]


def _failed(connection: Connection, verb: str, error: Exception) -> Exception:
    if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.SECURITY_DISABLED:
        return SettingsError(
            f"Kafka at {connection.kafka} has no authorizer: set authorizer.class.name in the brokers' settings, such"
            " as org.apache.kafka.metadata.authorizer.StandardAuthorizer; until then everybody may do everything"
        )
    said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    return LogUnavailable(f"Kafka at {connection.kafka} does not {verb} ACLs: {said}")


_OPERATIONS: Final[Mapping[str, AclOperation]] = {
    "".join(word.title() for word in operation.name.split("_")): operation for operation in AclOperation
}
_NAMES: Final[Mapping[AclOperation, str]] = {operation: name for name, operation in _OPERATIONS.items()}
