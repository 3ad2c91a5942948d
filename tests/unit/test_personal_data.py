"""Personal arguments: the envelope and its cipher, master keys, and what an operation may declare."""

import base64
import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct
from pulp_admin.redacting import without_personal
from pulp_api.submitting.personal import need_shown, personal_values, refuse_reserved
from pulp_events.errors import BadInput, SettingsError
from pulp_projections.personal.cipher import Undecipherable, decrypt, encrypt, opened, seal
from pulp_projections.personal.envelope import Sight, found_in, personal_in, with_values
from pulp_projections.personal.master import MasterKeyMissing, MasterKeys, add_master_key, id_of
from pulp_projections.reading.queries import OperationRow
from pulp_worker import Context, Resource, operation
from pulp_worker.arguments import REMEMBERED, personal, schema_of

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
KEY_ID = UUID("0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de")
TASK, OTHER_TASK = UUID(int=1), UUID(int=2)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def sealed(value: object = "jo@example.org", task: UUID = TASK, name: str = "email", key: bytes = KEY) -> bytes:
    """Arguments with an envelope, and one that is plain."""
    envelope = seal(KEY_ID, key, msgspec.json.encode(value), task, name)
    return bytes(with_values(b'{"user": "jo", "email": null}', {name: msgspec.json.encode(envelope)}))


def shown(arguments: bytes, task: UUID = TASK, keys: dict[UUID, bytes | None] | None = None) -> tuple[Any, Any]:
    found = opened(arguments, task, {KEY_ID: KEY} if keys is None else keys)
    return json.loads(bytes(found.arguments)), dict(found.personal)


