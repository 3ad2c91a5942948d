"""JWTs of an OpenID Connect issuer: which are accepted, as which user, and what happens when its keys change."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pulp_accounts import tokens, users
from pulp_accounts.users import Role
from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import Method, Principal
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import IssuerAway, Unauthenticated
from pulp_api.logins.oidc_settings import OidcSettings
from pulp_events.audit import AuditRecord
from pulp_events.errors import BadInput, SettingsError
from starlette.requests import Request

from tests.support.issuer import AUDIENCE, Issuer, Key, issuer
from tests.support.site import PASSWORD, Site

ROLES = (("pulp-admins", Role.ADMIN), ("pulp-users", Role.SUBMITTER), ("pulp-guests", Role.VIEWER))


class Clock:
    """Stands still until it is set on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """An authenticator that knows an issuer, with the test's clock."""

    def __init__(self, api: Site, of: Issuer, **settings: Any) -> None:
        self.clock = Clock()
        self.audited: list[AuditRecord] = []
        audit = Audit(self.audited.append, clock_s=self.clock)
        usual = {"issuer": of.url, "audiences": (AUDIENCE,), "roles": ROLES}
        oidc = OidcSettings(**{**usual, **settings})
        self.authenticator = Authenticator(api.connect, audit, clock_s=self.clock, slow_s=0, oidc=oidc)

    async def enter(self, token: str) -> Principal:
        headers = [(b"authorization", b"Bearer " + token.encode())]
        return await self.authenticator.principal(Request({"type": "http", "headers": headers, "client": ("::1", 1)}))

    async def why_not(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            await self.enter(token)
        assert not [part for part in token.split(".") if part and part in str(refused.value)]
        return str(refused.value).removeprefix("Invalid token").strip(": .")


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


async def test_a_token_stands_for_its_user_with_the_role_of_its_claims(api: Site, idp: Issuer) -> None:
    gate, token = Gate(api, idp), idp.token()
    principal = await gate.enter(token)
    assert (principal.name, principal.role, principal.method) == ("jo", Role.SUBMITTER, Method.OIDC)
    assert (await gate.enter(idp.token(roles=["x", "pulp-guests", "pulp-admins"]))).role is Role.ADMIN  # by the setting
    assert (await gate.enter(idp.token(roles="pulp-guests"))).role is Role.VIEWER
    assert await api.execute("select name, role, issuer from users where name = 'jo'") == [("jo", "viewer", idp.url)]
    told = [(each.what, each.actor, each.method, each.detail) for each in gate.audited]
    assert told[:2] == [
        ("user-added", "user:jo", "oidc", f"submitter, for whom {idp.url} vouches"),
        ("login-succeeded", "user:jo", "oidc", "as submitter"),
    ]
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]  # once for all of them


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"exp": int(time.time()) - 3600}, "it has expired"),
    "of the future": ({"nbf": int(time.time()) + 3600}, "it does not count yet"),
    "another audience": ({"aud": "other"}, "it is for another audience"),
    "no audience": ({"aud": None}, "it lacks the claim aud"),
    "another issuer": ({"iss": "https://issuer.test"}, "it is from another issuer"),
    "no issuer": ({"iss": None}, "it lacks the claim iss"),
    "no end": ({"exp": None}, "it lacks the claim exp"),
    "no name": ({"sub": None}, "it lacks the claim sub"),
    "an unusable name": ({"sub": "a:b"}, "the claim sub is not a name that a user can have"),
    "an empty name": ({"sub": ""}, "the claim sub is not a name that a user can have"),
    "no role": ({"roles": None}, "the claim roles names nothing that stands for a role here"),
    "another role": ({"roles": ["pulp"]}, "the claim roles names nothing that stands for a role here"),
    "no list": ({"roles": {"pulp-users": True}}, "the claim roles names nothing that stands for a role here"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_token_that_does_not_count_is_refused_with_the_reason(api: Site, idp: Issuer, case: str) -> None:
    gate, (changed, why) = Gate(api, idp), WRONG[case]
    assert await gate.why_not(idp.token(**changed)) == why
    [told] = gate.audited
    assert (told.what, told.actor, told.is_claimed, told.method) == ("login-failed", "user:", True, "oidc")
    assert await api.execute("select from users where name = 'jo'") == []


def joined(header: dict[str, Any], claims: str, signature: str) -> str:
    return f"{urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip('=')}.{claims}.{signature}"


async def test_no_trick_with_algorithms_and_signatures_works(api: Site, idp: Issuer) -> None:
    gate, token = Gate(api, idp), idp.token()
    _, claims, signature = token.split(".")
    public = idp.keys[0].private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = joined({"alg": "HS256", "kid": "one"}, claims, "")
    by_public_key = urlsafe_b64encode(hmac.digest(pem, head[:-1].encode(), hashlib.sha256)).decode().rstrip("=")
    for forged in (
        joined({"alg": "none"}, claims, ""),
        joined({"alg": "none", "kid": "one"}, claims, signature),
        joined({"alg": "HS256", "kid": "one"}, claims, by_public_key),
        joined({"alg": "RS256", "kid": "one"}, claims, signature),  # another header than the signed one
        joined({"alg": "RS256", "kid": "one", "crit": ["exp"], "exp": 1}, claims, signature),
        joined({"alg": "PS256", "kid": "one"}, claims, signature),
        idp.token(key=Key("one")),  # another key of the same id
        idp.token(key=Key("invented")),
        idp.token(key=Key("invented"), headers={"jwk": Key("x").public, "jku": "http://127.0.0.1:1/"}),
        token[:-4],
        token + "x",
        token.replace(".", "..", 1),
        "x",
        "",
        "." * 9000,
        "x" * 20_000,
    ):
        await gate.why_not(forged)
    es = Key("two", "ES256")
    idp.keys.append(es)
    gate.clock.now += 10
    assert (await gate.enter(idp.token(key=es))).name == "jo"
    strict = Gate(api, idp, algorithms=("ES256",))
    assert await strict.why_not(token) == "its algorithm is not one of those that are allowed"


async def test_clocks_may_be_off_by_the_setting(api: Site, idp: Issuer) -> None:
    now = int(time.time())
    for skew, enters in ((60, True), (5, False)):
        gate = Gate(api, idp, skew_s=skew)
        shifted: list[dict[str, Any]] = [{"exp": now - 20}, {"nbf": now + 25, "iat": now + 25}]
        for claims in shifted:
            token = idp.token(**claims)
            if enters:
                await gate.enter(token)
            else:
                await gate.why_not(token)


async def test_keys_come_and_go(api: Site, idp: Issuer) -> None:
    gate, old = Gate(api, idp), idp.token()
    assert (await gate.enter(old)).name == "jo"
    idp.keys.insert(0, Key("new"))
    gate.clock.now += 10
    assert (await gate.enter(idp.token())).name == "jo"  # immediately, although the known keys are recent
    idp.keys.pop()
    gate.clock.now += 300
    assert await gate.why_not(old) == "it is signed by no key of the issuer"  # although it was right before
    assert (await gate.enter(idp.token())).name == "jo"


async def test_invented_keys_do_not_flood_the_issuer(api: Site, idp: Issuer) -> None:
    gate, key = Gate(api, idp), Key("invented")
    await gate.enter(idp.token())
    asked = len(idp.asked)
    for number in range(20):
        await gate.why_not(idp.token(key=key, headers={"kid": f"invented-{number}"}, jti=str(number)))
    assert len(idp.asked) == asked
    gate.clock.now += 10
    await gate.why_not(idp.token(key=key, jti="again"))
    assert len(idp.asked) == asked + 2


async def test_an_issuer_that_is_away_keeps_nobody_out_whose_key_is_known(api: Site, idp: Issuer) -> None:
    idp.is_away = True
    with pytest.raises(IssuerAway):
        await Gate(api, idp).enter(idp.token())
    idp.is_away = False
    gate = Gate(api, idp)
    await gate.enter(idp.token())
    idp.is_away = True
    gate.clock.now += 3600
    assert (await gate.enter(idp.token(jti="other"))).name == "jo"
    gate.clock.now += 86_400
    with pytest.raises(IssuerAway):
        await gate.enter(idp.token(jti="another"))


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "eA"}]}', b" " * 1_000_001, b'{"keys": [1]}'],
)
async def test_keys_that_are_none_are_not_taken(api: Site, idp: Issuer, answer: bytes) -> None:
    idp.answers["/keys"] = answer
    with pytest.raises((IssuerAway, Unauthenticated)):
        await Gate(api, idp).enter(idp.token())


