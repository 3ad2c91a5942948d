"""The keys of subjects in Postgres: creating, finding and destroying them.

Each call queries Postgres, without a cache, so no process uses a key after its destruction.
"""

import asyncio
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Self
from uuid import UUID, uuid4

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection
from pulp_events.audit import AuditRecord
from pulp_events.ids import new_id

from pulp_projections.personal.cipher import Undecipherable, new_key, opened, seal
from pulp_projections.personal.envelope import Opened, found_in, with_values
from pulp_projections.personal.master import KeysUnusable, MasterKeys
from pulp_projections.personal.naming import forms_of, possible_names
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.personal", "subjects.sql")
_INDEX: Final = b"index"
_TRIES: Final = 5


class Subject(NamedTuple):
    """The metadata of a subject's key, without the subject's name."""

    key_id: UUID
    created_at: datetime
    erased_at: datetime | None
    erased_by: str | None
    reason: str | None
    event_id: UUID | None
    """The id of the erasure in the audit."""
    is_told: bool
    """Whether the audit has recorded it."""
    tasks: int | None
    """How many tasks held data of the subject, when it was erased or now; None if that was not counted."""
    unfinished: int | None
    """The number of them that had not ended."""
    unfinished_now: int
    address: str | None
    method: str | None
    correlation_id: str | None


class Erasure(NamedTuple):
    """The actor and the reason of an erasure."""

    by: str
    reason: str
    address: str | None = None
    method: str | None = None
    correlation_id: str | None = None


class Destroyed(NamedTuple):
    """An erasure, as the audit has it."""

    key_id: UUID
    erased_at: datetime
    by: str
    reason: str
    event_id: UUID

    @classmethod
    def of(cls, record: AuditRecord) -> Self | None:
        """The erasure in an audit record; None if the record names no key."""
        try:
            key_id = UUID(record.target or "")
        except ValueError:
            return None
        return cls(key_id, record.time, record.actor, record.detail, record.id)


class KeysInDisorder(KeysUnusable):
    """The keys in the database cannot be used with the master keys of this process."""


class SubjectKeys:
    """The keys. Raises `KeysUnusable` if the master keys do not match the database."""

    def __init__(self, master: MasterKeys) -> None:
        self._master = master

    async def sealed(
        self, connection: AsyncConnection, values: Mapping[str, tuple[str, bytes]], arguments: bytes, holder: UUID
    ) -> Raw:
        """The arguments of a task or a schedule with envelopes in place of values.

        `values` has the subject's name and the JSON text of the value for each argument. Creates missing keys.
        """
        keys: dict[str, tuple[UUID, bytes]] = {}
        for subject in sorted({subject for subject, _ in values.values()}):
            keys[subject] = await self._of(connection, subject)
            await connection.execute(_SQL["use"], {"key_id": keys[subject][0], "holder_id": holder})
        found = {name: seal(*keys[subject], text, holder, name) for name, (subject, text) in values.items()}
        return with_values(arguments, {name: msgspec.json.encode(envelope) for name, envelope in found.items()})

    async def opened(self, connection: AsyncConnection, all_arguments: Mapping[UUID, bytes]) -> dict[UUID, Opened]:
        """The arguments by their holder, as readers may see them; only for holders of personal data."""
        found = {holder: list(found_in(text)) for holder, text in all_arguments.items()}
        found = {holder: envelopes for holder, envelopes in found.items() if envelopes}
        wanted = {envelope.key for each in found.values() for _, envelope in each if envelope is not None}
        keys = await self._keys(connection, wanted) if wanted else {}
        return {holder: opened(all_arguments[holder], holder, keys) for holder in found}

    async def find(self, connection: AsyncConnection, name: str) -> list[Subject]:
        """The subject of this name: the key that is in use, if any, and those that were destroyed; newest first.

        Names that differ only in the form of Unicode look the same to everybody, and each has a key: all are found, so
        that no erasure leaves one behind.
        """
        index = await self._index(connection)
        if index is None:
            return []
        return await _subjects(connection, name_hashes=[_hash(index[0], form) for form in forms_of(name)])

    async def is_named_in(self, connection: AsyncConnection, key_id: UUID, text: str) -> bool:
        """Whether a text names the subject of a key; see `possible_names` for what is tried."""
        index = await self._index(connection)
        row = await (await connection.execute(_SQL["name_hash"], {"key_id": key_id})).fetchone()
        if index is None or row is None:
            return False
        return await asyncio.to_thread(_names, index[0], text, row[0])

    async def rewrap(self, connection: AsyncConnection) -> tuple[int, str | None]:
        """Wrap all keys with the newest master key, which then also wraps new keys; returns how many, and the master
        key's id.

        All keys are wrapped again, or none, in one transaction.
        """
        newest = self._master.newest
        async with connection.transaction():
            row = await (await connection.execute(_SQL["lock_index"])).fetchone()
            if row is not None:
                await connection.execute(_SQL["rewrap_index"], self._rewrapped(row[0], _INDEX, row[1], newest))
            rows = await (await connection.execute(_SQL["all_keys"])).fetchall()
            for key_id, stored, master in rows:
                values = self._rewrapped(stored, key_id.bytes, master, newest)
                await connection.execute(_SQL["rewrap"], {"key_id": key_id, **values})
        return len(rows), newest

    def _rewrapped(self, stored: bytes, owner: bytes, master: str | None, newest: str | None) -> dict[str, object]:
        return {"key": self._master.wrap(self._unwrap(stored, owner, master), owner, newest), "master": newest}

    async def _of(self, connection: AsyncConnection, name: str) -> tuple[UUID, bytes]:
        """The id and the key of a subject, which is created if it has none."""
        for _ in range(_TRIES):
            index = await self._index(connection) or await self._make_index(connection)
            hashed = {"name_hash": _hash(index[0], name)}
            row = await (await connection.execute(_SQL["living"], hashed)).fetchone()
            if row is not None:
                return row[0], self._unwrap(row[1], row[0].bytes, row[2])
            key_id = uuid4()
            wrapped = self._master.wrap(new_key(), key_id.bytes, index[1])
            await connection.execute(_SQL["make"], {**hashed, "key_id": key_id, "key": wrapped, "master": index[1]})
        raise KeysInDisorder("the key of a subject was made and destroyed several times meanwhile: try again")

    async def _index(self, connection: AsyncConnection) -> tuple[bytes, str | None] | None:
        row = await (await connection.execute(_SQL["index"])).fetchone()
        return None if row is None else (self._unwrap(row[0], _INDEX, row[1]), row[1])

    async def _make_index(self, connection: AsyncConnection) -> tuple[bytes, str | None]:
        master = self._master.newest
        wrapped = self._master.wrap(new_key(), _INDEX, master)
        await connection.execute(_SQL["make_index"], {"key": wrapped, "master": master})
        found = await self._index(connection)  # another process may have been first
        if found is None:
            raise KeysInDisorder("subject_index was emptied by somebody else: try again")
        return found

    async def _keys(self, connection: AsyncConnection, key_ids: Collection[UUID]) -> dict[UUID, bytes | None]:
        rows = await (await connection.execute(_SQL["keys"], {"key_ids": list(key_ids)})).fetchall()
        return {
            key_id: None if stored is None else self._unwrap(stored, key_id.bytes, master)
            for key_id, stored, master in rows
        }

    def _unwrap(self, stored: bytes, owner: bytes, master: str | None) -> bytes:
        try:
            return self._master.unwrap(stored, owner, master)
        except Undecipherable as error:
            raise KeysInDisorder(
                "a key of personal data in the database was changed, or belongs to another row: restore the tables"
                " subjects and subject_index from a backup"
            ) from error


