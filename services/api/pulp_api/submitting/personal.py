"""Personal arguments: encrypted before anything is written, and shown to those who may read the task."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from pulp_events.errors import BadInput
from pulp_projections.personal import cipher
from pulp_projections.personal.envelope import PERSONAL, Opened, Sight, is_reserved, may_hold, personal_in
from pulp_projections.personal.keys import SubjectKeys
from pulp_projections.personal.master import KeysUnusable, MasterKeys
from pulp_projections.reading.queries import OperationRow, TaskRow

from pulp_api.logins.auth import Connect

_log = logging.getLogger("pulp.api")
_raw_by_name: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_MOST_NAME: Final = 1000


class PersonalArguments:
    """Encrypts and decrypts the personal arguments of tasks and schedules."""

    def __init__(self, connect: Connect, master: MasterKeys | None = None) -> None:
        """Without master keys, the keys of subjects are stored as they are."""
        self._connect = connect
        self._keys = SubjectKeys(master or MasterKeys())

    async def sealed(self, operation: OperationRow, arguments: Raw, holder: UUID) -> Raw:
        """The arguments of a task or schedule, with envelopes in place of what its operation declares as personal.

        Raises `BadInput` where the subject is not named, `KeysUnusable`.
        """
        values = personal_values(operation, arguments)
        if not values:
            return arguments
        async with self._connect() as connection:
            return await self._keys.sealed(connection, values, bytes(arguments), holder)

    async def opened(self, arguments: Mapping[UUID, Raw]) -> dict[UUID, Opened]:
        """The arguments by task or schedule, as readers may see them; only of those that hold personal data.

        A key that cannot be had is logged, and its values are unreadable: a list is never refused for one.
        """
        sealed = {holder: content for holder, text in arguments.items() if may_hold(content := bytes(text))}
        if not sealed:
            return {}
        async with self._connect() as connection:
            try:
                return await self._keys.opened(connection, sealed)
            except KeysUnusable as error:
                _log.error("personal arguments cannot be read", extra={"error": error})
        found = {holder: cipher.opened(text, holder, {}) for holder, text in sealed.items()}
        return {holder: each for holder, each in found.items() if each.personal}

    async def known(self, holder: UUID, arguments: Raw, replaced: Mapping[str, Any] | None = None) -> Raw:
        """The arguments of a task or schedule with all their values, to submit them again.

        Raises `BadInput` for those that are not known any more and not replaced, `KeysUnusable`.
        """
        if not may_hold(bytes(arguments)):
            return arguments
        async with self._connect() as connection:
            found = (await self._keys.opened(connection, {holder: bytes(arguments)})).get(holder)
        if found is None:
            return arguments
        need_shown(found.personal, replaced or {})
        return found.arguments

    async def shown(self, tasks: Sequence[TaskRow]) -> dict[UUID, Opened]:
        """The same of tasks."""
        return await self.opened({task.task_id: task.arguments for task in tasks})

    async def task(self, task: TaskRow) -> tuple[TaskRow, Mapping[str, Sight]]:
        """The task with its arguments decrypted, and the state of the personal ones."""
        found = (await self.shown([task])).get(task.task_id)
        return (task, {}) if found is None else (replace(task, arguments=found.arguments), found.personal)


def personal_values(operation: OperationRow, arguments: Raw) -> dict[str, tuple[str, bytes]]:
    """The subject's name, and the JSON text, of each personal argument that has a value. Pure.

    Raises `BadInput` where the subject is not named.
    """
    if operation.arguments is None or PERSONAL not in operation.arguments:
        return {}
    declared = personal_in(msgspec.json.decode(operation.arguments))
    given = _raw_by_name(arguments)
    return {
        name: (_subject(operation.name, name, by, given), bytes(given[name]))
        for name, by in declared.items()
        if name in given and bytes(given[name]) != b"null"
    }


def refuse_reserved(arguments: Mapping[str, Any]) -> None:
    """Raises `BadInput` for an argument that looks like an encrypted one."""
    for name, value in arguments.items():
        if is_reserved(value):
            raise BadInput(
                f"the argument {name!r} is an object with the key 'pulp_personal', by which encrypted arguments are"
                " known in the log: use another key"
            )


def need_shown(personal: Mapping[str, Sight], replaced: Mapping[str, Any]) -> None:
    """Raises `BadInput` for personal arguments that are not known any more and not replaced."""
    for name, sight in personal.items():
        if sight is not Sight.SHOWN and name not in replaced:
            why = "was erased" if sight is Sight.ERASED else "cannot be read"
            raise BadInput(f"the argument {name!r} is personal data that {why}: give it another value, or null")


def _subject(operation: str, name: str, by: str, given: Mapping[str, Raw]) -> str:
    value = msgspec.json.decode(given[by]) if by in given else None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadInput(
            f"operation {operation} needs the argument {by!r}, a text or a whole number: it names the person whom"
            f" {name!r} is about"
        )
    text = str(value)
    if len(text) > _MOST_NAME:
        raise BadInput(f"operation {operation}: the argument {by!r} has {len(text)} characters, at most {_MOST_NAME}")
    return text