async def test_the_configuration_cannot_name_another_issuer(api: Site, idp: Issuer) -> None:
    idp.answers["/.well-known/openid-configuration"] = json.dumps(
        {"issuer": "https://issuer.test", "jwks_uri": f"{idp.url}/keys"}
    ).encode()
    with pytest.raises(IssuerAway):
        await Gate(api, idp).enter(idp.token())
    assert (await Gate(api, idp, jwks_url=f"{idp.url}/keys").enter(idp.token())).name == "jo"


async def test_claims_are_chosen_by_settings(api: Site, idp: Issuer) -> None:
    gate = Gate(api, idp, name_claim="preferred_username", roles_claim="realm_access.roles")
    claims: dict[str, Any] = {"preferred_username": "kim", "realm_access": {"roles": ["pulp-guests"]}}
    principal = await gate.enter(idp.token(**claims))
    assert (principal.name, principal.role) == ("kim", Role.VIEWER)
    flat = Gate(api, idp, roles_claim="https://pulp.test/roles")
    named: dict[str, Any] = {"https://pulp.test/roles": ["pulp-admins"]}
    assert (await flat.enter(idp.token(**named))).role is Role.ADMIN


async def test_an_issuer_cannot_speak_for_a_user_with_a_password(api: Site, idp: Issuer) -> None:
    gate = Gate(api, idp)
    assert await gate.why_not(idp.token(sub="admin", roles=["pulp-admins"])) == (
        "the user admin has a password here, or another issuer"
    )
    await gate.why_not(idp.token(sub="Admin"))  # looks like it
    await api.execute(
        "insert into users (name, password_hash, role, issuer) values ('jo', '!', 'viewer', 'https://x.test')"
    )
    await gate.why_not(idp.token())