async def list_subjects(
    connection: AsyncConnection, *, is_erased: bool | None = None, limit: int, offset: int = 0
) -> tuple[list[Subject], int]:
    """A page of the subjects, newest first, and how many there are in all."""
    found = await _subjects(connection, is_erased=is_erased, limit=limit, offset=offset)
    [(total,)] = await (await connection.execute(_SQL["count"], {"erased": is_erased})).fetchall()
    return found, total


async def read_subject(connection: AsyncConnection, key_id: UUID) -> Subject | None:
    """The subject with this key."""
    return next(iter(await _subjects(connection, key_id=key_id)), None)


async def erase(connection: AsyncConnection, key_id: UUID, erasure: Erasure) -> Subject | None:
    """Destroy a subject's key; None if no key has this id. An erased one stays as it is.

    The same transaction stores the pending audit record: see `next_to_tell`.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock"], {"key_id": key_id})
        found = await read_subject(connection, key_id)
        if found is None or found.erased_at is not None:
            return found
        values = {"tasks": found.tasks, "unfinished": found.unfinished, "event_id": new_id()}
        await connection.execute(_SQL["erase"], {"key_id": key_id, **erasure._asdict(), **values})
        return await read_subject(connection, key_id)


async def next_to_tell(connection: AsyncConnection) -> Subject | None:
    """An erasure that the audit does not have. Call it in a transaction: no other process gets it until its end."""
    row = await (await connection.execute(_SQL["to_tell"])).fetchone()
    return None if row is None else await read_subject(connection, row[0])


async def told(connection: AsyncConnection, key_id: UUID) -> None:
    """Note that the audit has the erasure."""
    await connection.execute(_SQL["told"], {"key_id": key_id})


async def destroy_again(connection: AsyncConnection, erasures: Iterable[Destroyed]) -> list[UUID]:
    """Destroy the keys that the audit says were destroyed, in one transaction; returns those that had come back."""
    async with connection.transaction():
        return [
            each.key_id
            for each in erasures
            if (await connection.execute(_SQL["destroy_again"], each._asdict())).rowcount > 0
        ]


async def _subjects(
    connection: AsyncConnection,
    *,
    key_id: UUID | None = None,
    name_hashes: Sequence[bytes] | None = None,
    is_erased: bool | None = None,
    limit: int = 1000,
    offset: int = 0,
) -> list[Subject]:
    values = {"key_id": key_id, "name_hashes": name_hashes, "erased": is_erased, "limit": limit, "offset": offset}
    rows: Sequence[tuple[object, ...]] = await (await connection.execute(_SQL["subjects"], values)).fetchall()
    return [Subject._make(row) for row in rows]


def _names(index: bytes, text: str, name_hash: bytes) -> bool:
    return any(_hash(index, name) == name_hash for name in possible_names(text))


def _hash(index: bytes, name: str) -> bytes:
    return hmac.digest(index, name.encode(errors="surrogatepass"), "sha256")