@given(values, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_value_comes_back_as_it_was(value: object, name: str) -> None:
    arguments = bytes(
        with_values(b"{}", {name: msgspec.json.encode(seal(KEY_ID, KEY, json.dumps(value).encode(), TASK, name))})
    )
    assert shown(arguments) == ({name: value}, {name: "shown"})


def test_the_envelope_is_what_the_page_says() -> None:
    """Decrypted here with the library alone, as docs/operate/personal-data.md describes."""
    envelope = json.loads(sealed())["email"]
    assert envelope.keys() == {"pulp_personal", "key", "nonce", "data"}
    assert (envelope["pulp_personal"], envelope["key"]) == (1, str(KEY_ID))
    context = b"personal-argument/1\0" + TASK.bytes + b"email"
    nonce, data = (base64.b64decode(envelope[name], validate=True) for name in ("nonce", "data"))
    assert len(nonce) == 12
    assert AESGCM(KEY).decrypt(nonce, data, context) == b'"jo@example.org"'.ljust(32)


def test_two_envelopes_of_the_same_value_have_nothing_in_common_but_the_key() -> None:
    one, other = (json.loads(sealed())["email"] for _ in range(2))
    assert one["nonce"] != other["nonce"]
    assert one["data"] != other["data"]


@given(st.integers(min_value=0))
def test_no_bit_can_be_changed(number: int) -> None:
    """No bit of the ciphertext, its tag, nonce or key id, nor of their base64."""
    envelope = msgspec.json.encode(seal(KEY_ID, KEY, b'"jo@example.org"', TASK, "email"))
    place, bit = divmod(number % (len(envelope) * 8), 8)
    changed = bytearray(envelope)
    changed[place] ^= 1 << bit
    try:
        arguments = bytes(with_values(b"{}", {"email": bytes(changed)}))
        value, sights = shown(arguments)
    except (msgspec.DecodeError, json.JSONDecodeError, UnicodeDecodeError):
        return  # not JSON any more: no event can hold it
    assert "jo@example.org" not in str(value)
    assert sights in ({}, {"email": Sight.UNREADABLE})


def test_an_envelope_counts_in_its_place_alone() -> None:
    arguments = sealed()
    unreadable = ({"user": "jo", "email": "(unreadable)"}, {"email": "unreadable"})
    assert shown(arguments, OTHER_TASK) == unreadable
    moved = bytes(with_values(b"{}", {"address": msgspec.json.encode(json.loads(arguments)["email"])}))
    assert shown(moved) == ({"address": "(unreadable)"}, {"address": "unreadable"})
    assert shown(sealed(key=OTHER_KEY)) == unreadable
    assert shown(arguments, keys={}) == unreadable


def test_a_destroyed_key_is_told_apart_from_an_unknown_one() -> None:
    assert shown(sealed(), keys={KEY_ID: None}) == ({"user": "jo", "email": "(erased)"}, {"email": "erased"})


@pytest.mark.parametrize(
    "envelope",
    [
        '{"pulp_personal": 1}',
        '{"pulp_personal": 2, "key": "0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de", "nonce": "", "data": ""}',
        '{"pulp_personal": 1, "key": "jo", "nonce": "AAAA", "data": "AAAA"}',
        '{"pulp_personal": 1, "key": "0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de", "nonce": "?", "data": "?"}',
        '{"pulp_personal": 1, "key": "0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de", "nonce": "", "data": ""}',
        '{"pulp_personal": 1, "key": "0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de", "nonce": "AAAA", "data": "AAAA"}',
        '{"pulp_personal": null, "more": {"pulp_personal": 1}}',
    ],
)
def test_a_damaged_envelope_is_unreadable(envelope: str) -> None:
    assert shown(f'{{"email": {envelope}}}'.encode()) == ({"email": "(unreadable)"}, {"email": "unreadable"})


@pytest.mark.parametrize(
    "arguments", [b"null", b"{}", b'{"a": "pulp_personal"}', b'{"a": {"b": {"pulp_personal": 1}}}']
)
def test_what_is_no_envelope_stays_as_it_is(arguments: bytes) -> None:
    found = opened(arguments, TASK, {})
    assert (bytes(found.arguments), found.personal) == (arguments, {})
    assert [*found_in(arguments)] == []


def test_nobody_submits_an_envelope() -> None:
    with pytest.raises(BadInput, match=r"'email'.*'pulp_personal'"):
        refuse_reserved({"user": "jo", "email": {"pulp_personal": 1, "key": "x"}})
    refuse_reserved({"email": "pulp_personal", "deep": {"in": {"pulp_personal": 1}}})


class Notify(Struct, kw_only=True):
    user: str | int | None = None
    email: Annotated[str | None, personal(of="user")] = None
    address: Annotated[str | None, personal(of="address")] = None
    repeat: int = 1


NOTIFY = OperationRow("notify", False, "", [], None, json.dumps(schema_of(Notify, "notify")))


def test_each_personal_argument_has_its_subject() -> None:
    given = Raw(b'{"user": 7, "email": "jo@example.org", "address": "Here 1", "repeat": 2}')
    assert personal_in(schema_of(Notify, "notify")) == {"email": "user", "address": "address"}
    assert personal_values(NOTIFY, given) == {"email": ("7", b'"jo@example.org"'), "address": ("Here 1", b'"Here 1"')}
    assert personal_values(NOTIFY, Raw(b'{"email": null, "repeat": 2}')) == {}
    assert personal_values(OperationRow("free", False, "", [], None), given) == {}


@pytest.mark.parametrize("user", ["null", '""', "true", "[1]", '"' + 1001 * "x" + '"'])
def test_a_subject_has_to_be_named(user: str) -> None:
    with pytest.raises(BadInput, match=r"operation notify.*'user'") as refusal:
        personal_values(NOTIFY, Raw(f'{{"user": {user}, "email": "jo@example.org"}}'.encode()))
    assert "jo@" not in str(refusal.value)
    with pytest.raises(BadInput, match="needs the argument 'user'"):
        personal_values(NOTIFY, Raw(b'{"email": "jo@example.org"}'))


def test_what_was_erased_has_to_be_given_anew() -> None:
    sights = {"email": Sight.ERASED, "address": Sight.SHOWN}
    need_shown(sights, {"email": None})
    with pytest.raises(BadInput, match="'email' is personal data that was erased"):
        need_shown(sights, {"address": "x"})


def _declare(kind: type[Any], **more: Any) -> None:
    @operation("notify", arguments=kind, **more)
    async def notify(context: Context[Any]) -> None: ...


def test_a_declaration_that_could_not_be_heeded_is_refused() -> None:
    class Unknown(Struct):
        email: Annotated[str, personal(of="user")]

    class Remembered(Struct):
        email: Annotated[str, personal(of="email"), REMEMBERED]

    class Inside(Struct):
        emails: list[Annotated[str, personal(of="emails")]]

    class OrNull(Struct):
        email: Annotated[str, personal(of="email")] | None = None

    for kind, told in (
        (Unknown, "there is no argument 'user'"),
        (Remembered, "personal and REMEMBERED"),
        (Inside, "only a whole argument"),
        (OrNull, "only a whole argument"),
    ):
        with pytest.raises(ValueError, match=told):
            _declare(kind)
    with pytest.raises(ValueError, match=r"'\{email\}' names the argument 'email', which is personal"):
        _declare(Notify, resources=[Resource("mailbox", "{email}")])
    with pytest.raises(ValueError, match="resources and tags are not encrypted"):
        _declare(Notify, tags=["to:{email}"])
    _declare(Notify, resources=[Resource("user", "{user}")])


def test_a_master_key_wraps_keys_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    master = add_master_key(file)
    keys = MasterKeys(file)
    assert keys.newest == master == id_of(base64.b64decode(file.read_text()))
    wrapped = keys.wrap(KEY, KEY_ID.bytes, master)
    assert KEY not in wrapped
    assert keys.unwrap(wrapped, KEY_ID.bytes, master) == KEY
    with pytest.raises(Undecipherable):
        keys.unwrap(wrapped, b"another row", master)
    assert MasterKeys().unwrap(MasterKeys().wrap(KEY, b"", None), b"", None) == KEY


def test_a_file_with_another_key_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = add_master_key(file)
    keys = MasterKeys(file)
    wrapped = keys.wrap(KEY, b"owner", old)
    new = add_master_key(file)
    assert (file.stat().st_mode & 0o777, len(file.read_text().splitlines())) == (0o600, 2)
    assert keys.newest == new
    assert keys.unwrap(wrapped, b"owner", old) == KEY
    file.write_text(file.read_text().splitlines()[1])
    with pytest.raises(MasterKeyMissing, match=f"master key {old}.*rewrap"):
        keys.unwrap(wrapped, b"owner", old)
    with pytest.raises(MasterKeyMissing, match="PULP_PERSONAL_KEY_FILE is not set"):
        MasterKeys().unwrap(wrapped, b"owner", old)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no key"),
        ("secret words", "line 1 is not a key"),
        ("\n" + base64.b64encode(b"short").decode(), "line 2"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_without_its_content(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SettingsError, match=told) as refusal:
        MasterKeys(file).check()
    assert "secret" not in str(refusal.value)


def test_a_file_that_everybody_reads_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(SettingsError, match="No such file"):
        MasterKeys(file).check()
    add_master_key(file)
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="everybody may read it"):
        MasterKeys(file).check()


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_what_was_encrypted_is_decrypted_in_the_same_context_alone(text: bytes, context: bytes) -> None:
    found = encrypt(KEY, text, context)
    assert decrypt(KEY, found, context) == text
    with pytest.raises(Undecipherable):
        decrypt(KEY, found, context + b"x")


def test_a_bundle_for_support_holds_no_personal_argument() -> None:
    task = {"name": "notify", "arguments": {"user": "jo", "email": "jo@example.org"}, "personal": {"email": "shown"}}
    assert without_personal(task)["arguments"] == {"user": "jo", "email": "..."}
    assert without_personal({"arguments": {"user": "jo"}}) == {"arguments": {"user": "jo"}}