async def test_a_user_of_an_issuer_has_no_password_and_no_role_to_change_here(api: Site, idp: Issuer) -> None:
    gate = Gate(api, idp)
    await gate.enter(idp.token(roles=["pulp-admins"]))
    async with api.connect() as connection:
        with pytest.raises(BadInput, match="signs in by"):
            await users.set_password(connection, "jo", "another battery")
        with pytest.raises(BadInput, match="signs in by"):
            await users.set_role(connection, "jo", Role.VIEWER)
        with pytest.raises(users.LastAdmin):  # the issuer may be away
            await users.remove_user(connection, "admin")
        [found] = [each for each in await users.list_users(connection) if each.name == "jo"]
        assert (found.issuer, found.has_old_hash) == (idp.url, False)
    for password in ("", "!", PASSWORD):
        assert (await api.as_user("jo", password).get("/pulp/api/v3/tasks/")).status_code == 401


async def test_a_token_of_ours_for_such_a_user_has_the_role_of_the_last_login(api: Site, idp: Issuer) -> None:
    gate = Gate(api, idp)
    await gate.enter(idp.token())
    async with api.connect() as connection:
        _, secret = await tokens.create(connection, "jo", "ci", Role.SUBMITTER, timedelta(hours=1))
    assert (await gate.enter(secret)).role is Role.SUBMITTER
    await gate.enter(idp.token(roles=["pulp-guests"]))
    gate.clock.now += 5
    assert (await gate.enter(secret)).role is Role.VIEWER


async def test_a_known_jwt_does_not_act_as_a_local_user_of_its_name(api: Site, idp: Issuer) -> None:
    gate, token = Gate(api, idp), idp.token()
    await gate.enter(token)
    async with api.connect() as connection:
        assert await users.remove_user(connection, "jo") == idp.url
        await users.add_user(connection, "jo", "another battery", Role.ADMIN)
        gate.clock.now += 5
        assert await gate.why_not(token) == "the user jo has a password here, or another issuer"
        assert await users.remove_user(connection, "jo", even_last_admin=True) is None


async def test_a_user_who_was_removed_here_is_added_again_while_the_issuer_vouches(api: Site, idp: Issuer) -> None:
    gate, token = Gate(api, idp), idp.token()
    await gate.enter(token)
    async with api.connect() as connection:
        await users.remove_user(connection, "jo")
    gate.clock.now += 5
    assert (await gate.enter(token)).name == "jo"
    assert await api.execute("select role, issuer from users where name = 'jo'") == [("submitter", idp.url)]
    await gate.enter(idp.token(roles=["pulp-guests"]))
    gate.clock.now += 5
    await gate.enter(token)  # the role comes from the last login: a JWT in use does not change it again
    changes = [(each.what, each.target, each.detail) for each in gate.audited if each.what != "login-succeeded"]
    added = ("user-added", "jo", f"submitter, for whom {idp.url} vouches")
    assert changes == [added, added, ("role-changed", "jo", f"viewer, for whom {idp.url} vouches")]


async def test_a_jwt_makes_no_token_that_would_outlive_it(api: Site, idp: Issuer) -> None:
    transport = api.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    app: Any = transport.app
    app.state.authenticator = Gate(api, idp).authenticator
    client = api.as_user("")
    client.headers["Authorization"] = f"Bearer {idp.token()}"
    assert (await client.get("/pulp/api/v3/tokens/")).status_code == 200
    answer = await client.post("/pulp/api/v3/tokens/", json={"name": "ci"})
    expected = "a JWT makes no tokens: they would outlive what the issuer takes away"
    assert (answer.status_code, answer.json()) == (403, {"detail": expected})
    assert await api.execute("select from tokens") == []


async def test_a_jwt_without_the_id_of_its_key_enters_by_whichever_key_fits(api: Site, idp: Issuer) -> None:
    idp.keys = [Key("one"), Key("two", "ES256"), Key("three")]
    gate = Gate(api, idp)
    for key in idp.keys:
        assert (await gate.enter(idp.token(key=key, headers={"kid": None}))).name == "jo", key.key_id
    for algorithm in ("RS256", "ES256"):
        stranger = idp.token(key=Key("x", algorithm), headers={"kid": None})
        assert await gate.why_not(stranger) == "it is signed by no key of the issuer"


async def test_parallel_requests_with_a_jwt_share_one_look_up(api: Site, idp: Issuer) -> None:
    gate, token = Gate(api, idp), idp.token()
    found = await asyncio.gather(*(gate.enter(token) for _ in range(30)))
    assert [(each.name, each.method) for each in found] == [("jo", Method.OIDC)] * 30
    assert [each.what for each in gate.audited] == ["user-added", "login-succeeded"]


async def test_an_open_stream_ends_with_the_token(api: Site, idp: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(api, idp, skew_s=0)
    principal = await gate.enter(idp.token())
    assert await gate.authenticator.still_valid(principal)
    assert gate.authenticator._oidc is not None
    with monkeypatch.context() as later:
        later.setattr(gate.authenticator._oidc, "_now", lambda: time.time() + 60)
        assert not await gate.authenticator.still_valid(principal)
    gate.clock.now += 5
    assert await gate.authenticator.still_valid(principal)
    await api.execute("update users set issuer = null, password_hash = 'x' where name = 'jo'")  # somebody else now
    assert not await gate.authenticator.still_valid(principal)
    await api.execute("delete from users where name = 'jo'")
    assert not await gate.authenticator.still_valid(principal)


ISSUER = {"PULP_OIDC_ISSUER": "https://issuer.test", "PULP_OIDC_AUDIENCE": "pulp", "PULP_OIDC_ROLES": "a=admin"}


def test_settings_are_read_and_what_is_wrong_is_named() -> None:
    found = OidcSettings.read({**ISSUER, "PULP_OIDC_ROLES": "x=admin, b=viewer"})
    assert (found.issuer, found.audiences) == ("https://issuer.test", ("pulp",))
    assert found.roles == (("x", Role.ADMIN), ("b", Role.VIEWER))
    for name, text in (
        ("PULP_OIDC_ISSUER", "http://issuer.test"),
        ("PULP_OIDC_ISSUER", "issuer"),
        ("PULP_OIDC_ISSUER", "https://user@issuer.test"),
        ("PULP_OIDC_JWKS_URL", "file:///etc/passwd"),
        ("PULP_OIDC_ALGORITHMS", "none"),
        ("PULP_OIDC_ALGORITHMS", "RS256,HS256"),
        ("PULP_OIDC_ROLES", "a=root"),
        ("PULP_OIDC_ROLES", "admin"),
        ("PULP_OIDC_SKEW_S", "301"),
        ("PULP_OIDC_AUDIENCE", ""),
        ("PULP_OIDC_ROLES", ""),
    ):
        with pytest.raises(SettingsError, match=name):
            OidcSettings.read({**ISSUER, name: text})
    assert OidcSettings.read({}).issuer is None
